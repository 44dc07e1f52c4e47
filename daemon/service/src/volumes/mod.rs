//! The volumes: where they are, whether they are usable now, and their free space.
//!
//! * `open_volume` opens a volume's directory, and checks the descriptor, not the path.
//! * `volume` is one configured volume and its last known state. Checking, opening and listing it can block while its
//!   drive blocks, so one thread of each volume does that, and callers wait only up to a timeout.
//! * `subvolumes` lists the received subvolumes.

mod open_volume;
mod subvolumes;
mod volume;

pub use crate::blocking::Unanswered;
pub use open_volume::{DirIdentity, Unusable};
pub(crate) use open_volume::{OpenVolume, open};
pub use subvolumes::Subvolume;
pub use volume::{Seen, Volume};
