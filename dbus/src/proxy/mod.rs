//! This room holds the proxies: one method of Rust for each method, property and signal of an interface.
//!
//! Calls fail with [`Error`](crate::Error), whose [`Error::Named`](crate::Error::Named) has the service's reasons.
//! Those that polkit may ask about are sent with the flag that allows it to ask.

mod drive;
mod job;
mod manager;
mod volume;

pub use drive::DriveProxy;
pub use job::{Completed, CompletedArgs, CompletedStream, JobProxy};
pub use manager::ManagerProxy;
pub use volume::VolumeProxy;
