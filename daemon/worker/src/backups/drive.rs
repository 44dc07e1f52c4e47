//! The snapshots on a backup drive that can be restored.
//!
//! The service calls these functions on a thread of its own, because they block as long as the drive does.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use butterdock_btrfs::{Errno as FaultErrno, Error as Fault, file, roots, subvolume};
use butterdock_receive::{Hold, Origin};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode as FileMode;

use super::folders::Folders;
use super::listed_runs::{NestedOnDrive, add_runs, by_run};
use super::name;
use super::shared_record::{PairUuids, SharedRecord, SharedSnapshot};
use super::snapshot::{Identity, Snapshot, list};

/// A snapshot on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotOnDrive {
    /// The name, as bytes.
    pub name: Vec<u8>,
    /// The subvolume's own uuid.
    pub uuid: Identity,
    /// Its `received_uuid`.
    pub received_uuid: Option<Identity>,
    /// The subvolume that it is a snapshot of.
    pub parent_uuid: Option<Identity>,
    /// The source of the backup that made it, or of the run that it belongs to: from its record, and beside a source from the kernel.
    pub source: Option<Identity>,
    /// The name of its backup, on the machine that made it.
    pub backup: Option<String>,
    /// When the snapshot was made, from its name: seconds since 1970.
    pub made: Option<i64>,
    /// The machine that made it.
    pub from: MadeBy,
    /// It is needed for the next increment.
    pub pinned: bool,
    /// This machine made it, but the retention rule of no backup includes it: the backup is not configured any more, or has
    /// another source now.
    pub left_over: bool,
    /// A person holds it: no rule deletes it.
    pub held: Option<Hold>,
    /// Its path from the top of the drive, or from the directory of the volume, as bytes.
    pub path: Vec<u8>,
    /// It is the snapshot of a subvolume below the source.
    pub nested: Option<NestedOnDrive>,
}

/// The machine that put a snapshot on a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeBy {
    /// This machine.
    ThisMachine,
    /// Another machine, with its id on drives.
    OtherMachine(Identity),
    /// There is no record, for example because another program made the snapshot.
    Unknown,
}

/// The service's records about a drive.
#[derive(Debug, Clone)]
pub struct Backups {
    /// The id of this machine on drives.
    pub machine: Identity,
    /// The backups by name.
    pub known: Vec<(String, SharedRecord)>,
    /// The pinned snapshots.
    pub pins: Vec<PairUuids>,
    /// The names of the configured backups.
    pub configured: Vec<String>,
    /// The former names of configured backups, each with the present one.
    pub former: Vec<(String, String)>,
}

impl Backups {
    /// The present name of the backup of this machine that a record names.
    fn present_name(&self, recorded: &str) -> String {
        let renamed = self.former.iter().find(|(former, _)| former == recorded);
        renamed.map_or_else(|| recorded.to_owned(), |(_, now)| now.clone())
    }

    /// Whether no retention rule includes a snapshot with this origin, which this machine made.
    fn is_left_over(&self, origin: Option<&Origin>, backup: &str) -> bool {
        if !self.configured.iter().any(|name| name == backup) {
            return true;
        }
        let known = self.known.iter().find(|(name, _)| name == backup);
        let sources = known.map(|(_, known)| known.sources.as_slice()).unwrap_or_default();
        // Without a record of its sources, nothing is said.
        !sources.is_empty() && origin.is_some_and(|origin| !sources.contains(&Identity(origin.source)))
    }
}

/// The complete snapshots below `root`, the top of a drive or the directory of a volume, newest first; those of subvolumes below a
/// source follow the source's.
///
/// # Errors
/// The subvolumes cannot be listed.
pub fn list_snapshots(root: BorrowedFd<'_>, backups: &Backups) -> Result<Vec<SnapshotOnDrive>, Fault> {
    let mut found = Vec::new();
    let top = place_of(root)?;
    for snapshot in list(root, &[])? {
        let Some(path) = path_below(root, &top, snapshot.id)? else { continue };
        // Hidden: it is being received, or a killed worker left it.
        if !path.split(|&byte| byte == b'/').any(|part| name::hidden(part).is_some()) {
            found.push((path, snapshot));
        }
    }
    found.sort_by_key(|(_, snapshot)| std::cmp::Reverse((snapshot.made, snapshot.id)));
    found.truncate(MOST);
    let mut folders = Folders::below(root);
    let describe = |(path, mut snapshot): (Vec<u8>, Snapshot)| {
        folders.look_up(&path, &mut snapshot);
        let nested = snapshot.origin.as_ref().and_then(|origin| origin.nested.as_ref());
        let run = nested.map(|nested| Identity(nested.run));
        (describe(&path, snapshot, backups), run)
    };
    let (mut rows, runs): (Vec<SnapshotOnDrive>, Vec<Option<Identity>>) = found.into_iter().map(describe).unzip();
    add_runs(&mut rows, &runs);
    Ok(by_run(rows))
}

/// Where a directory is on its filesystem: its path from the top-level subvolume, with a slash at its end; empty for the top of a
/// drive. A volume of this machine may be any directory.
pub(super) fn place_of(root: BorrowedFd<'_>) -> Result<Vec<u8>, Fault> {
    let id = subvolume::info(root)?.id;
    let mut path = roots::path_of(root, id)?.unwrap_or_default();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend(roots::path_within(root, id, file::stat(root)?.ino)?.unwrap_or_default());
    Ok(path)
}

/// The path of a subvolume from the directory `root` at `place`; `None` if it is not below that, or was deleted.
pub(super) fn path_below(root: BorrowedFd<'_>, place: &[u8], id: u64) -> Result<Option<Vec<u8>>, Fault> {
    let path = roots::path_of(root, id)?;
    Ok(path.and_then(|path| path.strip_prefix(place).filter(|path| !path.is_empty()).map(<[u8]>::to_vec)))
}

/// The largest list, because an answer must fit into a D-Bus message.
const MOST: usize = 10_000;

pub(super) fn describe(path: &[u8], snapshot: Snapshot, backups: &Backups) -> SnapshotOnDrive {
    let remembers = |known: &SharedRecord| {
        let is_it = |shared: &SharedSnapshot| shared.uuids().there == snapshot.uuid;
        known.shared.iter().any(is_it)
    };
    let snapshot_backup = snapshot.origin.as_ref().map(|origin| origin.backup.clone());
    let (from, backup) = match &snapshot.origin {
        Some(origin) if Identity(origin.machine) == backups.machine => {
            (MadeBy::ThisMachine, Some(backups.present_name(&origin.backup)))
        }
        Some(origin) => (MadeBy::OtherMachine(Identity(origin.machine)), Some(origin.backup.clone())),
        None => match backups.known.iter().find(|(_, known)| remembers(known)) {
            Some((backup, _)) => (MadeBy::ThisMachine, Some(backup.clone())),
            None => (MadeBy::Unknown, None),
        },
    };
    let of_us = backup.as_deref().filter(|_| from == MadeBy::ThisMachine);
    let left_over = of_us.is_some_and(|backup| backups.is_left_over(snapshot.origin.as_ref(), backup));
    let pinned = backups.pins.iter().any(|pin| pin.pins(&snapshot));
    let Snapshot { uuid, received_uuid, parent_uuid, name, origin, held, .. } = snapshot;
    let name = name.unwrap_or_default();
    // The name begins with the name that the backup had.
    let made = snapshot_backup.iter().chain(&backup).find_map(|backup| {
        let backup = backup.as_bytes();
        name::parse(backup, name::run_of_nested(backup, &name).unwrap_or(&name))
    });
    let (received_uuid, parent_uuid) = (received_uuid.known(), parent_uuid.known());
    let (path, source) = (path.to_vec(), origin.as_ref().map(|origin| Identity(origin.source)));
    let nested = origin.and_then(|origin| origin.nested).map(|nested| NestedOnDrive { path: nested.path, run: None });
    SnapshotOnDrive {
        name,
        uuid,
        received_uuid,
        parent_uuid,
        source,
        backup,
        made,
        from,
        pinned,
        left_over,
        held,
        path,
        nested,
    }
}

/// An open snapshot on a drive.
#[derive(Debug)]
pub struct OpenSnapshot {
    /// Its root.
    pub snapshot: OwnedFd,
    /// The folder that it is in.
    pub folder: OwnedFd,
}

/// Opens the snapshot with this uuid, in any folder of the drive whose top is `root`; `None` if there is no such snapshot.
///
/// # Errors
/// The subvolumes cannot be listed, or the snapshot cannot be opened.
pub fn open_snapshot(root: BorrowedFd<'_>, uuid: Identity) -> Result<Option<OpenSnapshot>, Fault> {
    let top = place_of(root)?;
    for id in roots::subvolumes_by_uuid(root, uuid.0)? {
        let Some(path) = path_below(root, &top, id)? else { continue };
        let above = path.iter().rposition(|&byte| byte == b'/').and_then(|at| path.get(..at)).unwrap_or(b".");
        let (Ok(above), Ok(path)) = (CString::new(above), CString::new(path.as_slice())) else { continue };
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let open = |path| file::open_beneath(root, path, flags, FileMode::empty());
        match open(&path).and_then(|snapshot| Ok(OpenSnapshot { snapshot, folder: open(&above)? })) {
            // It was moved after its path was read.
            Err(Fault { errno: FaultErrno::ENOENT, .. }) => {}
            Err(fault) => return Err(fault),
            Ok(opened) => {
                let there = subvolume::info(opened.snapshot.as_fd())?;
                if there.uuid == uuid.0 && subvolume::is_read_only(opened.snapshot.as_fd())? {
                    return Ok(Some(opened));
                }
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use butterdock_receive::{Origin, SubvolumeState};

    use super::*;

    #[test]
    fn a_listed_snapshot_has_machine_backup_and_pin() {
        let id = |number| Identity([number; 16]);
        let name = Some(name::make(b"home", 1_000_000));
        let received = Snapshot { uuid: id(1), received_uuid: id(2), stransid: 7, name, ..Snapshot::default() };
        let there = SubvolumeState { uuid: [1; 16], ..SubvolumeState::default() };
        let shared = SharedSnapshot { here: SubvolumeState::default(), there, time: 0 };
        let known = |shared| {
            [
                ("etc".to_owned(), SharedRecord::default()),
                ("home".to_owned(), SharedRecord { shared, ..SharedRecord::default() }),
            ]
        };
        let backups = |shared: Vec<SharedSnapshot>| Backups {
            machine: id(5),
            pins: shared.iter().map(SharedSnapshot::uuids).collect(),
            known: known(shared).to_vec(),
            configured: vec!["etc".to_owned(), "home".to_owned()],
            former: Vec::new(),
        };
        let one = describe(b"x", received.clone(), &backups(vec![shared]));
        assert_eq!((one.backup.as_deref(), one.made, one.pinned), (Some("home"), Some(1_000_000), true));
        assert_eq!(one.from, MadeBy::ThisMachine);
        let unknown = describe(b"x", received.clone(), &backups(Vec::new()));
        assert_eq!((unknown.from, unknown.backup, unknown.made, unknown.pinned), (MadeBy::Unknown, None, None, false));
        let origin = |machine| {
            Some(Origin {
                machine: [machine; 16],
                source: [3; 16],
                backup: "home".to_owned(),
                is_source: false,
                members: 0,
                nested: None,
            })
        };
        let foreign = describe(b"x", Snapshot { origin: origin(6), ..received.clone() }, &backups(Vec::new()));
        assert_eq!((foreign.from, foreign.made), (MadeBy::OtherMachine(id(6)), Some(1_000_000)));
        let ours = describe(b"x", Snapshot { origin: origin(5), ..received.clone() }, &backups(Vec::new()));
        assert_eq!(ours.from, MadeBy::ThisMachine);
    }

    #[test]
    fn a_snapshot_of_a_renamed_backup_or_a_former_source_is_left_over() {
        let id = |number| Identity([number; 16]);
        let of = |machine, source| Origin {
            machine: [machine; 16],
            source: [source; 16],
            backup: "home".to_owned(),
            is_source: false,
            members: 0,
            nested: None,
        };
        let left_over = |configured: &str, sources: Vec<Identity>, origin| {
            let known = vec![("home".to_owned(), SharedRecord { sources, ..SharedRecord::default() })];
            let (configured, former) = (vec![configured.to_owned()], Vec::new());
            let backups = Backups { machine: id(5), known, pins: Vec::new(), configured, former };
            describe(b"x", Snapshot { origin: Some(origin), ..Snapshot::default() }, &backups).left_over
        };
        assert!(!left_over("home", vec![id(1), id(2)], of(5, 2)), "a source that was rolled back");
        assert!(left_over("home", vec![id(1)], of(5, 2)), "the backup has a new source");
        assert!(left_over("daheim", vec![id(1)], of(5, 1)), "the backup has another name");
        let renamed = Backups {
            machine: id(5),
            known: Vec::new(),
            pins: Vec::new(),
            configured: vec!["daheim".to_owned()],
            former: vec![("home".to_owned(), "daheim".to_owned())],
        };
        let name = Some(name::make(b"home", 1_000_000));
        let row = describe(b"x", Snapshot { origin: Some(of(5, 1)), name, ..Snapshot::default() }, &renamed);
        assert_eq!((row.left_over, row.backup.as_deref(), row.made), (false, Some("daheim"), Some(1_000_000)));
        assert!(!left_over("home", Vec::new(), of(5, 1)), "nothing is recorded");
        assert!(!left_over("daheim", vec![id(1)], of(6, 1)), "it is another machine's");
    }
}
