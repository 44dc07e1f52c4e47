//! Plugs in drives: loop devices with a real udevd, isolated from the rest of the machine.
//!
//! * `udevd`: a udevd that only the test's thread hears.
//! * `disk`: a loop device.
//! * `fixture`: the service, and its drives on the bus.
//! * `scenario`: a source, an enrolled drive, and jobs between them.

mod disk;
mod fixture;
mod scenario;

pub use disk::{Disk, elsewhere};
pub use fixture::{DriveFixture, Shown, is_mounted};
pub use scenario::{Row, Scenario, snapshots, word};

pub use butterdock_fixtures::{Silenced, Udevd};
