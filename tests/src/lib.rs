//! The rig of butterdock's tests: loop-backed btrfs volumes, real trees, a comparer of subvolumes, and a writer of
//! send streams that knows nothing of the product.
//!
//! Tests that need root are named `privileged_*`; without root they fail with a sentence that says so.

pub mod chaos;
pub mod compare;
pub mod rig;
pub mod snapshot;
pub mod trees;
pub mod wire;
