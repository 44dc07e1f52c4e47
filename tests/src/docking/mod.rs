//! This room plugs drives in: loop devices that a real udevd tells of, on a machine of the test's own.
//!
//! * `udevd`: one that the test's thread alone hears.
//! * `disk`: a loop device.
//! * `stage`: the service, and what it shows of drives.
//! * `story`: a source, an enrolled drive, and jobs between them.

mod disk;
mod fixture;
mod scenario;

pub use disk::{Disk, elsewhere};
pub use fixture::{DriveFixture, Shown, is_mounted};
pub use scenario::{Row, Scenario, snapshots, word};

pub use butterdock_fixtures::{Silenced, Udevd};
