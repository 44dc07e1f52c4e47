//! This room knows where the work is done, and how it ends.
//!
//! A subvolume is made under a hidden name, in the staging directory or, where root alone can reach the destination
//! ([`reach`]), in that ([`hidden`]); begun from its parent if it
//! has one ([`parents`], [`candidate`], [`reserved`]), and published only when it is durable ([`finish`]). What a crash leaves is swept
//! ([`sweep`]). The filesystem is asked whether it lost anything ([`health`], [`extents`]). What only root may see lies in
//! [`staging`].

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
