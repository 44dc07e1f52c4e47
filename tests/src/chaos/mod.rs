//! Disturbs the service on a private bus with its own volumes and daemon, and checks the result.
//!
//! * `fixture`: everything together, with the daemon as a child that can be killed and started again.
//! * `bus`: a private dbus-daemon without polkit, so that only root may call; tests run as root.
//! * `client`: a client that also counts every `Completed`.
//! * `frozen`: a drive that does not respond.
//! * `fuse`: a filesystem that leaves some requests unanswered.
//! * `load`: a stream, its expected result, and a pipe that delivers it in pieces.
//! * `traces`: leftovers of a daemon: its processes in /proc, and names in its volumes.

mod bus;
mod client;
mod fixture;
mod frozen;
mod load;
mod traces;

pub use bus::Bus;
pub use client::Client;
pub use fixture::{Fixture, butterdock};
pub use frozen::{Frozen, moved_below};
pub use load::{Feed, Load};
pub use traces::{Memory, descriptors, family, memory};

pub use butterdock_fixtures::{Asks, Fuse, wait_until};

pub use crate::rig::names;
