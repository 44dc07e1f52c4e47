//! Which drives that are not enrolled are shown.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{Action, Decision, DriveId, PolicyInput};
use crate::config::MatchRule;
use crate::device::{BlockDevice, Bus};

/// The drives that are shown in addition to the enrolled ones.
pub(super) fn others(input: &PolicyInput<'_>, judged: &[Decision]) -> Vec<Decision> {
    let taken: BTreeSet<&Path> = judged.iter().flat_map(|decision| &decision.devices).map(AsRef::as_ref).collect();
    let parted: BTreeSet<&Path> =
        input.devices.iter().filter_map(|device| device.partition.as_ref()).map(|part| part.disk.as_path()).collect();
    let seen = |device: &&BlockDevice| {
        let whole_and_parted = device.partition.is_none() && parted.contains(device.node.as_path());
        // A card reader without a card has no size; the open side of a container is shown with the container.
        !whole_and_parted && device.size > 0 && device.bus != Bus::Mapper && !taken.contains(device.node.as_path())
    };
    let filesystems = filesystems(input.devices.iter().filter(seen), input);
    let shown = filesystems.iter().filter(|devices| devices.iter().any(|device| is_shown(device, input)));
    shown.filter_map(|devices| show(devices)).collect()
}

/// The devices of each filesystem. A device without one is alone, and so is each of those among which is a copy.
fn filesystems<'a>(
    devices: impl Iterator<Item = &'a BlockDevice>,
    input: &PolicyInput<'a>,
) -> Vec<Vec<&'a BlockDevice>> {
    let devices: Vec<_> = devices.map(|device| (device, btrfs_of(device, input))).collect();
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for (device, btrfs) in &devices {
        let Some((filesystem, _)) = btrfs else {
            all.push(vec![*device]);
            continue;
        };
        if !seen.insert(filesystem) {
            continue;
        }
        let is_of_it = |(_, btrfs): &&(_, Option<(Uuid, Uuid)>)| btrfs.is_some_and(|(other, _)| other == *filesystem);
        let of_it: Vec<_> = devices.iter().filter(is_of_it).collect();
        let members: BTreeSet<_> = of_it.iter().map(|(_, btrfs)| btrfs).collect();
        let of_it: Vec<&BlockDevice> = of_it.iter().map(|(device, _)| *device).collect();
        if members.len() < of_it.len() {
            all.extend(of_it.into_iter().map(|device| vec![device]));
        } else {
            all.push(of_it);
        }
    }
    all
}

/// The uuids of the filesystem on a device, or on the open side of a container.
fn btrfs_of(device: &BlockDevice, input: &PolicyInput<'_>) -> Option<(Uuid, Uuid)> {
    let is_over = |other: &&BlockDevice| other.over() == Some(device.name());
    device.btrfs().or_else(|| input.devices.iter().find(is_over)?.btrfs())
}

/// Whether it is looked at at all, enrolled or not.
pub(super) fn counts(device: &BlockDevice, input: &PolicyInput<'_>) -> bool {
    device.bus != Bus::Loop || is_ruled(device, input)
}

/// Whether the service has to read a device itself. Either udev's prober saw neither btrfs nor a container on a device that is shown,
/// or that may be a device of an enrolled drive; or it saw a btrfs filesystem that is not enrolled, and does not say how many devices
/// that has.
pub(crate) fn is_unclear(device: &BlockDevice, input: &PolicyInput<'_>) -> bool {
    let is_parted = || {
        let mut parts = input.devices.iter().filter_map(|device| device.partition.as_ref());
        parts.any(|part| part.disk == device.node)
    };
    let members = || input.enrolments.iter().flat_map(|enrolment| &enrolment.members);
    let is_enrolled = || {
        let filesystem = device.btrfs().map(|(filesystem, _)| filesystem);
        input.enrolments.iter().any(|enrolment| Some(enrolment.filesystem) == filesystem)
    };
    let is_member = || members().any(|it| it.luks.is_none() && it.serial == device.serial && it.size == device.size);
    let is_inside = |luks: Uuid| {
        members().any(|it| it.luks == Some(luks))
            || input.devices.iter().any(|other| other.luks() == Some(luks) && is_shown(other, input))
    };
    let luks = device.mapping.as_ref().and_then(|mapping| mapping.luks);
    let concerns = || match device.content.as_ref().map(|content| content.kind.as_str()) {
        Some("crypto_LUKS") => false,
        Some("btrfs") => !is_enrolled() && luks.map_or_else(|| is_shown(device, input), is_inside),
        Some(_) | None => luks.map_or_else(|| is_shown(device, input) || is_member(), is_inside),
    };
    device.size > 0 && counts(device, input) && concerns() && !is_parted()
}

/// The id of a device that is decided by itself.
pub(super) fn id(device: &BlockDevice) -> DriveId {
    DriveId::Device(device.name().to_owned(), device.diskseq)
}

fn is_shown(device: &BlockDevice, input: &PolicyInput<'_>) -> bool {
    (device.bus != Bus::Loop && (device.bus == Bus::Usb || device.removable)) || is_ruled(device, input)
}

fn is_ruled(device: &BlockDevice, input: &PolicyInput<'_>) -> bool {
    // A rule for a disk holds for its parts: they share all but the end of the path, which a pattern can leave open.
    let disk = || input.devices.iter().find(|other| other.node == device.disk());
    let ruled = |device: &BlockDevice| input.rules.iter().any(|rule| takes(rule, device));
    ruled(device) || disk().is_some_and(ruled)
}

/// One drive, which is called after the device that came first.
fn show(devices: &[&BlockDevice]) -> Option<Decision> {
    let first = devices.iter().min_by_key(|device| (device.diskseq, device.name()))?;
    let disks: BTreeSet<PathBuf> = devices.iter().map(|device| device.disk().to_path_buf()).collect();
    Some(Decision {
        id: id(first),
        devices: devices.iter().map(|device| device.node.clone()).collect(),
        disks: disks.into_iter().collect(),
        action: Action::Show,
        note: super::remains(devices),
    })
}

/// Whether it has all of what the rule says.
fn takes(rule: &MatchRule, device: &BlockDevice) -> bool {
    let MatchRule { devpath, serial, id_path, loop_file } = rule;
    let says_nothing = [devpath, serial, id_path, loop_file].iter().all(|pattern| pattern.is_none());
    if says_nothing || (device.bus == Bus::Loop && loop_file.is_none()) {
        return false;
    }
    let path = device.syspath.to_string_lossy();
    let path = path.strip_prefix("/sys").unwrap_or(&path);
    let has = |pattern: &Option<String>, text: Option<&str>| {
        pattern.as_ref().is_none_or(|pattern| text.is_some_and(|text| matches(pattern, text)))
    };
    has(devpath, Some(path))
        && has(serial, Some(&device.serial))
        && has(id_path, Some(&device.id_path))
        && has(loop_file, device.loop_file.as_deref())
}

/// Whether `text` is what `pattern` says: `*` stands for any letters, none included, `?` for one; all else for itself.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0_usize, 0_usize);
    // Where the last star was, and up to where it has taken letters: only the last can be wrong, so this ends early.
    let mut star: Option<(usize, usize)> = None;
    while let Some(letter) = text.get(t) {
        match (pattern.get(p), star) {
            (Some('*'), _) => {
                star = Some((p, t));
                p = p.saturating_add(1);
            }
            (Some(wanted), _) if *wanted == '?' || wanted == letter => {
                p = p.saturating_add(1);
                t = t.saturating_add(1);
            }
            (_, Some((at, taken))) => {
                star = Some((at, taken.saturating_add(1)));
                p = at.saturating_add(1);
                t = taken.saturating_add(1);
            }
            (_, None) => return false,
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_say_what_the_shell_says() {
        for (pattern, text, is) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("/srv/*.img", "/srv/a.img", true),
            ("/srv/*.img", "/srv/a.img.bak", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ab ab a", false),
            ("a?c", "aéc", true),
            ("[a]", "a", false),
            ("pci-0000:*-usb-*", "pci-0000:00:14.0-usb-0:1:1.0-scsi-0:0:0:0", true),
        ] {
            assert_eq!(matches(pattern, text), is, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        assert!(!matches(&"*a".repeat(100), &"a".repeat(99)));
    }
}
