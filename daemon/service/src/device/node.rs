//! Opens a block device's node, checks by its device number that it is the right device ([`open_same`] also by its diskseq,
//! the kernel's count of disks), reads its superblock, and makes a filesystem on it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use butterdock_btrfs::partitions::Partition;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use uuid::Uuid;

use super::block_device::BlockDevice;
use super::error::{Error, Part, Result, Sentence};
use super::luks::{Cryptsetup, Secret};
use super::power;
use super::superblock::{self, LENGTH, OFFSET, Superblock};

/// Timeout for programs that have a partition open only to look at it.
const PROBING: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(50);

/// The message if a node has become another device.
const OTHER: &str = " has changed to another device; plug the drive in again";

/// Reads the superblock of the device `node`, which must be the block device of this number. Blocks as long as the drive
/// does.
///
/// # Errors
/// The node is another device, cannot be read, or has no good superblock.
pub(crate) fn superblock(node: &Path, devnum: u64) -> Result<Superblock> {
    let file = open(node, devnum)?;
    let mut bytes = [0; LENGTH];
    file.read_exact_at(&mut bytes, OFFSET).map_err(|error| unread(&file, node, error))?;
    superblock::parse(&bytes)
        .map_err(|what| Error::refused(Sentence::of(&[Part::Node(node), Part::Text(": "), Part::Sentence(&what)])))
}

/// The error of a read that failed or was too short. After the medium is removed, its node reads as empty; a failing
/// enclosure returns too few bytes.
fn unread(mut file: &File, node: &Path, error: io::Error) -> Error {
    let small = file.seek(SeekFrom::End(0)).is_ok_and(|size| (1..OFFSET + LENGTH as u64).contains(&size));
    let short = error.kind() == ErrorKind::UnexpectedEof;
    if short && small {
        let text = Part::Text(": it is too small for a btrfs filesystem");
        return Error::refused(Sentence::of(&[Part::Node(node), text]));
    }
    let error = if short { Errno::ENXIO.into() } else { error };
    Error::system(format!("reading {}", node.display()))(error)
}

/// Opens a node that must be the block device of this number: names below /dev are used again.
pub(crate) fn open(node: &Path, devnum: u64) -> Result<File> {
    let flags = OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let open = File::options().read(true).custom_flags(flags.bits()).open(node);
    let file = open.map_err(Error::system(format!("opening {}", node.display())))?;
    let facts = file.metadata().map_err(Error::system(format!("examining {}", node.display())))?;
    if !facts.file_type().is_block_device() || facts.rdev() != devnum {
        return Err(Error::refused(Sentence::of(&[Part::Node(node), Part::Text(OTHER)])));
    }
    Ok(file)
}

/// Opens the device that these facts are of. A disk that came in its place since has its name and its number, and udev may not
/// have reported it yet; the kernel counts disks. While this is open no other disk gets that name.
pub(crate) fn open_same(facts: &BlockDevice) -> Result<File> {
    let file = open(&facts.node, facts.devnum)?;
    // A partition's diskseq is in its parent's directory.
    let places = [facts.syspath.join("diskseq"), facts.syspath.join("../diskseq")];
    let now = places.iter().find_map(|place| fs::read_to_string(place).ok()?.trim().parse::<u64>().ok());
    if facts.diskseq != 0 && now != Some(facts.diskseq) {
        return Err(Error::refused(Sentence::of(&[Part::Node(&facts.node), Part::Text(OTHER)])));
    }
    Ok(file)
}

/// Whether the kernel refuses every write to the device of this node.
pub(super) fn is_write_protected(node: &Path) -> bool {
    let Some(name) = node.file_name() else { return false };
    fs::read_to_string(Path::new("/sys/class/block").join(name).join("ro")).is_ok_and(|text| text.trim() == "1")
}

/// Reads a file of up to `most` bytes; `None` if it is larger.
pub(crate) fn read_small(file: &File, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// Where systems have the tool.
const TOOLS: [&str; 4] = ["/usr/sbin/mkfs.btrfs", "/sbin/mkfs.btrfs", "/usr/bin/mkfs.btrfs", "/bin/mkfs.btrfs"];

/// As [`super::Devices::format`] has it.
pub(super) fn format(device: &BlockDevice, label: &str) -> Result<Superblock> {
    let tool = TOOLS.iter().map(Path::new).find(|tool| tool.exists());
    let tool = tool.ok_or_else(|| Error::refused("mkfs.btrfs is not installed; install btrfs-progs"))?;
    format_with(tool, device, label)
}

fn format_with(tool: &Path, device: &BlockDevice, label: &str) -> Result<Superblock> {
    erased(device, || make(tool, &device.node, label).and_then(|()| superblock(&device.node, device.devnum)))
}

/// As [`super::Devices::encrypt`] has it.
pub(super) fn encrypt(device: &BlockDevice, luks: Uuid, secret: &Secret) -> Result<()> {
    let tool = Cryptsetup::find()?;
    erased(device, || tool.format(&device.node, luks, secret))
}

/// Has `make` replace everything that is on the device, which must be unused.
fn erased<T>(device: &BlockDevice, make: impl FnOnce() -> Result<T>) -> Result<T> {
    // Open until the end: the tool uses the name, which is this disk's while it is open.
    let same = open_same(device)?;
    if is_write_protected(&device.node) {
        return Err(Error::WriteProtected { doing: format!("formatting {}", device.node.display()) });
    }
    drop(power::claim(&device.node, Some(device.devnum))?);
    let is_whole = device.partition.is_none();
    let before = if is_whole { beginning(&same) } else { None };
    let forgotten = if is_whole { forget_partitions(&same, device)? } else { Vec::new() };
    let made = make().map_err(|error| {
        let is_known = forgotten.is_empty() || know_again(&same, device, forgotten, before.as_ref());
        if is_known { error } else { without_partitions(device, error) }
    });
    drop(same);
    made
}

/// Where partition tables are: that of DOS, and the first one of GPT.
fn beginning(disk: &File) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 32 << 10];
    disk.read_exact_at(&mut bytes, 0).ok()?;
    Some(bytes)
}

/// Has the kernel know the partitions of a disk after a failed attempt to erase it: these, if the table is as it was `before`, and
/// otherwise those that are left in it. Answers whether it does.
fn know_again(file: &File, disk: &BlockDevice, forgotten: Vec<Partition>, before: Option<&Vec<u8>>) -> bool {
    if before.is_some() && beginning(file).as_ref() == before {
        return forgotten.into_iter().all(|partition| add_again(file, disk, partition));
    }
    let read = butterdock_btrfs::partitions::read_again(file);
    if let Err(fault) = &read {
        tracing::warn!(
            "the kernel could not read the partitions of {} again: {fault}; run partprobe",
            disk.node.display()
        );
    }
    read.is_ok()
}

/// The error of a failed attempt to erase a disk whose partitions the kernel does not know any more, with what to do.
fn without_partitions(disk: &BlockDevice, error: Error) -> Error {
    match error {
        Error::Refused(sentence) => Error::Refused(Sentence::of(&[
            Part::Sentence(&sentence),
            Part::Text(
                "; the kernel does not know what is left of its partitions: plug it in again, or run partprobe, before you ",
            ),
            Part::Text("use them ("),
            Part::Node(&disk.node),
            Part::Text(")"),
        ])),
        // Without the device there is nothing to do.
        Error::InUse(_) | Error::WrongSecret(_) | Error::System { .. } | Error::WriteProtected { .. } => error,
    }
}

/// Has the kernel forget the partitions of a disk that is to be erased, so that no program uses them afterwards. On an error it
/// knows all of them again: they are as they were, and a disk inside the machine cannot be plugged in again. Answers with them.
fn forget_partitions(file: &File, disk: &BlockDevice) -> Result<Vec<Partition>> {
    let begun = Instant::now();
    let mut forgotten = Vec::new();
    for partition in partitions(&disk.syspath) {
        match forget_partition(file, disk, partition.number, begun) {
            Ok(true) => forgotten.push(partition),
            Ok(false) => {}
            Err(error) => {
                for partition in forgotten {
                    add_again(file, disk, partition);
                }
                return Err(error);
            }
        }
    }
    Ok(forgotten)
}

/// Answers false where there is no such partition any more.
fn forget_partition(file: &File, disk: &BlockDevice, number: u32, begun: Instant) -> Result<bool> {
    loop {
        match butterdock_btrfs::partitions::forget(file, number) {
            Ok(()) => return Ok(true),
            Err(error) if error.errno == Errno::ENXIO => return Ok(false),
            // A prober has it open for a moment.
            Err(error) if error.errno == Errno::EBUSY && begun.elapsed() < PROBING => sleep(RETRY),
            Err(error) if error.errno == Errno::EBUSY => {
                return Err(Error::refused(Sentence::of(&[
                    Part::Text("a program has partition "),
                    Part::Number(number.into()),
                    Part::Text(" of "),
                    Part::Node(&disk.node),
                    Part::Text(" open (fuser shows it); nothing was erased; end the program, then try again"),
                ])));
            }
            Err(error) => return Err(Error::system(format!("erasing {}", disk.node.display()))(error.errno)),
        }
    }
}

fn add_again(file: &File, disk: &BlockDevice, partition: Partition) -> bool {
    let added = butterdock_btrfs::partitions::add(file, partition);
    if let Err(error) = &added {
        let (number, node) = (partition.number, disk.node.display());
        tracing::warn!("the kernel did not take partition {number} of {node} back: {error}; run partprobe {node}");
    }
    added.is_ok()
}

/// The partitions that the kernel knows.
fn partitions(disk: &Path) -> Vec<Partition> {
    let entries = fs::read_dir(disk).into_iter().flatten().flatten();
    let partition = |entry: fs::DirEntry| {
        let value = |name: &str| fs::read_to_string(entry.path().join(name)).ok()?.trim().parse::<u64>().ok();
        // sysfs counts sectors of this size on every disk.
        let bytes = |name: &str| value(name)?.checked_mul(512);
        let number = u32::try_from(value("partition")?).ok()?;
        Some(Partition { number, start: bytes("start")?, length: bytes("size")? })
    };
    entries.filter_map(partition).collect()
}

/// The tool itself refuses a device that is in use.
fn make(tool: &Path, node: &Path, label: &str) -> Result<()> {
    let mut command = Command::new(tool);
    command.args(["--quiet", "--force", "--label", label, "--"]).arg(node);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").current_dir("/");
    let done =
        command.stdin(Stdio::null()).output().map_err(Error::system(format!("formatting {}", node.display())))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let said = super::text::shown(said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default());
    Err(Error::refused(Sentence::of(&[
        Part::Text("mkfs.btrfs failed ("),
        Part::Status(done.status),
        Part::Text("): "),
        Part::Hidden(&said, "the journal of butterdockd says why"),
        Part::Text("; what was on the drive may be gone in part: format it again"),
    ])))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use butterdock_fixtures::{Loop, Sandbox, TIMEOUT, run};

    use super::*;
    use crate::device::Bus;

    /// A disk with one partition, which the kernel knows.
    struct Parted {
        sandbox: Sandbox,
        disk: Loop,
    }

    impl Parted {
        /// `options`: of losetup. Without partscan the kernel does not read its table.
        fn new(options: &[&str]) -> Self {
            let sandbox = Sandbox::new().expect("root");
            let image = sandbox.join("disk.img");
            File::create(&image).and_then(|file| file.set_len(16 << 20)).expect("made");
            fs::write(&image, table())
                .and_then(|()| File::options().write(true).open(&image)?.set_len(16 << 20))
                .expect("written");
            let disk = Loop::with(&image, options).expect("a loop device");
            let parted = Self { sandbox, disk };
            if !parted.is_known() {
                let place = ["1", "2048", "4096"];
                run(Command::new("addpart").arg(parted.disk.path()).args(place), TIMEOUT)
                    .and_then(butterdock_fixtures::Finished::success)
                    .expect("added");
            }
            assert!(parted.is_known());
            parted
        }

        fn is_known(&self) -> bool {
            let name = self.disk.name();
            Path::new("/sys/class/block").join(&name).join(format!("{name}p1")).exists()
        }

        fn device(&self) -> BlockDevice {
            let node = self.disk.path().to_owned();
            let syspath = fs::canonicalize(Path::new("/sys/class/block").join(self.disk.name())).expect("known");
            let diskseq = fs::read_to_string(syspath.join("diskseq")).ok().and_then(|text| text.trim().parse().ok());
            BlockDevice {
                devnum: fs::metadata(&node).expect("a node").rdev(),
                node,
                syspath,
                diskseq: diskseq.unwrap_or_default(),
                bus: Bus::Loop,
                removable: false,
                model: String::new(),
                serial: String::new(),
                id_path: String::new(),
                size: 16 << 20,
                partition: None,
                content: None,
                mapping: None,
                loop_file: None,
                finding: None,
                filesystem_devices: None,
            }
        }

        /// Has a tool in place of mkfs.btrfs do this, with the node as its last argument.
        fn format(&self, does: &str) -> Result<Superblock> {
            let tool = self.sandbox.join("mkfs");
            let name = self.disk.name();
            let script = format!(
                "#!/bin/sh\n[ ! -e /sys/class/block/{name}/{name}p1 ] || exit 9\nfor node; do :; done\n{does}\n"
            );
            fs::write(&tool, script).expect("written");
            fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("set");
            format_with(&tool, &self.device(), "Red")
        }
    }

    const WIPES: &str = "dd if=/dev/zero of=$node bs=512 count=1 conv=fsync 2>/dev/null; exit 1";

    /// A partition table of DOS with one partition, in sectors 2048 to 6143.
    fn table() -> Vec<u8> {
        let mut sector = vec![0; 512];
        sector[446 + 4] = 0x83;
        sector[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
        sector[446 + 12..446 + 16].copy_from_slice(&4096_u32.to_le_bytes());
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    #[test]
    fn privileged_a_failed_mkfs_leaves_the_partitions_that_are_left() {
        let parted = Parted::new(&[]);
        let error = parted.format("echo 'no memory' >&2; exit 1").expect_err("it fails");
        assert!(error.to_string().contains("mkfs.btrfs failed (exit status: 1): no memory"), "{error}");
        assert!(!error.public().contains("memory") && !error.public().contains("partprobe"), "{error:?}");
        assert!(parted.is_known(), "the table is as it was");
        let parted = Parted::new(&["--partscan"]);
        let error = parted.format(WIPES).expect_err("it fails");
        assert!(error.to_string().contains("mkfs.btrfs failed") && !error.public().contains("partprobe"), "{error}");
        assert!(!parted.is_known(), "the table is gone");
    }

    #[test]
    fn privileged_partitions_that_are_not_known_again_are_said() {
        // The kernel does not read the table of this one.
        let parted = Parted::new(&[]);
        let error = parted.format(WIPES).expect_err("it fails");
        let text = error.public();
        assert!(text.starts_with("mkfs.btrfs failed") && text.contains("plug it in again, or run partprobe"), "{text}");
        assert!(text.contains(&parted.disk.name()) && !text.contains('/'), "{text}");
        assert!(!parted.is_known());
    }
}
