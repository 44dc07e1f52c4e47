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
