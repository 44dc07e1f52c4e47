//! Lists the snapshots on a drive that can be restored.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use butterdock_btrfs::{Error as Fault, file, roots};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::name;
use super::owner::recorded;
use super::shared::{Known, Mark, SharedSnapshot};
use super::snapshot::Identity;
use super::snapshot::{Snapshot, list};

/// A snapshot on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDrive {
    /// The name, as bytes.
    pub name: Vec<u8>,
    /// The subvolume's own uuid.
    pub uuid: Identity,
    /// The uuid by which it is known where it was received.
    pub received_uuid: Option<Identity>,
    /// The subvolume that it is a snapshot of.
    pub parent_uuid: Option<Identity>,
    /// The backup that it is of, this machine's or another's.
    pub backup: Option<String>,
    /// When the snapshot of that backup was made: seconds since 1970.
    pub made: Option<i64>,
    /// Who made it.
    pub from: From,
    /// The next increment builds on it.
    pub pinned: bool,
}

/// Who put a snapshot on a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// A backup of this machine.
    ThisMachine,
    /// The id that it has on drives.
    OtherMachine(Identity),
    /// Another program, or a butterdock that kept no records.
    Unknown,
}

/// What the daemon remembers of the backups on a drive.
#[derive(Debug, Clone)]
pub struct Backups {
    /// The id of the machine that made it.
    pub machine: Identity,
    /// By their names.
    pub known: Vec<(String, Known)>,
    /// What pins snapshots on it.
    pub marks: Vec<Mark>,
}

/// The snapshots of the drive whose top is `root`, the newest first, half-made ones left out. It blocks as long as the drive
/// does.
///
/// # Errors
/// The list of subvolumes cannot be read.
pub fn on_drive(root: BorrowedFd<'_>, backups: &Backups) -> Result<Vec<OnDrive>, Fault> {
    let mut found = Vec::new();
    for snapshot in list(root, &[])? {
        let Some(path) = roots::path_of(root, snapshot.id)? else { continue };
        // What is being received, or was left by a run that was killed.
        if !path.split(|&byte| byte == b'/').any(|part| name::hidden(part).is_some()) {
            found.push((path, snapshot));
        }
    }
    found.sort_by_key(|(_, snapshot)| std::cmp::Reverse((snapshot.made, snapshot.id)));
    found.truncate(MOST);
    let mut folders = Folders { root, open: HashMap::new() };
    Ok(found.into_iter().map(|(path, snapshot)| folders.describe(&path, &snapshot, backups)).collect())
}

/// Up to this many are listed: an answer must fit a message.
const MOST: usize = 10_000;
/// Up to this many folders are open at the same time.
const FOLDERS: usize = 64;

/// The folders that hold snapshots, and the records of those.
struct Folders<'r> {
    root: BorrowedFd<'r>,
    open: HashMap<Vec<u8>, Option<OwnedFd>>,
}

impl Folders<'_> {
    fn describe(&mut self, path: &[u8], snapshot: &Snapshot, backups: &Backups) -> OnDrive {
        let (folder, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(at) => (path.get(..at).unwrap_or_default(), path.get(at.saturating_add(1)..).unwrap_or_default()),
            None => (&b"."[..], path),
        };
        let record = self.folder(folder).and_then(|folder| recorded(folder, &snapshot.state()));
        let origin = record.and_then(|record| record.origin);
        describe(Snapshot { name: Some(name.to_vec()), origin, ..snapshot.clone() }, backups)
    }

    fn folder(&mut self, path: &[u8]) -> Option<BorrowedFd<'_>> {
        if self.open.len() >= FOLDERS && !self.open.contains_key(path) {
            self.open.clear();
        }
        let root = self.root;
        let opened = self.open.entry(path.to_vec()).or_insert_with(|| {
            let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            let path = CString::new(path).ok()?;
            file::open_beneath(root, &path, flags, Mode::empty()).ok()
        });
        opened.as_ref().map(OwnedFd::as_fd)
    }
}

fn describe(snapshot: Snapshot, backups: &Backups) -> OnDrive {
    let remembered = |known: &Known| {
        let is_it = |shared: &SharedSnapshot| shared.mark().there == snapshot.uuid;
        known.shared.iter().any(is_it)
    };
    let (from, backup) = match &snapshot.origin {
        Some(origin) if Identity(origin.machine) == backups.machine => (From::ThisMachine, Some(origin.backup.clone())),
        Some(origin) => (From::OtherMachine(Identity(origin.machine)), Some(origin.backup.clone())),
        None => match backups.known.iter().find(|(_, known)| remembered(known)) {
            Some((backup, _)) => (From::ThisMachine, Some(backup.clone())),
            None => (From::Unknown, None),
        },
    };
    let pinned = backups.marks.iter().any(|mark| snapshot.bears(mark));
    let Snapshot { uuid, received_uuid, parent_uuid, name, .. } = snapshot;
    let name = name.unwrap_or_default();
    let made = backup.as_ref().and_then(|backup| name::parse(backup.as_bytes(), &name));
    let (received_uuid, parent_uuid) = (received_uuid.known(), parent_uuid.known());
    OnDrive { name, uuid, received_uuid, parent_uuid, backup, made, from, pinned }
}

#[cfg(test)]
mod tests {
    use butterdock_receive::{Origin, SubvolumeState};

    use super::*;

    #[test]
    fn a_snapshot_shows_its_machine_backup_and_need() {
        let id = |number| Identity([number; 16]);
        let name = Some(name::make(b"home", 1_000_000));
        let received = Snapshot { uuid: id(1), received_uuid: id(2), stransid: 7, name, ..Snapshot::default() };
        let there = SubvolumeState { uuid: [1; 16], ..SubvolumeState::default() };
        let shared = SharedSnapshot { here: SubvolumeState::default(), there, time: 0 };
        let known =
            |shared| [("etc".to_owned(), Known::default()), ("home".to_owned(), Known { shared, ..Known::default() })];
        let backups = |shared: Vec<SharedSnapshot>| Backups {
            machine: id(5),
            marks: shared.iter().map(SharedSnapshot::mark).collect(),
            known: known(shared).to_vec(),
        };
        let one = describe(received.clone(), &backups(vec![shared]));
        assert_eq!((one.backup.as_deref(), one.made, one.pinned), (Some("home"), Some(1_000_000), true));
        assert_eq!(one.from, From::ThisMachine);
        let unknown = describe(received.clone(), &backups(Vec::new()));
        assert_eq!((unknown.from, unknown.backup, unknown.made, unknown.pinned), (From::Unknown, None, None, false));
        let origin = |machine| Some(Origin { machine: [machine; 16], source: [3; 16], backup: "home".to_owned() });
        let foreign = describe(Snapshot { origin: origin(6), ..received.clone() }, &backups(Vec::new()));
        assert_eq!((foreign.from, foreign.made), (From::OtherMachine(id(6)), Some(1_000_000)));
        let ours = describe(Snapshot { origin: origin(5), ..received }, &backups(Vec::new()));
        assert_eq!(ours.from, From::ThisMachine);
    }
}
