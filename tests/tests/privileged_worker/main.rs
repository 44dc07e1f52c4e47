//! The worker of the service: what it does, how it ends, and what it cannot do.

mod capabilities;
mod confined_thread;
mod confinement;
mod fixture;
mod job;
mod locks;
mod termination;

/// The product's own walls, to be tried from within.
#[expect(dead_code, reason = "some of it is for a process of its own")]
#[path = "../../../daemon/worker/src/confine.rs"]
mod confine;

/// What the walls take; another process tries it.
#[expect(dead_code, unreachable_pub, reason = "a thread cannot take the identity of another user alone")]
#[path = "../../../daemon/worker/src/caller.rs"]
mod caller;

#[expect(dead_code, reason = "some of it is for other messages")]
#[path = "../../../daemon/worker/src/hex.rs"]
mod hex;
