//! The service: settings, drives, jobs, history and hooks. It knows no bus; a front end such as the D-Bus server calls
//! [`Service`].
//!
//! # The way of a plug
//! `device::monitor` (udev) → [`drives`] (the table of drives) → [`policy`] (pure) → [`drives`] (unlock,
//! mount, prove the token) → [`Service`] (due backups become jobs) → `jobs::scheduler` → `jobs::runner` → one worker
//! process → the drive is released: synced, unmounted, locked, switched off → state `Safe`.
//!
//! # The way of a receive
//! [`Service::receive`] → `stream_input` (a dedicated thread examines the descriptor) → `jobs::scheduler` (queued) → `jobs::runner::receive` (opens the volume) → one worker process → the history → the job's end.

mod backups;
mod blocking;
pub mod catalogue;
pub mod clock;
pub mod config;
mod configured;
mod destinations;
mod device;
mod dir_handle;
pub mod drives;
mod durable;
mod enrolment;
mod explain;
mod hooks;
pub mod jobs;
mod mounts;
mod policy;
mod queries;
mod requests;
mod service;
pub mod source_locks;
mod stream_input;
mod supervisor;
pub mod text;
mod types;
pub mod untrusted_fd;
pub mod volumes;
mod worker;

pub use explain::explain;
pub use queries::{MadeBy, SnapshotOnDrive};
pub use requests::{ImportRequest, ReceiveRequest};
pub use service::Service;
pub use types::{
    BackupStatus, DriveProperties, DriveState, EnrolOptions, Error, ErrorCode, JobKind, JobResult, JobState,
    SECRET_MAX, SUBVOLUMES_MAX, TotalSource, Warning,
};
