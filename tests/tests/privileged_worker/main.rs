//! The worker of the service: what it does, how it ends, and what it cannot do.

mod capabilities;
mod confinement;
mod ends;
mod fixture;
mod inside;
mod job;
mod locks;

/// The product's own walls, to be tried from within.
#[expect(dead_code, reason = "some of it is for a process of its own")]
#[path = "../../../daemon/worker/src/confine/mod.rs"]
mod confine;
