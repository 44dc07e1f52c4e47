//! The plain types of the service's API; front ends such as the D-Bus server map them.

mod backup;
mod destination;
mod drive;
mod drive_problem;
mod error;
mod job;
mod problem;

pub(crate) use backup::LastRun;
pub use backup::{BackupDestination, BackupProperties, BackupStatus, PlacedProblem, Warning};
pub use destination::{
    DestinationId, DestinationKind, DestinationProperties, DestinationState, Maker, SnapshotsOfMachine,
};
pub use drive::{Condition, DriveHealth, DriveProperties, DriveState, EnrolOptions, SmartReading};
pub use drive_problem::{DriveProblem, DriveProblemCode, DriveProblemParams};
pub use error::{Error, ErrorCode};
pub use job::{BackupOptions, JobKind, JobResult, JobState, TotalSource, Trigger};
pub use problem::{Attempt, AttemptEnd, Problem};

/// More of a secret than this is not read, in bytes.
pub const SECRET_MAX: usize = 65536;
/// More subvolumes of a volume than this are not listed.
pub const SUBVOLUMES_MAX: usize = 10_000;
