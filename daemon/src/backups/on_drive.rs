//! What is on a drive that can be restored, for the daemon to tell.

use std::os::fd::BorrowedFd;

use butterdock_btrfs::{Error as Fault, roots};

use super::identity::Identity;
use super::pins::Mark;
use super::snapshot::{Side, Snapshot, list, made_by_us};

/// A snapshot on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OnDrive {
    pub(crate) name: Vec<u8>,
    pub(crate) uuid: Identity,
    pub(crate) received_uuid: Option<Identity>,
    pub(crate) parent_uuid: Option<Identity>,
    /// The backup that it is of, and when its snapshot was made: seconds since 1970.
    pub(crate) ours: Option<(String, i64)>,
    /// The next increment builds on it.
    pub(crate) pinned: bool,
}

/// The snapshots of the drive whose top is `root`, the newest first, half-made ones left out. Of each of `backups` the marks
/// say what is pinned. It blocks as long as the drive does.
pub(crate) fn on_drive(root: BorrowedFd<'_>, backups: &[(String, Vec<Mark>)]) -> Result<Vec<OnDrive>, Fault> {
    let mut found = Vec::new();
    for snapshot in list(root)? {
        let Some(path) = roots::path_of(root, snapshot.id)? else { continue };
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
        found.push(Snapshot { name: Some(name), ..snapshot });
    }
    found.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.made, snapshot.id)));
    found.truncate(MOST);
    Ok(found.into_iter().map(|snapshot| told(snapshot, backups)).collect())
}

/// More than this are not told: an answer has to fit a message.
const MOST: usize = 10_000;

fn told(snapshot: Snapshot, backups: &[(String, Vec<Mark>)]) -> OnDrive {
    let ours = backups.iter().find_map(|(backup, _)| {
        made_by_us(&snapshot, backup.as_bytes(), Side::Drive).map(|time| (backup.clone(), time))
    });
    let pinned = backups.iter().flat_map(|(_, marks)| marks).any(|mark| snapshot.bears(mark));
    let Snapshot { uuid, received_uuid, parent_uuid, name, .. } = snapshot;
    let (received_uuid, parent_uuid) = (received_uuid.known(), parent_uuid.known());
    OnDrive { name: name.unwrap_or_default(), uuid, received_uuid, parent_uuid, ours, pinned }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_of_a_backup_says_so_and_whether_it_is_needed() {
        let id = |number| Identity([number; 16]);
        let name = Some(super::super::name::make(b"home", 1_000_000));
        let received = Snapshot { uuid: id(1), received_uuid: id(2), stransid: 7, name, ..Snapshot::default() };
        let backups = |transaction| {
            [("etc".to_owned(), Vec::new()), ("home".to_owned(), vec![Mark { sent_as: id(2), ctransid: transaction }])]
        };
        let one = told(received.clone(), &backups(7));
        assert_eq!((one.ours, one.pinned), (Some(("home".to_owned(), 1_000_000)), true));
        assert!(!told(received.clone(), &backups(8)).pinned);
        let foreign = told(Snapshot { received_uuid: Identity::NONE, ..received }, &backups(9));
        assert_eq!((foreign.ours, foreign.received_uuid), (None, None));
    }
}
