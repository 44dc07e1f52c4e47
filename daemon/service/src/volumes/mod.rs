//! This room knows the volumes: where they are, whether they can be received into now, and how much room they have.
//!
//! * `destination` opens a volume's directory; the descriptor decides what it is, not the path.
//! * `mounts` waits for the kernel to say that something was mounted or unmounted; nothing is asked in between.
//! * `volume` is one configured volume and what was last seen of it. Looking can hang as long as a drive does, so it is
//!   done on a thread that nobody waits for longer than a bound.
//! * `lane` is that thread: one a volume, for looking, opening and listing.
//! * `subvolumes` lists what was received.

mod destination;
mod mounts;
mod subvolumes;
mod volume;
mod volume_thread;

pub(crate) use destination::{Destination, open};
pub use destination::{Place, Unusable};
pub(crate) use mounts::Mounts;
pub use subvolumes::Subvolume;
pub use volume::{Seen, Volume};
pub use volume_thread::Unanswered;
