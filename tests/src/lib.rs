//! The rig of butterdock's tests: loop-backed btrfs volumes, real trees, a comparer of subvolumes, a writer of send
//! streams that knows nothing of the product, and the service on a bus of its own.
//!
//! Tests that need root are named `privileged_*`; without root they fail with a sentence that says so.

pub mod chaos;
pub mod docking;
pub mod service;

pub use butterdock_fixtures::{compare, rig, snapshot, trees, wire};
