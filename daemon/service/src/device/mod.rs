//! Block devices: what udev and the kernel say of them, and what is asked of the kernel for one. Nothing here knows which device
//! belongs to which drive.
//!
//! * `block_device` has the properties that udev says of a device; `monitor` listens to udev.
//! * `superblock` parses that of btrfs; `node` opens a device and reads it.
//! * `luks` unlocks and locks containers; `power` switches a disk off.
//! * `in_use` says what uses a device or a mount. `text` escapes what a device says; a `sentence` that everybody may read holds
//!   no path.
//!
//! All but `block_device` and `monitor` block as long as a device does.

mod block_device;
mod error;
pub(crate) mod in_use;
pub(crate) mod luks;
mod monitor;
pub(crate) mod node;
pub(crate) mod power;
mod sentence;
mod superblock;
pub(crate) mod text;

pub(crate) use block_device::{BlockDevice, Bus, Content};
#[cfg(test)]
pub(crate) use block_device::{Mapping, Partition};
pub(crate) use error::{Error, Result};
pub(crate) use luks::{Cryptsetup, Secret, is_open, mapping_name};
pub(crate) use monitor::{Event, Monitor};
pub(crate) use node::superblock;
pub(crate) use power::{Power, power_off};
pub(crate) use sentence::{Part, Sentence};
