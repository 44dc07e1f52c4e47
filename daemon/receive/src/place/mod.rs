//! Where a subvolume is received, and how it is published.
//!
//! A subvolume is created under a hidden name ([`hidden`]): in the staging directory ([`staging`]), or in the destination
//! where only root can reach that ([`reach`]). It begins as a snapshot of its parent if it has one ([`parents`],
//! [`candidate`], [`reserved`]). It is published when it is durable ([`finish`]) and the filesystem lost nothing
//! ([`health`]). The next run sweeps what a crash left ([`destination`]).

mod candidate;
mod destination;
mod finish;
mod health;
mod hidden;
mod parents;
mod reach;
mod reserved;
mod staging;

pub(crate) use destination::{Destination, subvolume_name};
pub(crate) use finish::publish;
pub(crate) use health::{Health, check_extents};
pub(crate) use hidden::Hidden;
pub(crate) use parents::Parents;
pub use reach::can_others_reach;
pub use staging::{STAGING, Staging};
