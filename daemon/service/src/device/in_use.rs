//! Finds out who uses a device or a mounted drive, so that it cannot be released.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{Part, Sentence};
use super::other_mounts;
use crate::types::{DriveProblemCode, DriveProblemParams};

/// At most so many processes are named.
const MOST: usize = 5;

/// A sentence: the drive that is mounted at `at` is in use, by which processes, as far as /proc says.
pub(crate) fn mount_in_use(at: &Path) -> Sentence {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry.path();
        let pid = entry.file_name().into_string().unwrap_or_default();
        if !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()) && uses(&process, at) {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            names.push(format!("{} ({pid})", super::text::shown(&name)));
        }
    }
    let more = if names.len() > MOST { " and others" } else { "" };
    names.truncate(MOST);
    let names = names.join(", ");
    let at = at.display();
    let drive = Part::Hidden(&at, "the drive");
    let directory = Part::Hidden(&at, "its directory");
    let unseen = [Part::Text("a process that the service cannot see (fuser -vm "), directory, Part::Text(" shows it)")];
    let by = if names.is_empty() { Sentence::of(&unseen) } else { Sentence::of(&[Part::Name(&names)]) };
    let end = "; end these programs, then try again";
    Sentence::of(&[drive, Part::Text(" is used by "), Part::Sentence(&by), Part::Text(more), Part::Text(end)])
        .coded(DriveProblemCode::InUse, DriveProblemParams::default())
}

fn uses(process: &Path, at: &Path) -> bool {
    let leads = |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(at));
    let open = || fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    leads(&process.join("cwd")) || leads(&process.join("root")) || open().any(|entry| leads(&entry.path()))
}

/// A sentence: the disk or partition at `node`, which this service has not mounted, or a part of it, is in use, by what, and
/// what to do.
pub(crate) fn device_in_use(node: &Path) -> Sentence {
    device_in_use_below(Path::new("/"), node)
}

/// The same with the files of the kernel below `root`.
fn device_in_use_below(root: &Path, node: &Path) -> Sentence {
    let name = node.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let known = parts(root, &name).into_iter().find_map(|part| use_of(root, &part));
    let sentence = known.unwrap_or_else(|| {
        let text = " or one of its partitions is still in use (lsblk shows them); stop using it, then try again";
        Sentence::of(&[Part::Node(node), Part::Text(text)])
    });
    sentence.coded(DriveProblemCode::InUse, DriveProblemParams { device: Some(name), ..DriveProblemParams::default() })
}

/// Its own name and those of its partitions.
fn parts(root: &Path, disk: &str) -> Vec<String> {
    let folder = root.join("sys/class/block").join(disk);
    let is_part = |entry: &fs::DirEntry| entry.path().join("partition").exists();
    let mut parts: Vec<String> = vec![disk.to_owned()];
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    parts.extend(entries.filter(is_part).filter_map(|entry| entry.file_name().into_string().ok()));
    parts.sort();
    parts
}

fn use_of(root: &Path, part: &str) -> Option<Sentence> {
    let node = format!("/dev/{part}");
    let sentence = |text| Some(Sentence::of(&[Part::Node(Path::new(&node)), Part::Text(text)]));
    if let Some(at) = mounted_at(root, Path::new(&node)) {
        let at = at.display();
        return Some(Sentence::of(&[
            Part::Node(Path::new(&node)),
            Part::Text(" is mounted "),
            Part::Hidden(&format_args!("at {at}"), "(butterdock drives shows where)"),
            Part::Text("; unmount it (umount, or eject it on the desktop), then try again"),
        ]));
    }
    if is_mounted_unseen(root, part) {
        return sentence(
            " is mounted in a mount namespace that the service does not see, such as that of a container; unmount it \
             there, then try again",
        );
    }
    let swaps = fs::read_to_string(root.join("proc/swaps")).unwrap_or_default();
    if swaps.lines().any(|line| line.split_whitespace().next() == Some(&node)) {
        return sentence(" is used as swap; switch it off (swapoff), then try again");
    }
    let holders = fs::read_dir(root.join("sys/class/block").join(part).join("holders"));
    let mut holders: Vec<String> =
        holders.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    holders.sort();
    holders.first().map(|holder| {
        let called = fs::read_to_string(root.join("sys/class/block").join(holder).join("dm/name")).unwrap_or_default();
        let called = super::text::shown(called.trim());
        let called = if called.is_empty() { String::new() } else { format!(" ({called})") };
        Sentence::of(&[
            Part::Node(Path::new(&node)),
            Part::Text(" is used by "),
            Part::Name(holder),
            Part::Name(&called),
            Part::Text(", which is a container, a volume group or an array; close it, then try again"),
        ])
    })
}

fn mounted_at(root: &Path, node: &Path) -> Option<PathBuf> {
    let mounts = other_mounts::mounts_below(root).unwrap_or_default();
    mounts.into_iter().find(|mount| mount.nodes.iter().any(|other| other == node)).map(|mount| mount.at)
}

fn is_mounted_unseen(root: &Path, part: &str) -> bool {
    let filesystems = fs::read_dir(root.join("sys/fs/btrfs"));
    filesystems.into_iter().flatten().flatten().any(|entry| entry.path().join("devices").join(part).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str =
        "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n36 25 0:40 / /mnt/usb\\040stick rw - btrfs /dev/sdb2 rw\n";

    fn sentence(files: &[(&str, &str)], node: &str) -> String {
        both(files, node).to_string()
    }

    fn both(files: &[(&str, &str)], node: &str) -> Sentence {
        let root = tempfile::tempdir().expect("a folder");
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        device_in_use_below(root.path(), Path::new(node))
    }

    #[test]
    fn the_public_text_of_a_mounted_partition_has_no_path() {
        let part = ("sys/class/block/sdb/sdb2/partition", "2");
        let text = both(&[("proc/thread-self/mountinfo", MOUNTS), part], "/dev/sdb");
        assert!(text.to_string().starts_with("/dev/sdb2 is mounted at /mnt/usb stick; unmount it"), "{text}");
        assert!(text.public().starts_with("sdb2 is mounted (butterdock drives shows where); unmount it"), "{text:?}");
    }

    #[test]
    fn a_mounted_member_device_is_named() {
        let text = sentence(&[("sys/fs/btrfs/0f1e/devices/sdc", "")], "/dev/sdc");
        assert!(text.starts_with("/dev/sdc is mounted"), "{text}");
    }

    #[test]
    fn swap_and_what_lies_over_the_disk_are_named() {
        let swaps = "Filename Type Size Used Priority\n/dev/sdb1 partition 1 0 -2\n";
        let part = ("sys/class/block/sdb/sdb1/partition", "1");
        assert!(sentence(&[("proc/swaps", swaps), part], "/dev/sdb").starts_with("/dev/sdb1 is used as swap"));
        let files = [("sys/class/block/sdb/holders/dm-0", ""), ("sys/class/block/dm-0/dm/name", "vault\n")];
        assert!(sentence(&files, "/dev/sdb").starts_with("/dev/sdb is used by dm-0 (vault), which"));
    }

    #[test]
    fn an_invisible_user_still_counts_as_in_use() {
        assert!(sentence(&[], "/dev/sdb").starts_with("/dev/sdb or one of its partitions is still in use"));
    }

    #[test]
    fn the_program_with_an_open_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let quiet = mount_in_use(folder.path());
        assert!(quiet.to_string().contains("cannot see (fuser -vm /"), "{quiet}");
        assert!(!quiet.public().contains('/'), "{quiet:?}");
        let _open = fs::File::create(folder.path().join("file")).expect("made");
        let text = mount_in_use(folder.path());
        assert!(text.public().contains(&format!("({})", std::process::id())), "{text}");
    }
}
