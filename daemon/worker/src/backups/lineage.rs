//! The lineage of a source: the subvolumes that it replaced, and those that it descends from.
//!
//! People and programs (snapper, timeshift) undo changes by replacing a subvolume with a snapshot of itself. The source then has
//! another uuid, but its `parent_uuid` leads to the subvolume that was backed up before, to one of its snapshots, or to a common
//! ancestor. Only the kernel sets `parent_uuid`. Such a source is the recorded one continued: it gets increments, and the
//! snapshots of its predecessors stay under its retention. A subvolume of no kin is refused: it is probably the wrong one, such
//! as another disk at the same path. An administrator can accept it. Then everything is sent, and the snapshots of the source
//! before it stay under the retention of the backup: otherwise they would stay for ever.

use std::os::fd::{AsFd, BorrowedFd};

use butterdock_btrfs::{Error as Fault, roots, subvolume};
use serde::{Deserialize, Serialize};

use super::snapshot::Identity;

/// The largest number of recorded sources.
pub(super) const MOST_SOURCES: usize = 16;
/// The largest number of recorded ancestors, and of steps from a source to its oldest ancestor.
const MOST_ANCESTORS: usize = 32;
/// The largest number of recorded folders.
const MOST_FOLDERS: usize = 16;

/// What is known of a source. The service records it, and gives it to the next backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lineage {
    /// The source (first) and the subvolumes that it replaced. Empty before the first backup.
    pub sources: Vec<Identity>,
    /// The subvolumes that these descend from; the source's own, from its parent on, come first.
    #[serde(default)]
    pub ancestors: Vec<Identity>,
    /// The folders of their snapshots; the current one comes first.
    #[serde(default)]
    pub folders: Vec<SnapshotFolder>,
    /// Sources of no kin, in whose place an administrator accepted another one. Their snapshots stay under the retention, but they
    /// prove nothing.
    #[serde(default)]
    pub superseded: Vec<Identity>,
}

/// A folder for snapshots, wherever it was moved to. The kernel uses no id of a subvolume twice, and no inode number of a
/// directory within a subvolume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotFolder {
    /// The filesystem.
    pub filesystem: Identity,
    /// The id of the subvolume that has the directory.
    pub subvolume: u64,
    /// The inode of the directory.
    pub directory: u64,
}

/// How a source relates to the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinship {
    /// It is the recorded one, or none is recorded.
    Same,
    /// It replaced the recorded one, and descends from it.
    Continued,
    /// It is of no kin.
    Stranger,
}

impl Lineage {
    /// That of a subvolume of which nothing is recorded.
    pub(super) fn of(uuid: Identity, parent_uuid: Identity) -> Self {
        Self { sources: vec![uuid], ancestors: parent_uuid.known().into_iter().collect(), ..Self::default() }
    }

    /// The lineage of a source with these ancestors, from its parent on, and its kinship to the recorded one. `is_ours` says
    /// whether a subvolume is a snapshot that this backup made or restored.
    pub(super) fn after(
        recorded: &Self,
        source: Identity,
        ancestors: &[Identity],
        is_ours: impl Fn(Identity) -> bool,
    ) -> (Self, Kinship) {
        let is_kin = |&uuid: &Identity| recorded.includes(uuid) || is_ours(uuid);
        let kinship = match recorded.sources.first() {
            None => Kinship::Same,
            Some(&known) if known == source => Kinship::Same,
            Some(_) if std::iter::once(&source).chain(ancestors).any(is_kin) => Kinship::Continued,
            Some(_) => Kinship::Stranger,
        };
        let earlier = recorded.clone();
        let (folders, superseded) = (earlier.folders, earlier.superseded);
        let mut lineage = Self { sources: vec![source], ancestors: ancestors.to_vec(), folders, superseded };
        add(&mut lineage.sources, earlier.sources, MOST_SOURCES);
        // An administrator may accept an earlier one again.
        lineage.superseded.retain(|uuid| !lineage.sources.contains(uuid));
        add(&mut lineage.ancestors, earlier.ancestors, MOST_ANCESTORS);
        (lineage, kinship)
    }

    /// What stays recorded when an administrator accepts another source: nothing that its kinship could be compared with.
    pub fn superseded(self) -> Self {
        let mut superseded = self.sources;
        add(&mut superseded, self.superseded, MOST_SOURCES);
        Self { superseded, folders: self.folders, ..Self::default() }
    }

    /// All sources whose snapshots belong to the backup, the current one first.
    pub(super) fn owned(&self) -> Vec<Identity> {
        let mut sources = self.sources.clone();
        add(&mut sources, self.superseded.clone(), MOST_SOURCES);
        sources
    }

    /// Whether the source of this lineage is the recorded one, or descends from it, or from a snapshot that the backup made or
    /// restored, as `is_ours` says.
    pub fn continues(&self, recorded: &Self, is_ours: impl Fn(Identity) -> bool) -> bool {
        self.sources
            .first()
            .is_some_and(|&source| Self::after(recorded, source, &self.ancestors, is_ours).1 != Kinship::Stranger)
    }

    /// Whether a subvolume is one of the sources or of their ancestors.
    pub(super) fn includes(&self, uuid: Identity) -> bool {
        self.sources.contains(&uuid) || self.ancestors.contains(&uuid)
    }

    /// Sets the folders, the current one first.
    pub(super) fn set_folders(&mut self, mut folders: Vec<SnapshotFolder>) {
        folders.truncate(MOST_FOLDERS);
        self.folders = folders;
    }
}

/// Adds what a list does not have, up to a limit.
pub(super) fn add<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>, most: usize) {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
    list.truncate(most);
}

/// The lineage of the subvolume that a directory is in, without what is recorded of it.
///
/// # Errors
/// The kernel's.
pub fn lineage_of(source: BorrowedFd<'_>) -> Result<Lineage, Fault> {
    let info = subvolume::info(source)?;
    let ancestors = ancestors(source, Identity(info.parent_uuid))?;
    Ok(Lineage { sources: vec![Identity(info.uuid)], ancestors, ..Lineage::default() })
}

/// The uuids that `parent_uuid` leads to, the nearest first, on the filesystem of `source`. The last may be deleted: then the
/// kernel knows nothing more of it.
pub(super) fn ancestors(source: impl AsFd, parent_uuid: Identity) -> Result<Vec<Identity>, Fault> {
    let source = source.as_fd();
    let mut found = Vec::new();
    let mut next = parent_uuid;
    while let Some(uuid) = next.known()
        && found.len() < MOST_ANCESTORS
        && !found.contains(&uuid)
    {
        found.push(uuid);
        next = Identity::NONE;
        for id in roots::subvolumes_by_uuid(source, uuid.0)? {
            next = roots::root_item(source, id)?.map_or(next, |item| Identity(item.parent_uuid));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> Identity {
        Identity([number; 16])
    }

    fn ids(numbers: &[u8]) -> Vec<Identity> {
        numbers.iter().copied().map(id).collect()
    }

    fn recorded() -> Lineage {
        Lineage { sources: ids(&[1, 2]), ancestors: ids(&[3]), ..Lineage::default() }
    }

    fn kinship(source: u8, ancestors: &[u8]) -> Kinship {
        Lineage::after(&recorded(), id(source), &ids(ancestors), |uuid| uuid == id(7)).1
    }

    #[test]
    fn a_descendant_of_the_source_continues_it() {
        assert_eq!(kinship(1, &[9]), Kinship::Same);
        for (source, ancestors, what) in [
            (5, &[1][..], "a snapshot of the source"),
            (5, &[8, 1], "a snapshot of a snapshot of the source"),
            (5, &[7], "a snapshot of one of our snapshots, whose source is deleted"),
            (5, &[2], "a snapshot of a predecessor"),
            (5, &[3], "a common ancestor"),
            (2, &[], "the predecessor itself: the rollback was undone"),
            (7, &[], "a restored snapshot that was made writable"),
        ] {
            assert_eq!(kinship(source, ancestors), Kinship::Continued, "{what}");
        }
        assert_eq!(kinship(5, &[]), Kinship::Stranger);
        assert_eq!(kinship(5, &[8, 9]), Kinship::Stranger);
        let first = Lineage::after(&Lineage::default(), id(5), &[], |_| false);
        assert_eq!(first, (Lineage::of(id(5), Identity::NONE), Kinship::Same));
    }

    #[test]
    fn the_source_is_first_and_predecessors_stay() {
        let (lineage, _) = Lineage::after(&recorded(), id(5), &ids(&[1, 3, 4]), |_| false);
        assert_eq!((lineage.sources, lineage.ancestors), (ids(&[5, 1, 2]), ids(&[1, 3, 4])));
        let (back, _) = Lineage::after(&recorded(), id(2), &[], |_| false);
        assert_eq!(back.sources, ids(&[2, 1]));
    }

    #[test]
    fn an_accepted_source_is_of_no_kin_to_the_ones_before() {
        let recorded = recorded().superseded();
        let (lineage, kinship) = Lineage::after(&recorded, id(5), &ids(&[6]), |_| false);
        assert_eq!((kinship, &lineage.sources, &lineage.ancestors), (Kinship::Same, &ids(&[5]), &ids(&[6])));
        assert_eq!((&lineage.superseded, lineage.owned()), (&ids(&[1, 2]), ids(&[5, 1, 2])));
        assert_eq!(Lineage::after(&lineage, id(1), &[], |_| false).1, Kinship::Stranger, "it is refused again");
        let (back, _) = Lineage::after(&lineage.superseded(), id(1), &[], |_| false);
        assert_eq!((back.sources, back.superseded), (ids(&[1]), ids(&[5, 2])));
    }

    #[test]
    fn a_lineage_is_bounded() {
        let mut recorded = Lineage::default();
        for number in 0..100 {
            recorded = Lineage::after(&recorded, id(number), &ids(&[100 + number]), |_| false).0;
        }
        assert_eq!((recorded.sources.len(), recorded.ancestors.len()), (MOST_SOURCES, MOST_ANCESTORS));
        assert_eq!((recorded.sources[0], recorded.ancestors[0]), (id(99), id(199)), "the newest stay");
    }
}
