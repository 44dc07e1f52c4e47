//! The snapshots that users may read without the right to restore.
//!
//! They are those that this machine has made, according to the records, and of a backup that is configured: user 1000 of another
//! machine is another person. The subvolume that such a snapshot was made of must be the one that is at the path of the source now,
//! or one that it replaced: the directories above the source keep users out of its own files, and of no others. A snapshot without
//! a record of its source is read by administrators only.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use butterdock_receive::StreamPath;
use butterdock_worker::caller::{Caller, MOST_GROUPS};

use crate::backups::{Identity, MadeBy, SnapshotOnDrive};
use crate::service::Service;
use crate::types::{Error, ErrorCode};

/// Whose rights decide which files can be read and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// Root's.
    Root,
    /// A user's.
    User {
        /// The user.
        uid: u32,
        /// All groups of the user.
        groups: Vec<u32>,
    },
}

/// What one user, or root, may read of some snapshots.
#[derive(Debug)]
pub(crate) struct Access<'r> {
    rights: &'r Rights,
    /// The configured backups of the snapshots, by name: the path of the source, the subvolume there now, and those that it replaced.
    backups: HashMap<String, (PathBuf, Vec<Identity>)>,
}

impl Service {
    /// What may be read of these snapshots.
    pub(crate) async fn access<'r>(&self, snapshots: &[SnapshotOnDrive], rights: &'r Rights) -> Access<'r> {
        let mut backups = HashMap::new();
        if *rights != Rights::Root {
            for name in snapshots.iter().filter_map(|snapshot| snapshot.backup.as_deref()) {
                if !backups.contains_key(name)
                    && let Some((rule, _)) = self.0.manager.rule(name)
                {
                    let sources = self.0.jobs.sources_now(rule.clone()).await;
                    backups.insert(name.to_owned(), (rule.source, sources));
                }
            }
        }
        Access { rights, backups }
    }
}

impl Access<'_> {
    /// The user whose identity a worker takes to read this snapshot; none for root.
    ///
    /// # Errors
    /// `NotAuthorized`.
    pub(crate) fn caller_of(&self, snapshot: &SnapshotOnDrive) -> Result<Option<Caller>, Error> {
        let Rights::User { uid, groups } = self.rights else { return Ok(None) };
        let backup = snapshot.backup.as_deref().filter(|_| snapshot.from == MadeBy::ThisMachine);
        let Some((source, sources)) = backup.and_then(|backup| self.backups.get(backup)) else {
            let text = "the snapshot is not on record as one of a configured backup of this machine, so its files may belong to \
                        other people: read it as an administrator (--as-root)";
            return Err(Error::new(ErrorCode::NotAuthorized, text));
        };
        if !snapshot.source.is_some_and(|source| sources.contains(&source)) {
            let text = "the snapshot is not on record as one of the subvolume that is backed up now, so its files may belong to \
                        other people: read it as an administrator (--as-root)";
            return Err(Error::new(ErrorCode::NotAuthorized, text));
        }
        if groups.len() > MOST_GROUPS {
            let text = format!("you are in more than {MOST_GROUPS} groups; read it as an administrator (--as-root)");
            return Err(Error::new(ErrorCode::NotAuthorized, text));
        }
        let mut source = source.as_os_str().as_bytes().to_vec();
        if let Some(nested) = &snapshot.nested {
            if nested.path.is_empty() {
                let text = "it is not on record where the subvolume of this snapshot is, so its files may belong to other people: \
                            read it as an administrator (--as-root)";
                return Err(Error::new(ErrorCode::NotAuthorized, text));
            }
            // The path comes from the drive.
            StreamPath::new(&nested.path).map_err(|why| {
                let text = format!("the record of the snapshot has a path that is not used: {why}");
                Error::new(ErrorCode::NotAuthorized, text)
            })?;
            source = [&source, b"/".as_slice(), &nested.path].concat();
        }
        Ok(Some(Caller { uid: *uid, groups: groups.clone(), source, target: None }))
    }

    /// What of a list is shown. Names of subvolumes below a source are those of other people's directories, which the user may be
    /// unable to read; why a snapshot is held was written for those who manage backups.
    pub(crate) fn shown(&self, found: Vec<SnapshotOnDrive>) -> Vec<SnapshotOnDrive> {
        if *self.rights == Rights::Root {
            return found.into_iter().filter(|snapshot| snapshot.from == MadeBy::ThisMachine).collect();
        }
        let is_shown = |snapshot: &SnapshotOnDrive| snapshot.nested.is_none() && self.caller_of(snapshot).is_ok();
        found
            .into_iter()
            .filter(is_shown)
            .map(|snapshot| SnapshotOnDrive { path: Vec::new(), held: None, ..snapshot })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use butterdock_receive::Hold;

    use super::*;
    use crate::backups::NestedOnDrive;

    fn id(number: u8) -> Identity {
        Identity([number; 16])
    }

    fn snapshot(source: Option<u8>) -> SnapshotOnDrive {
        SnapshotOnDrive {
            name: b"home.20260101T000000Z".to_vec(),
            uuid: id(7),
            received_uuid: None,
            parent_uuid: None,
            source: source.map(id),
            backup: Some("home".to_owned()),
            made: Some(7),
            from: MadeBy::ThisMachine,
            pinned: false,
            left_over: false,
            held: None,
            path: b"butterdock/home/home.20260101T000000Z".to_vec(),
            nested: None,
        }
    }

    #[test]
    fn a_user_reads_only_snapshots_of_the_present_source() {
        let rights = Rights::User { uid: 1000, groups: vec![1000] };
        let backups = HashMap::from([("home".to_owned(), (PathBuf::from("/home"), vec![id(1), id(2)]))]);
        let access = Access { rights: &rights, backups };
        let of = |snapshot: &SnapshotOnDrive| access.caller_of(snapshot).is_ok();
        assert!(of(&snapshot(Some(1))) && of(&snapshot(Some(2))), "the source, and one that it replaced");
        assert!(!of(&snapshot(Some(3))), "the backup had another source");
        assert!(!of(&snapshot(None)), "nothing is recorded");
        assert!(!of(&SnapshotOnDrive { backup: Some("etc".to_owned()), ..snapshot(Some(1)) }));
        assert!(!of(&SnapshotOnDrive { from: MadeBy::OtherMachine(id(9)), ..snapshot(Some(1)) }));
        let nested = NestedOnDrive { path: b"alice/vault".to_vec(), run: Some(id(7)) };
        let nested = SnapshotOnDrive { nested: Some(nested), ..snapshot(Some(1)) };
        assert!(of(&nested));
        let unknown = NestedOnDrive { path: Vec::new(), run: Some(id(7)) };
        assert!(
            !of(&SnapshotOnDrive { nested: Some(unknown), ..snapshot(Some(1)) }),
            "a directory above may keep the user out"
        );
        let hold = Hold { reason: "for the tax investigation".to_owned(), since: 7, machine: [5; 16] };
        let held = SnapshotOnDrive { held: Some(hold), ..snapshot(Some(1)) };
        let shown = access.shown(vec![held, snapshot(Some(3)), nested]);
        assert_eq!(shown, [SnapshotOnDrive { path: Vec::new(), ..snapshot(Some(1)) }]);
    }
}
