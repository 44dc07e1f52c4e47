//! What `enrol` is about: a drive, or a whole disk with all its partitions.

use crate::failure::Failure;
use crate::render::{bytes, escaped, short_label};
use crate::service::{Drive, Objects};

/// A drive, and the partitions that go with it.
#[derive(Debug)]
pub(super) struct Target<'a> {
    /// The drive; of a whole disk, its largest partition.
    pub(super) drive: &'a Drive,
    /// All partitions of the disk; none where only the drive is meant.
    partitions: Vec<&'a Drive>,
}

impl<'a> Target<'a> {
    /// What the user names. The name of a disk with partitions is the disk itself where it is to be erased, and else its one
    /// partition with btrfs.
    ///
    /// # Errors
    /// The name is that of no drive, or of several.
    pub(super) fn find(objects: &'a Objects, wanted: &str, format: bool) -> Result<Self, Failure> {
        let disk = wanted.strip_prefix("/dev/").unwrap_or(wanted);
        let is_part = |drive: &&Drive| drive.now.disk == disk && drive.now.device != disk && !disk.is_empty();
        let partitions: Vec<&Drive> = objects.drives.iter().filter(is_part).collect();
        let Some(largest) = partitions.iter().copied().max_by_key(|drive| drive.now.size) else {
            return Ok(Self { drive: objects.drive_to_enrol(wanted)?, partitions });
        };
        if format {
            return Ok(Self { drive: largest, partitions });
        }
        let has_btrfs = |drive: &&&Drive| drive.now.filesystem_type == "btrfs" || drive.now.encrypted;
        match partitions.iter().filter(has_btrfs).collect::<Vec<_>>().as_slice() {
            [drive] => Ok(Self { drive, partitions: Vec::new() }),
            [] => Err(Failure::usage(
                format!("no partition of the disk {} has btrfs ({})", escaped(disk), list(&partitions)),
                "`butterdock enrol DISK --format` erases the disk with all its partitions, and makes a btrfs filesystem",
            )),
            several => Err(Failure::usage(
                format!(
                    "{} partitions of the disk {} may have btrfs ({})",
                    several.len(),
                    escaped(disk),
                    list(&partitions)
                ),
                "name one of them; `butterdock drives` shows each",
            )),
        }
    }

    /// Whether all partitions of the disk go.
    pub(super) fn is_whole_disk(&self) -> bool {
        !self.partitions.is_empty()
    }

    /// Bytes that are erased.
    pub(super) fn size(&self) -> u64 {
        if self.is_whole_disk() { self.drive.now.disk_size } else { self.drive.now.size }
    }

    /// The drive after its enrolment, also if it has been switched off and has no device any more.
    pub(super) fn enrolled<'n>(&self, before: &Objects, now: &'n Objects) -> Option<&'n Drive> {
        let known = &self.drive.now;
        let device = if self.is_whole_disk() { &known.disk } else { &known.device };
        let is_it = |drive: &&Drive| drive.now.enrolled && drive.now.device == *device;
        let is_new = |drive: &&Drive| drive.now.enrolled && !before.drives.iter().any(|other| other.id == drive.id);
        let is_alike = |drive: &&Drive| drive.now.serial == known.serial && drive.now.size == self.size();
        let mut new = now.drives.iter().filter(is_new);
        now.drives.iter().find(is_it).or_else(|| new.find(is_alike))
    }

    /// A name for a line of text.
    pub(super) fn title(&self) -> String {
        if self.is_whole_disk() {
            return format!("the disk {} with all its partitions", escaped(&self.drive.now.disk));
        }
        format!("the drive {}", short_label(&self.drive.now.title()))
    }

    /// What is lost.
    pub(super) fn description(&self) -> String {
        let now = &self.drive.now;
        let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { escaped(text) };
        let (device, holds) = if self.is_whole_disk() {
            (or_none(&now.disk), format!("the partitions {}", list(&self.partitions)))
        } else if now.disk == now.device || now.disk.is_empty() {
            (or_none(&now.device), contents(self.drive))
        } else {
            let device = format!("{}, a partition of {}, whose other partitions stay", now.device, now.disk);
            (escaped(&device), contents(self.drive))
        };
        format!(
            "  model   {}\n  serial  {}\n  size    {} ({} bytes)\n  device  {device}\n  holds   {holds}",
            or_none(&now.model),
            or_none(&now.serial),
            bytes(self.size()),
            self.size(),
        )
    }
}

/// What is on a drive: whether it is enrolled, the filesystem and its label.
fn contents(drive: &Drive) -> String {
    let now = &drive.now;
    let kind = match now.filesystem_type.as_str() {
        _ if now.encrypted => "LUKS".to_owned(),
        "" => "no known filesystem".to_owned(),
        kind => escaped(kind),
    };
    let is_of_unreadable_record = now.problems.iter().any(|problem| problem.code == "enrolment-unreadable");
    let enrolled = match (now.enrolled, is_of_unreadable_record) {
        (true, _) => "an enrolled drive, ",
        (false, true) => "an enrolled drive whose record cannot be read, ",
        (false, false) => "",
    };
    format!("{enrolled}{kind} {}", short_label(&now.label)).trim_end().to_owned()
}

/// Each of these with its size and what is on it.
fn list(drives: &[&Drive]) -> String {
    let one =
        |drive: &&Drive| format!("{} ({}, {})", escaped(&drive.now.device), bytes(drive.now.size), contents(drive));
    drives.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use butterdock_dbus::{DriveProperties, Problem, ProblemParams, path};

    use super::*;

    fn part(device: &str, size: u64, kind: &str) -> Drive {
        let now = DriveProperties {
            device: device.to_owned(),
            disk: "sdb".to_owned(),
            disk_size: 1 << 30,
            size,
            filesystem_type: kind.to_owned(),
            ..DriveProperties::default()
        };
        let (id, path) = (format!("{device}-27"), path::drive_path(device).to_string());
        Drive { id, path, now, destination: None, mount_points: Vec::new() }
    }

    fn objects(drives: Vec<Drive>) -> Objects {
        Objects { drives, ..Objects::default() }
    }

    #[test]
    fn a_disk_as_sold_is_erased_as_a_whole() {
        let sold = objects(vec![part("sdb1", 16 << 20, ""), part("sdb2", 900 << 20, "exfat")]);
        for name in ["sdb", "/dev/sdb"] {
            let target = Target::find(&sold, name, true).expect("found");
            assert_eq!(
                (target.drive.now.device.as_str(), target.is_whole_disk(), target.size()),
                ("sdb2", true, 1 << 30)
            );
            let said = target.description();
            assert!(said.contains("sdb1 (16.00 MiB, no known filesystem), sdb2 (900.00 MiB, exfat)"), "{said}");
            let none = Target::find(&sold, name, false).expect_err("no btrfs");
            assert!(none.message.contains("no partition of the disk sdb has btrfs (sdb1 "), "{}", none.message);
        }
        let target = Target::find(&sold, "sdb1", true).expect("found");
        assert_eq!(
            (target.drive.now.device.as_str(), target.is_whole_disk(), target.size()),
            ("sdb1", false, 16 << 20)
        );
        assert!(target.description().contains("sdb1, a partition of sdb, whose other partitions stay"));
        let mut enrolled = part("sdb2", 900 << 20, "btrfs");
        enrolled.now.enrolled = true;
        let kept = objects(vec![enrolled]);
        for name in ["sdb", "sdb2"] {
            let said = Target::find(&kept, name, true).expect("found").description();
            assert!(said.contains("an enrolled drive, btrfs"), "{said}");
        }
        let mut unreadable = part("sdb2", 900 << 20, "btrfs");
        let code = "enrolment-unreadable".to_owned();
        unreadable.now.problems = vec![Problem { code, params: ProblemParams::default(), english: String::new() }];
        let said = Target::find(&objects(vec![unreadable]), "sdb", true).expect("found").description();
        assert!(said.contains("an enrolled drive whose record cannot be read, btrfs"), "{said}");
    }

    #[test]
    fn the_one_partition_with_btrfs_is_found() {
        let one = objects(vec![part("sdb1", 1, "vfat"), part("sdb2", 2, "btrfs")]);
        let target = Target::find(&one, "sdb", false).expect("found");
        assert_eq!((target.drive.now.device.as_str(), target.is_whole_disk()), ("sdb2", false));
        let several = objects(vec![part("sdb1", 1, "btrfs"), part("sdb2", 2, "btrfs")]);
        let refused = Target::find(&several, "sdb", false).expect_err("two");
        assert!(refused.message.contains("2 partitions of the disk sdb"), "{}", refused.message);
    }

    #[test]
    fn the_enrolled_drive_is_found_also_when_it_is_switched_off() {
        let mut before = objects(vec![part("sdb2", 2, "btrfs"), part("", 2, "btrfs")]);
        before.drives[1].now.enrolled = true;
        let target = Target::find(&before, "sdb2", false).expect("found");
        let mut after = before.drives[0].clone();
        after.id = "3f2a".to_owned();
        after.now.enrolled = true;
        let attached = objects(vec![before.drives[1].clone(), after.clone()]);
        after.now.device.clear();
        let off = objects(vec![before.drives[1].clone(), after]);
        for now in [attached, off] {
            assert_eq!(target.enrolled(&before, &now).map(|drive| drive.id.as_str()), Some("3f2a"));
        }
        assert!(target.enrolled(&before, &before).is_none());
    }

    #[test]
    fn a_disk_without_partitions_is_a_drive() {
        let whole = objects(vec![part("sdb", 1 << 30, "btrfs")]);
        for format in [true, false] {
            let target = Target::find(&whole, "sdb", format).expect("found");
            assert_eq!((target.is_whole_disk(), target.size()), (false, 1 << 30));
        }
        assert!(Target::find(&whole, "sdc", true).is_err());
    }
}
