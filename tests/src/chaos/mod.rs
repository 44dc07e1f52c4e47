//! This room makes trouble for the service, on a bus, volumes and a daemon of the test's own, and looks at what is left.
//!
//! * `stage`: everything together, with the daemon as a child that may be killed and started again.
//! * `bus`: a private dbus-daemon. There is no polkit on it, so the daemon lets root alone do things, and tests are root.
//! * `client`: somebody on the bus, who also counts every `Completed` that is told.
//! * `frozen`: a drive that does not answer.
//! * `fuse`: a filesystem whose owner does not answer everything.
//! * `load`: a stream, what must come of it, and a pipe that gives as much of it as the test wants.
//! * `traces`: what is left of a daemon: its processes by /proc, names in its volumes.

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
