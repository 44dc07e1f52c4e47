//! Switches a drive off, as far as its hardware can.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::block_device::{BlockDevice, Bus};
use super::error::{Error, Result};
use super::error::{Part, Sentence};
use super::in_use;

/// What was done to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// Its USB device was removed: the port gives no power, or the enclosure notices.
    UsbRemoved,
    /// The kernel stopped it and forgot it.
    ScsiDeleted,
    /// Nothing: it is no hardware, or none that can be switched off. It is safe to pull all the same.
    LeftOn,
}

/// Switches the whole disk off if no part of it is in use. Flushes it first.
///
/// # Errors
/// A part of it, or of another disk in the same enclosure, is in use; or the kernel would not.
pub(crate) fn power_off(disk: &BlockDevice) -> Result<Power> {
    if disk.partition.is_some() {
        return Err(Error::refused(Sentence::of(&[
            Part::Node(&disk.node),
            Part::Text(" is a part of "),
            Part::Node(disk.disk()),
            Part::Text("; switch off that disk"),
        ])));
    }
    if disk.bus == Bus::Mapper {
        return Ok(Power::LeftOn);
    }
    // Also of a disk that stays on: with any part of it in use it is not safe to pull.
    let claimed = claim(&disk.node, Some(disk.devnum))?;
    claimed.sync_all().map_err(Error::system(format!("flushing {}", disk.node.display())))?;
    if disk.bus == Bus::Loop {
        return Ok(Power::LeftOn);
    }
    let others = |name: &str| claim(&Path::new("/dev").join(name), None);
    // The claim is held until the disk is off, so that no program mounts it in between.
    let power = switch_off(Path::new("/sys"), &disk.syspath, &others);
    drop(claimed);
    power
}

/// The part that touches sysfs alone. `claim` says whether another disk of the enclosure is free.
fn switch_off(sys: &Path, syspath: &Path, claim: &impl Fn(&str) -> Result<File>) -> Result<Power> {
    if let Some(usb) = usb_device(sys, syspath) {
        let name = syspath.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut held = Vec::new();
        for other in disks_below(&usb).into_iter().filter(|other| other != name) {
            held.push(claim(&other)?);
        }
        stopped_when_removed(&usb);
        press(&usb.join("remove"))?;
        return Ok(Power::UsbRemoved);
    }
    let delete = syspath.join("device/delete");
    if delete.exists() {
        // The directory of the SCSI device, which holds `block/<disk>`.
        syspath.ancestors().nth(2).into_iter().for_each(stopped_when_removed);
        press(&delete)?;
        return Ok(Power::ScsiDeleted);
    }
    Ok(Power::LeftOn)
}

/// Opens a disk exclusively: the kernel refuses while a filesystem, a mapping or swap uses it or one of its partitions.
pub(crate) fn claim(node: &Path, devnum: Option<u64>) -> Result<File> {
    let flags = OFlag::O_CLOEXEC | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits()).open(node).map_err(|error| {
        if error.raw_os_error() == Some(Errno::EBUSY as i32) {
            return Error::refused(in_use::device_in_use(node));
        }
        Error::system(format!("opening {}", node.display()))(error)
    })?;
    let facts = file.metadata().map_err(Error::system(format!("examining {}", node.display())))?;
    if !facts.file_type().is_block_device() || devnum.is_some_and(|devnum| devnum != facts.rdev()) {
        let text = Part::Text(" has changed to another device");
        return Err(Error::refused(Sentence::of(&[Part::Node(node), text])));
    }
    Ok(file)
}

/// The nearest USB device above, which is no hub of the machine itself.
fn usb_device(sys: &Path, syspath: &Path) -> Option<PathBuf> {
    let devices = sys.join("devices");
    let above = syspath.ancestors().take_while(|path| path.starts_with(&devices));
    let is_root_hub =
        |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("usb"));
    let mut usb = above.filter(|path| path.join("idVendor").exists() && path.join("remove").exists());
    usb.next().filter(|path| !is_root_hub(path)).map(Path::to_path_buf)
}

/// Has the kernel stop the disks below a device (START STOP UNIT: the heads park, the motor stops) before it forgets them.
/// It does for a disk whose start and stop it has to manage, by these names since Linux 6.6 and before it. Where it
/// will not, as for what is no SCSI disk, the rest is done all the same.
fn stopped_when_removed(device: &Path) {
    for disk in below(device, "scsi_disk") {
        let switches = ["manage_system_start_stop", "manage_start_stop"].map(|name| disk.join(name));
        let Some(switch) = switches.iter().find(|switch| switch.exists()) else { continue };
        if let Err(error) = press(switch) {
            tracing::info!("cannot stop a disk before its removal: {error}");
        }
    }
}

/// The names of the disks below a device.
fn disks_below(device: &Path) -> Vec<String> {
    let name = |path: PathBuf| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let mut found: Vec<String> = below(device, "block").into_iter().filter_map(name).collect();
    found.sort();
    found
}

/// What is in the folders of this name below a device.
fn below(device: &Path, class: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![device.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let is_class = folder.file_name().is_some_and(|name| name == class);
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // Links in sysfs lead up again.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if is_class { found.push(entry.path()) } else { folders.push(entry.path()) }
            }
        }
    }
    found
}

fn press(switch: &Path) -> Result<()> {
    let pressed = OpenOptions::new().write(true).open(switch).and_then(|mut file| file.write_all(b"1"));
    pressed.map_err(Error::system(format!("writing {}", switch.display())))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const STICK: &str = "devices/pci0000:00/0000:00:14.0/usb2/2-1";

    /// A tree like that of sysfs, with these empty files.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().expect("a folder");
        for file in files {
            let path = sys.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, "").expect("written");
        }
        sys
    }

    fn free(_: &str) -> Result<File> {
        File::open("/dev/null").map_err(Error::system("opening"))
    }

    #[test]
    fn a_usb_disk_uses_its_nearest_usb_device() {
        let block = format!("{STICK}/2-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb");
        let (vendor, remove) = (format!("{STICK}/idVendor"), format!("{STICK}/remove"));
        let hub = ["devices/pci0000:00/0000:00:14.0/usb2/idVendor", "devices/pci0000:00/0000:00:14.0/usb2/remove"];
        let size = format!("{block}/size");
        let stop = format!("{STICK}/2-1:1.0/host6/target6:0:0/6:0:0:0/scsi_disk/6:0:0:0/manage_start_stop");
        let sys = tree(&[&vendor, &remove, &size, &stop, hub[0], hub[1]]);
        assert_eq!(switch_off(sys.path(), &sys.path().join(&block), &free).expect("off"), Power::UsbRemoved);
        assert_eq!(fs::read_to_string(sys.path().join(&remove)).expect("read"), "1");
        assert_eq!(fs::read_to_string(sys.path().join(&stop)).expect("read"), "1");
        assert_eq!(fs::read_to_string(sys.path().join(hub[1])).expect("read"), "");
        fs::remove_file(sys.path().join(&vendor)).expect("removed");
        assert_eq!(switch_off(sys.path(), &sys.path().join(&block), &free).expect("on"), Power::LeftOn);
    }

    #[test]
    fn another_used_disk_keeps_the_enclosure_on() {
        let lun = |number: u8, name: &str| format!("{STICK}/2-1:1.0/host6/target6:0:0/6:0:0:{number}/block/{name}");
        let (vendor, remove) = (format!("{STICK}/idVendor"), format!("{STICK}/remove"));
        let (first, second) = (lun(0, "sdb"), lun(1, "sdc"));
        let sys = tree(&[&vendor, &remove, &format!("{first}/size"), &format!("{second}/sdc1/size")]);
        let asked = RefCell::new(Vec::new());
        let busy = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            Err(Error::refused("in use"))
        };
        assert!(switch_off(sys.path(), &sys.path().join(&first), &busy).is_err());
        assert_eq!(
            (asked.into_inner(), fs::read_to_string(sys.path().join(&remove)).expect("read")),
            (vec!["sdc".to_owned()], String::new())
        );
    }

    #[test]
    fn a_sata_disk_is_deleted_and_others_are_left_on() {
        let block = "devices/pci0000:00/ata1/host0/target0:0:0/0:0:0:0/block/sda";
        let delete = format!("{block}/device/delete");
        let disk = "devices/pci0000:00/ata1/host0/target0:0:0/0:0:0:0/scsi_disk/0:0:0:0";
        let stops = ["manage_system_start_stop", "manage_start_stop"].map(|name| format!("{disk}/{name}"));
        let sys = tree(&[&delete, &stops[0], &stops[1]]);
        assert_eq!(switch_off(sys.path(), &sys.path().join(block), &free).expect("off"), Power::ScsiDeleted);
        // The old one cannot be written where there is the new one.
        let stops = stops.map(|stop| fs::read_to_string(sys.path().join(stop)).expect("read"));
        assert_eq!(stops, ["1", ""]);
        assert_eq!(fs::read_to_string(sys.path().join(delete)).expect("read"), "1");
        let nvme = "devices/pci0000:00/nvme/nvme0/nvme0n1";
        assert_eq!(switch_off(sys.path(), &sys.path().join(nvme), &free).expect("on"), Power::LeftOn);
    }
}
