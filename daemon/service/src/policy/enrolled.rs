//! Decides what to do with an enrolled drive.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{Action, Decision, DriveUse, Locked, PolicyInput, shown};
use crate::device::{BlockDevice, Finding, Part, Sentence, mapping_name, of_device, of_devices, of_missing};
use crate::enrolment::{Enrolment, Member};
use crate::types::DriveProblemCode;

/// The decision on the drive, and those on devices with its identity; none if no device of it is attached.
pub(super) fn judge(enrolment: &Enrolment, input: &PolicyInput<'_>) -> Vec<Decision> {
    let pieces: Vec<Piece<'_>> = enrolment.members.iter().map(|member| Piece::of(member, enrolment, input)).collect();
    let strangers = strangers(enrolment, input);
    let there: Vec<&BlockDevice> = pieces.iter().flat_map(Piece::all).chain(strangers.iter().copied()).collect();
    // A mapping may outlast its disk: then no device of the drive is attached.
    let is_leftover = |device: &&BlockDevice| device.mapping.is_some();
    if pieces.iter().all(|piece| piece.outer().is_empty()) && there.iter().all(is_leftover) {
        return Vec::new();
    }
    let idle = DriveUse::default();
    let drive_use = input.in_use.iter().find(|drive_use| drive_use.enrolment == enrolment.id).unwrap_or(&idle);
    if !drive_use.mounted.is_empty() || drive_use.busy {
        return in_use(enrolment, drive_use, input, (&pieces, &there));
    }
    let action = if drive_use.released {
        Action::Leave
    } else {
        next_step(enrolment, input, &pieces, &strangers).unwrap_or_else(Action::Refuse)
    };
    vec![decision(enrolment, &there, action)]
}

/// One device of the filesystem, as it is found.
struct Piece<'a> {
    member: &'a Member,
    /// The containers, where it is encrypted.
    containers: Vec<&'a BlockDevice>,
    /// The filesystem's devices.
    open: Vec<&'a BlockDevice>,
}

impl<'a> Piece<'a> {
    fn of(member: &'a Member, enrolment: &Enrolment, input: &PolicyInput<'a>) -> Self {
        let is_container = |device: &&BlockDevice| member.luks.is_some() && device.luks() == member.luks;
        let is_open = |device: &&BlockDevice| device.btrfs() == Some((enrolment.filesystem, member.device));
        Self {
            member,
            containers: input.devices.iter().filter(is_container).collect(),
            open: input.devices.iter().filter(is_open).collect(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &'a BlockDevice> {
        self.containers.iter().chain(&self.open).copied()
    }

    /// What it was enrolled by: the container, where there is one.
    fn outer(&self) -> &[&'a BlockDevice] {
        if self.member.luks.is_some() { &self.containers } else { &self.open }
    }
}

/// Devices of the filesystem that it did not have when it was enrolled.
fn strangers<'a>(enrolment: &Enrolment, input: &PolicyInput<'a>) -> Vec<&'a BlockDevice> {
    let known = |uuid: Uuid| enrolment.members.iter().any(|member| member.device == uuid);
    let strange = |device: &&BlockDevice| {
        device.btrfs().is_some_and(|(filesystem, uuid)| filesystem == enrolment.filesystem && !known(uuid))
    };
    input.devices.iter().filter(strange).collect()
}

/// What is mounted stays as it is; who comes now with its uuid is a copy, or was missing when the others were mounted.
fn in_use(
    enrolment: &Enrolment,
    drive_use: &DriveUse,
    input: &PolicyInput<'_>,
    (pieces, there): (&[Piece<'_>], &[&BlockDevice]),
) -> Vec<Decision> {
    let used = in_use_nodes(drive_use, input);
    let is_used = |device: &BlockDevice| used.contains(device.node.as_path());
    let was_missing = |device: &BlockDevice| {
        let is_it = |piece: &&Piece<'_>| piece.all().any(|other| other.node == device.node);
        !used.is_empty() && pieces.iter().find(is_it).is_some_and(|piece| !piece.all().any(is_used))
    };
    // While an action is carried out it is not known yet which is which.
    let is_ours = |device: &&&BlockDevice| drive_use.mounted.is_empty() || is_used(device) || was_missing(device);
    let (ours, copies): (Vec<&BlockDevice>, Vec<&BlockDevice>) = there.iter().partition(|device| is_ours(device));
    let is_served = drive_use.served || drive_use.released || drive_use.degraded;
    let backup = !drive_use.busy && !is_served && input.on_plug.contains(&enrolment.id);
    let mut all = vec![decision(enrolment, &ours, if backup { Action::Backup } else { Action::Leave })];
    for copy in copies {
        let mounted: Vec<&Path> = drive_use.mounted.iter().map(PathBuf::as_path).collect();
        let sentence = Sentence::of(&[
            Part::Node(&copy.node),
            Part::Text(" has the uuids of \""),
            Part::Name(enrolment.label()),
            Part::Text("\", which is in use on "),
            Part::Nodes(&mounted),
            Part::Text(": it is a copy and is not used; unplug it"),
        ]);
        let sentence = sentence.coded(DriveProblemCode::Cloned, of_devices(enrolment.label(), &[&copy.node]));
        all.push(Decision { id: shown::id(copy), ..decision(enrolment, &[copy], Action::Refuse(sentence)) });
    }
    all
}

/// The nodes that are mounted, and the containers under them.
fn in_use_nodes<'a>(drive_use: &DriveUse, input: &PolicyInput<'a>) -> BTreeSet<&'a Path> {
    let mounted = |device: &&BlockDevice| drive_use.mounted.contains(&device.node);
    let mut nodes = BTreeSet::new();
    for device in input.devices.iter().filter(mounted) {
        nodes.insert(device.node.as_path());
        let over = device.mapping.as_ref().and_then(|mapping| mapping.over.as_deref());
        nodes.extend(input.devices.iter().filter(|other| Some(other.name()) == over).map(|other| other.node.as_path()));
    }
    nodes
}

fn next_step(
    enrolment: &Enrolment,
    input: &PolicyInput<'_>,
    pieces: &[Piece<'_>],
    strangers: &[&BlockDevice],
) -> Result<Action, Sentence> {
    let label = enrolment.label();
    for piece in pieces {
        doubled(label, piece)?;
        doubtful(piece)?;
    }
    if let Some(stranger) = strangers.first() {
        return Err(Sentence::of(&[
            Part::Node(&stranger.node),
            Part::Text(" was not part of \""),
            Part::Name(label),
            Part::Text("\" at its enrolment: a device was added or replaced; forget the drive and enrol it again"),
        ])
        .coded(DriveProblemCode::DeviceAdded, of_device(label, &stranger.node)));
    }
    let missing: Vec<&Piece<'_>> = pieces.iter().filter(|piece| piece.outer().is_empty()).collect();
    // One whose container is missing and whose content is not was copied out of it.
    if missing.len() == pieces.len() || missing.iter().any(|piece| !piece.open.is_empty()) {
        return Err(Sentence::of(&[
            Part::Sentence(&are_missing(label, missing.len(), pieces.len())),
            Part::Text("; plug in all of them"),
        ])
        .coded(DriveProblemCode::Incomplete, of_missing(label, missing.len(), pieces.len())));
    }
    for piece in pieces {
        not_mounted_elsewhere(label, piece, input)?;
        not_unlocked_elsewhere(label, piece)?;
    }
    let locked: Vec<Locked> = pieces.iter().filter(|piece| piece.open.is_empty()).filter_map(locked).collect();
    let next = if locked.is_empty() {
        Action::Mount(pieces.iter().flat_map(|piece| &piece.open).map(|open| open.node.clone()).collect())
    } else if input.keys.contains(&enrolment.id) {
        Action::Unlock(locked)
    } else {
        Action::AwaitSecret(locked)
    };
    if missing.is_empty() {
        return Ok(next);
    }
    let problem = Sentence::of(&[
        Part::Sentence(&are_missing(label, missing.len(), pieces.len())),
        Part::Text(
            ": it takes no backup, but its snapshots can be listed and restored if they are complete on the others; plug in \
             all of them. If one has failed, mount the drive yourself (mount -o degraded), replace the failed device \
             (btrfs replace), then forget the drive and enrol it again",
        ),
    ]);
    let problem = problem.coded(DriveProblemCode::Degraded, of_missing(label, missing.len(), pieces.len()));
    Ok(Action::Degraded { problem, next: Box::new(next) })
}

fn are_missing(label: &str, missing: usize, all: usize) -> Sentence {
    Sentence::of(&[
        Part::Number(missing as u64),
        Part::Text(" of the "),
        Part::Number(all as u64),
        Part::Text(" devices of \""),
        Part::Name(label),
        Part::Text(if missing == 1 { "\" is missing" } else { "\" are missing" }),
    ])
}

/// A duplicate uuid is a clone, and the two cannot be distinguished.
fn doubled(label: &str, piece: &Piece<'_>) -> Result<(), Sentence> {
    for same in [&piece.containers, &piece.open] {
        if same.len() > 1 {
            let nodes: Vec<&Path> = same.iter().map(|device| device.node.as_path()).collect();
            return Err(Sentence::of(&[
                Part::Nodes(&nodes),
                Part::Text(" have the same uuids: one is a copy of \""),
                Part::Name(label),
                Part::Text("\", and neither is mounted while both are attached; unplug the copy"),
            ])
            .coded(DriveProblemCode::Cloned, of_devices(label, &nodes)));
        }
    }
    Ok(())
}

/// What else is on it may have been made after the last backup: using it could destroy that.
fn doubtful(piece: &Piece<'_>) -> Result<(), Sentence> {
    let finding = |device: &&BlockDevice| match &device.finding {
        Some(finding @ Finding::Doubtful(_)) => Some(finding.sentence(device)),
        Some(Finding::Remains(_) | Finding::Damaged { .. }) | None => None,
    };
    piece.open.iter().find_map(finding).map_or(Ok(()), Err)
}

/// The kernel mounts it only where no other program has it mounted.
fn not_mounted_elsewhere(label: &str, piece: &Piece<'_>, input: &PolicyInput<'_>) -> Result<(), Sentence> {
    let is_mounted = |device: &&&BlockDevice| input.mounted_elsewhere.contains(&device.node);
    let Some(open) = piece.open.iter().find(is_mounted) else { return Ok(()) };
    let lock = if piece.member.luks.is_some() { ", and lock it" } else { "" };
    Err(Sentence::of(&[
        Part::Text("\""),
        Part::Name(label),
        Part::Text("\" is mounted by another program ("),
        Part::Node(&open.node),
        Part::Text("; butterdock drives shows where); unmount it there (umount, or eject it on the desktop)"),
        Part::Text(lock),
        Part::Text(": what is due then begins by itself"),
    ])
    .coded(DriveProblemCode::MountedElsewhere, of_device(label, &open.node)))
}

/// Where it is encrypted, the service unlocked it, or nothing did yet.
fn not_unlocked_elsewhere(label: &str, piece: &Piece<'_>) -> Result<(), Sentence> {
    let Some(open) = piece.open.first() else { return Ok(()) };
    match (&piece.member.luks, &open.mapping, piece.containers.first()) {
        (None, _, _) => Ok(()),
        (Some(luks), Some(mapping), Some(container))
            if mapping.luks == Some(*luks)
                && mapping.name == mapping_name(*luks)
                && mapping.over.as_deref().is_none_or(|over| over == container.name()) =>
        {
            Ok(())
        }
        (Some(_), _, _) => Err(Sentence::of(&[
            Part::Text("\""),
            Part::Name(label),
            Part::Text("\" is encrypted, and another program than butterdock unlocked it as "),
            Part::Node(&open.node),
            Part::Text("; lock it there first"),
        ])
        .coded(DriveProblemCode::UnlockedElsewhere, of_device(label, &open.node))),
    }
}

fn note(enrolment: &Enrolment, devices: &[&BlockDevice]) -> Option<Sentence> {
    let both = changes(enrolment, devices).into_iter().chain(super::remains(devices));
    both.reduce(|one, other| Sentence::of(&[Part::Sentence(&one), Part::Text("; also, "), Part::Sentence(&other)]))
}

/// What differs from the enrolment without a doubt about the drive: a dock reports its own serial number, a copy on another
/// disk has another one, and neither is known before the token was read.
fn changes(enrolment: &Enrolment, devices: &[&BlockDevice]) -> Option<Sentence> {
    let changes = devices.iter().filter_map(|device| {
        let of_it = |member: &&Member| match member.luks {
            Some(luks) => device.luks() == Some(luks),
            None => device.btrfs() == Some((enrolment.filesystem, member.device)),
        };
        change(enrolment.members.iter().find(of_it)?, device)
    });
    let all =
        changes.reduce(|all, next| Sentence::of(&[Part::Sentence(&all), Part::Text(", and "), Part::Sentence(&next)]));
    all.map(|all| {
        let used = ", as when it is in another dock or enclosure. Its UUIDs and its token identify it";
        Sentence::of(&[Part::Sentence(&all), Part::Text(used)])
    })
}

fn change(member: &Member, device: &BlockDevice) -> Option<Sentence> {
    let node = Part::Node(&device.node);
    let (has, instead) = (Part::Text(" has the serial number \""), Part::Text("\" instead of \""));
    let serial = match (device.serial.as_str(), member.serial.as_str()) {
        (now, before) if now == before => None,
        ("", before) => {
            Some(vec![node, Part::Text(" has no serial number instead of \""), Part::Name(before), Part::Text("\"")])
        }
        (now, "") => Some(vec![node, has, Part::Name(now), Part::Text("\" instead of none")]),
        (now, before) => Some(vec![node, has, Part::Name(now), instead, Part::Name(before), Part::Text("\"")]),
    };
    let size = (device.size != member.size).then(|| {
        vec![
            node,
            Part::Text(" has "),
            Part::Number(device.size),
            Part::Text(" bytes instead of "),
            Part::Number(member.size),
        ]
    });
    match (serial, size) {
        (Some(serial), Some(size)) => Some([serial, vec![Part::Text(", and ")], size].concat()),
        (serial, size) => serial.or(size),
    }
    .map(|parts| Sentence::of(&parts))
}

fn locked(piece: &Piece<'_>) -> Option<Locked> {
    let container = piece.containers.first()?;
    Some(Locked { node: container.node.clone(), devnum: container.devnum, luks: piece.member.luks? })
}

fn decision(enrolment: &Enrolment, devices: &[&BlockDevice], action: Action) -> Decision {
    let disks: BTreeSet<PathBuf> = devices.iter().map(|device| device.disk().to_path_buf()).collect();
    // The reason of a refusal is enough.
    let is_refused = matches!(action, Action::Refuse(_));
    Decision {
        note: if is_refused { None } else { note(enrolment, devices) },
        id: super::DriveId::Enrolled(enrolment.id),
        devices: devices.iter().map(|device| device.node.clone()).collect(),
        disks: disks.into_iter().collect(),
        action,
    }
}
