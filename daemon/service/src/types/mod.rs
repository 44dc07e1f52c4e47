//! The plain types of the service's API; front ends such as the D-Bus server map them.

mod backup;
mod drive;
mod error;
mod job;

pub use backup::{BackupStatus, Warning};
pub use drive::{DriveProperties, DriveState, EnrolOptions};
pub use error::{Error, ErrorCode};
pub use job::{JobKind, JobResult, JobState, TotalSource};

/// More of a secret than this is not read, in bytes.
pub const SECRET_MAX: usize = 65536;
/// More subvolumes of a volume than this are not listed.
pub const SUBVOLUMES_MAX: usize = 10_000;
