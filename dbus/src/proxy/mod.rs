//! The proxies: one Rust method for each method, property and signal of an interface.
//!
//! Calls fail with [`Error`](crate::Error); [`Error::Named`](crate::Error::Named) has the service's reason. Calls that may need a password set the flag that
//! allows polkit to ask for it.

mod backup;
mod destination;
mod drive;
mod job;
mod manager;
mod volume;

pub use backup::BackupProxy;
pub use destination::DestinationProxy;
pub use drive::DriveProxy;
pub use job::{Completed, CompletedArgs, CompletedStream, JobProxy};
pub use manager::ManagerProxy;
pub use volume::VolumeProxy;
