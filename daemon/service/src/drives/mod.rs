//! This room knows the drives: which are there, what is on them, and how one is opened and let go. It touches neither the
//! bus nor the jobs; what is done with a drive is the policy's to say. All but the dock, the monitor and the facts blocks
//! as long as a drive does.
//!
//! * `facts` reads what udev says of a device; `text` makes what a drive says fit to be shown, and a `sentence` about it has no path
//!   where everybody reads it.
//! * `monitor` listens to udev.
//! * `superblock` reads that of btrfs, and `node` fetches it from a device.
//! * `enrolment` keeps what an administrator said of a drive, `token` proves it to this `machine`, and `claims` tells udev of it.
//! * `dock` owns the picture of the drives, and does what the policy says.
//! * `luks` unlocks and locks, `mount` mounts and unmounts, `in_use` says what is in the way, `power` switches off.

mod block_device;
mod claims;
mod enrolment;
mod error;
mod in_use;
mod luks;
mod machine;
mod manager;
mod monitor;
mod mount;
mod node;
mod power;
mod sentence;
mod superblock;
mod text;
pub(crate) mod token;

pub(crate) use block_device::{BlockDevice, Bus, Content};
#[cfg(test)]
pub(crate) use block_device::{Mapping, Partition};
pub(crate) use enrolment::{Enrolment, Member, Register};
pub(crate) use error::{Error, Result};
pub(crate) use luks::{Cryptsetup, Secret, is_open, mapping_name};
pub(crate) use manager::{Condition, DriveReservation, Lease, Plugged};
pub use manager::{Drive, DriveId, DriveManager};
pub(crate) use monitor::{Event, Monitor};
pub(crate) use mount::{Mounted, ReadOnly, Source, mount, read_only};
pub(crate) use node::superblock;
pub(crate) use power::{Power, power_off};
pub(crate) use sentence::{Part, Sentence};
