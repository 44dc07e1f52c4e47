//! The fixtures of the tests that need a bus: a service with its volumes or drives, clients, polkit, a recorder of the bus;
//! and all fixtures of `butterdock_fixtures`.
//!
//! ```text
//! Service        butterdockd serve on a private bus, with volumes on loop devices
//! DriveFixture   the same with drives: loop devices and a udevd that only the test hears
//! Scenario       a DriveFixture with a source, backups and an enrolled drive
//! Client         a connection of root; python, as_nobody: other languages and users
//! ```
//!
//! Everything ends when it is dropped, also in a panic. If the test is killed, the bus and the daemon end with its thread.
//! Tests that need root are named `privileged_*`; without root they fail with a message.

mod client;
mod daemon;
mod disk;
mod drive_fixture;
mod frozen;
mod introspection;
mod polkit;
mod processes;
mod python;
mod recorder;
mod scenario;
mod service;
mod streams;

pub use butterdock_fixtures::*;
pub use client::{Client, Options, error_name, no_options};
pub use daemon::Daemon;
pub use disk::{Disk, elsewhere};
pub use drive_fixture::{DriveFixture, DriveObject, ShownDrive, interface_of, is_mounted};
pub use frozen::{Frozen, moved_below};
pub use introspection::{Object, introspected_objects, members};
pub use polkit::{Polkit, Rules, SilentPolkit};
pub use processes::{Memory, descriptors, memory, workers};
pub use python::{Flood, answer, as_nobody, as_user, python};
pub use recorder::{Event, Moment, RecordedMessage, Recorder, Recording};
pub use scenario::{Row, Scenario, contains_all, snapshots, word};
pub use service::{HOME, Service, Setup, TANK, tank};
pub use streams::{Feed, Load, Stalled, file_of, small, unfinished};
