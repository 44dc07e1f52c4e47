//! Block devices: what udev and the kernel say of them, and what is done with them. Nothing here knows which device belongs to which
//! drive.
//!
//! * `devices` is all of this as one trait, with this machine's devices as its implementation; tests simulate devices.
//! * `block_device` has the properties that udev says of a device; `monitor` listens to udev and to changes of mounts; `table` keeps
//!   the devices that are attached.
//! * `superblock` parses that of btrfs; `node` opens a device, reads it and formats it; `probe` finds btrfs where udev's prober
//!   gives up.
//! * `luks` unlocks and locks containers; `mount` mounts and unmounts; `power` switches a disk off.
//! * `other_mounts` has the mounts that other programs made. `in_use` says what uses a device or a mount. `text` escapes what a device says; the public form of an
//!   `error` holds no path.
//!
//! All but `block_device`, `monitor` and `table` block as long as a device does.

mod block_device;
mod devices;
mod error;
mod import_mount;
mod in_use;
mod luks;
mod monitor;
mod mount;
mod node;
mod other_mounts;
mod power;
mod probe;
#[cfg(test)]
pub(crate) mod simulated;
mod superblock;
mod table;
mod text;

#[cfg(test)]
pub(crate) use block_device::Partition;
pub(crate) use block_device::{BlockDevice, Bus, Content, Mapping};
pub(crate) use devices::{DeviceEvents, Devices, Event, MountEvents, Readings, SystemDevices};
pub(crate) use error::{Error, Part, Result, Sentence, of_device, of_devices, of_drive, of_missing};
pub(crate) use import_mount::{ReadOnly, unsupported};
pub(crate) use luks::{Secret, mapping_name};
pub(crate) use mount::{Access, Filesystem, Log, Source};
pub(crate) use node::read_small;
pub(crate) use other_mounts::OtherMount;
pub(crate) use power::Power;
pub(crate) use probe::Finding;
pub(crate) use superblock::Superblock;
pub(crate) use table::DeviceTable;
