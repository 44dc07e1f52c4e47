//! The service: settings, drives, jobs, history and hooks. It knows no bus; a front end such as the D-Bus server calls
//! [`Service`].
//!
//! # The way of a plug
//! `device::monitor` (udev) → [`drives`] (the table of drives) → [`policy`] (pure) → [`drives`] (unlock,
//! mount, prove the token) → [`Service`] (due backups become jobs) → `jobs::scheduler` → `jobs::runner` → one worker
//! process → the drive is released: synced, unmounted, locked, switched off → state `Safe`.
//!
//! # The way of a receive
//! 1. The D-Bus server puts the caller's descriptor into a socket of this process ([`untrusted_fd::QuarantinedFd`]): from
//!    there nothing can hang on it.
//! 2. [`Service::receive`] → `stream_input`: a thread examines a copy of the descriptor, with a timeout, without a read.
//! 3. The volume is known by the last look at it (`volumes`); its directory's identity becomes part of the request.
//! 4. `jobs::Jobs::start` → `jobs::scheduler`: a [`jobs`] request, boxed, waits for its turn at the volume.
//! 5. `jobs::kinds::receive` opens the volume's directory, once, and compares its identity with that of the request.
//! 6. `jobs::runner` sends a worker its order with two descriptors: the socket of step 1, which the service closes then, and
//!    the directory, which is lent. The worker takes the stream out of the socket.
//! 7. The runner forwards the worker's reports to the scheduler, which changes the [`jobs::Job`] that front ends watch.
//! 8. At the end the runner sweeps the directory if the worker left something, closes it, and reports the end.
//! 9. The scheduler writes the history, sets the job's last state, and has the volume looked at.

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
#[cfg(test)]
mod scenarios;
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
