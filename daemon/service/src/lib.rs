//! The service: settings, drives, jobs, history and hooks. It knows no bus; a front end such as the D-Bus server calls
//! [`Service`].
//!
//! # What happens after a plug
//! 1. `device::monitor` (udev) → `device::table` (the devices) → [`drives`] (the table of drives) → [`policy`] (pure). The
//!    policy is asked again after every step and every event; each decision is only the next step.
//! 2. [`drives`] unlocks the drive. udev reports the mapping; then [`drives`] mounts it and proves the token.
//! 3. The policy decides `Backup`: [`drives`] determines the due backups, and [`Service`] makes their jobs.
//! 4. `jobs::scheduler` → `jobs::runner` → one worker process; after a successful backup a second one, which prunes beside
//!    the source.
//! 5. The end of the last reservation releases the drive: synced, unmounted, locked, and switched off if that is configured
//!    → state `Safe`. It stays mounted if a user mounted it, or with `on_finish = "keep"`.
//! 6. The scheduler records the end of the job.
//!
//! # What happens during a receive
//! 1. The D-Bus server puts the caller's descriptor into a socket of this process ([`untrusted_fd::QuarantinedFd`]): from
//!    there nothing can hang on it.
//! 2. [`Service::receive`] → `stream_input`: a thread examines a copy of the descriptor, with a timeout, without a read.
//! 3. The volume is known by the last look at it (`volumes`); its directory's identity becomes part of the request.
//! 4. `jobs::Jobs::start` → `jobs::scheduler`: a [`jobs`] request, boxed, waits for its turn at the volume.
//! 5. `jobs::kinds::receive` opens the volume's directory, once, and compares its identity with that of the request.
//! 6. `jobs::runner` sends a worker its order with two descriptors: the socket of step 1, which the service closes then, and
//!    the directory, which stays open in the service. The worker takes the stream out of the socket.
//! 7. The runner forwards the worker's reports to the scheduler, which changes the [`jobs::Job`] that front ends watch.
//! 8. At the end the runner sweeps the directory if the worker left something, closes it, and reports the end. If the worker
//!    hangs in the kernel, the order is the reverse: the runner reports the end, and sweeps and closes the directory when the
//!    worker has ended.
//! 9. The scheduler adds the job to the history in memory, queues the record to be written, sets the job's last state, and has
//!    the volume looked at. A power cut right after can lose the record on disk.

mod backup_list;
mod backups;
mod blocking;
pub mod catalogue;
mod checkpoint_key;
pub mod clock;
pub mod config;
mod configured;
mod deletion_orders;
pub mod destination_list;
mod destinations;
mod device;
mod dir_handle;
pub mod drives;
mod durable;
mod enrolment;
mod explain;
mod files;
mod hooks;
pub mod jobs;
mod mounts;
mod notify;
mod own_files;
mod policy;
pub mod prune_locks;
mod queries;
mod rename_requests;
mod renames;
mod requests;
#[cfg(test)]
mod scenarios;
pub mod schedule;
mod service;
pub mod settings;
mod snapshots;
mod stream_input;
mod supervisor;
mod system_directories;
pub mod text;
mod time_trigger;
mod types;
pub mod untrusted_fd;
pub mod volumes;
mod worker;

pub use backups::{LONGEST_REASON as REASON_MAX, MOST_DELETED as DELETED_MAX};
pub use butterdock_worker::files::{Conflict, FileKind, FileRow};
pub use checkpoint_key::checkpoint_key;
pub use explain::explain;
pub use files::{FileList, FileVersion, RestoreFilesRequest};
pub use notify::{NotifyFailure, NotifyProblem, NotifyStatus};
pub use own_files::Rights;
pub use queries::{MadeBy, SnapshotOnDrive};
pub use requests::{ImportRequest, ReceiveRequest};
pub use service::Service;
pub use snapshots::{DeletionEstimate, LostIncrement, SnapshotPlace};
pub use types::{
    Attempt, AttemptEnd, BackupDestination, BackupOptions, BackupProperties, BackupStatus, Condition, DestinationId,
    DestinationKind, DestinationProperties, DestinationState, DriveHealth, DriveProblem, DriveProblemCode,
    DriveProblemParams, DriveProperties, DriveState, EnrolOptions, Error, ErrorCode, JobKind, JobResult, JobState,
    Maker, PlacedProblem, Problem, SECRET_MAX, SUBVOLUMES_MAX, SmartReading, SnapshotsOfMachine, TotalSource, Trigger,
    Warning,
};
