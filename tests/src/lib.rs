//! The fixtures of butterdock's tests: btrfs volumes on loop devices, real trees, a comparison of subvolumes, an
//! independent writer of send streams, and the service on a private bus.
//!
//! Tests that need root are named `privileged_*`; without root they fail with a message.

pub mod chaos;
pub mod docking;
pub mod service;

pub use butterdock_fixtures::{compare, rig, snapshot, trees, wire};
