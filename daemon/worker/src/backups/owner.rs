//! Which machine, source and backup a snapshot belongs to.
//!
//! Several machines may use one drive, and two of them may give a backup the same name. Only snapshots that a record beside
//! them names as this backup's are pruned; a name proves nothing. Only root can write the records, and they are checked
//! against the subvolume.

use std::os::fd::BorrowedFd;

use butterdock_receive::{NestedOrigin, Origin, Record, SubvolumeState};

use super::lineage::{Lineage, MOST_SOURCES, add};
use super::name;
use super::nested::NestedPath;
use super::runs::APART;
use super::shared_record::SharedSnapshot;
use super::shared_snapshots::{SharedPair, is_unchanged};
use super::snapshot::{Identity, Snapshot};
use super::task::Task;

/// A backup of one machine, as the records on drives identify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub machine: Identity,
    /// The name of the backup.
    pub backup: Vec<u8>,
    /// The names that it had before.
    pub former: Vec<String>,
    /// The uuids of the source (first), of the subvolumes that it replaced, and of superseded sources.
    pub sources: Vec<Identity>,
}

impl Owner {
    /// The backup of this task; `lineage` is that of its source. If the lineage or the `pairs` prove that the source continues
    /// the sources in the record of the drive (a rollback, a restore), the snapshots of these belong to it too.
    pub(crate) fn of(task: &Task, lineage: &Lineage, pairs: &[SharedPair<'_>]) -> Self {
        let mut owner = Self { sources: lineage.owned(), ..Self::beside_source(task) };
        let continues = task.sources.iter().any(|earlier| lineage.sources.contains(earlier))
            || pairs
                .iter()
                .filter_map(|pair| pair.drive.origin.as_ref())
                .any(|origin| owner.is_named_by(origin) && task.sources.contains(&Identity(origin.source)));
        if continues {
            let mut kin = lineage.sources.clone();
            add(&mut kin, task.sources.clone(), MOST_SOURCES);
            add(&mut kin, owner.sources, MOST_SOURCES);
            owner.sources = kin;
        }
        owner
    }

    /// The backup of a task whose lineage is complete.
    pub(crate) fn beside_source(task: &Task) -> Self {
        Self {
            machine: task.machine,
            backup: task.name.clone(),
            former: task.former.clone(),
            sources: task.lineage.owned(),
        }
    }

    /// Whether this backup made and sent the snapshot, and it is unchanged.
    pub(crate) fn owns(&self, snapshot: &Snapshot) -> bool {
        let is_ours = |origin: &Origin| {
            self.is_named_by(origin) && self.sources.contains(&Identity(origin.source)) && !origin.is_source
        };
        !snapshot.changed && snapshot.origin.as_ref().is_some_and(is_ours)
    }

    /// The origin in the record of what this backup sent: a snapshot, or the source itself; `None` if the backup's name is not
    /// UTF-8.
    pub(crate) fn origin(&self, sent: Identity) -> Option<Origin> {
        let backup = String::from_utf8(self.backup.clone()).ok()?;
        let (source, is_source) = (self.sources.first()?.0, self.sources.contains(&sent));
        Some(Origin { machine: self.machine.0, source, backup, is_source, members: 0, nested: None })
    }

    /// The origin in the record of a snapshot of the subvolume at `path` below the source, which belongs to the run whose snapshot
    /// of the source is `run`.
    pub(crate) fn nested_origin(&self, run: Identity, path: &NestedPath) -> Option<Origin> {
        let nested = Some(NestedOrigin { run: run.0, path: path.0.clone() });
        Some(Origin { nested, ..self.origin(run)? })
    }

    /// Whether a record names this backup.
    pub(crate) fn is_named_by(&self, origin: &Origin) -> bool {
        let is_called = origin.backup.as_bytes() == self.backup || self.former.contains(&origin.backup);
        Identity(origin.machine) == self.machine && is_called
    }

    /// The time in the name of a snapshot of this backup, under its name or a former one.
    pub(super) fn time_in(&self, name: &[u8]) -> Option<i64> {
        let former = || self.former.iter().find_map(|former| name::parse(former.as_bytes(), name));
        name::parse(&self.backup, name).or_else(former)
    }

    /// The name of the run in the name of a snapshot of a subvolume below the source, under the backup's name or a former one.
    pub(super) fn run_in<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        let former = || self.former.iter().find_map(|former| name::run_of_nested(former.as_bytes(), name));
        name::run_of_nested(&self.backup, name).or_else(former)
    }
}

/// Reads the records of the snapshots in a folder. A snapshot without a record has no origin.
pub(super) fn look_up(folder: BorrowedFd<'_>, snapshots: &mut [Snapshot]) {
    for snapshot in snapshots.iter_mut().filter(|snapshot| snapshot.name.is_some()) {
        snapshot.origin = recorded(folder, &snapshot.state()).and_then(|record| record.origin);
    }
}

/// The record of the subvolume whose current state this is.
pub(super) fn recorded(folder: BorrowedFd<'_>, now: &SubvolumeState) -> Option<Record> {
    // An unreadable record proves nothing.
    Record::read(folder, now.uuid).ok().flatten().filter(|record| record.state.is_marked_as(now))
}

/// Writes the missing records of older snapshots if this machine can prove that it sent them: by its own record, or, with a
/// record of version 1, by the snapshot beside the source that was sent. A dry run writes nothing. Returns a warning if a record
/// could not be written.
pub(super) fn adopt(
    folder: BorrowedFd<'_>,
    task: &Task,
    owner: &Owner,
    mine: &[Snapshot],
    theirs: &mut [Snapshot],
) -> Option<String> {
    let mut failed = None;
    // Those of subvolumes below the source always had a record.
    let is_nested = |name: &[u8]| name::run_of_nested(&task.name, name).is_some();
    let may_lack = |snapshot: &&mut Snapshot| {
        snapshot.origin.is_none() && snapshot.name.as_deref().is_some_and(|name| !is_nested(name))
    };
    for snapshot in theirs.iter_mut().filter(may_lack) {
        let state = snapshot.state();
        let proves = |known: &&SharedSnapshot| is_unchanged(snapshot, &known.there, &known.here);
        let recorded = task.shared.iter().find(proves).map(|known| known.uuids().here);
        let is_sent = || task.adopt && is_sent(snapshot, owner, mine);
        let Some(sent) = recorded.or_else(|| is_sent().then_some(snapshot.received_uuid)) else { continue };
        let Some(origin) = owner.origin(sent) else { continue };
        // An existing record is never replaced.
        if !matches!(Record::read(folder, state.uuid), Ok(None)) {
            continue;
        }
        snapshot.origin = Some(origin.clone());
        if !task.dry_run
            && let Err(error) = (Record { state, asked_by: 0, origin: Some(origin) }).write(folder)
        {
            failed = Some(error);
        }
    }
    failed.map(|error| {
        format!("the records of older snapshots on the drive cannot be written: {error}; the next backup tries again")
    })
}

/// Whether it was received from a snapshot beside the source that has not changed since then.
fn is_sent(snapshot: &Snapshot, owner: &Owner, mine: &[Snapshot]) -> bool {
    let named = snapshot.name.as_deref().is_some_and(|name| owner.time_in(name).is_some());
    let was_sent = |mine: &Snapshot| {
        made_by_us(mine, Side::Source(owner)).is_some()
            && mine.uuid == snapshot.received_uuid
            && mine.ctransid == snapshot.stransid
            && mine.ctransid <= mine.otransid
    };
    named && !snapshot.changed && mine.iter().any(was_sent)
}

/// The time in the name of a snapshot that this backup made; `None` for all other snapshots.
///
/// Every user can choose a name. So beside the source it must be in a folder for snapshots, and a snapshot of the source or of one
/// that the source replaced, made at the time in its name; on the drive a record must name this backup.
pub(super) fn made_by_us(snapshot: &Snapshot, side: Side<'_>) -> Option<i64> {
    let time = side.owner().time_in(snapshot.name.as_deref()?)?;
    let made = match side {
        Side::Source(owner) => owner.sources.contains(&snapshot.parent_uuid) && snapshot.made.abs_diff(time) < APART,
        Side::Drive(owner) => owner.owns(snapshot),
    };
    made.then_some(time)
}

/// The side of a backup that a snapshot is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side<'o> {
    /// Beside the source of this backup, and in the former folders of its snapshots.
    Source(&'o Owner),
    /// On the drive, for this backup.
    Drive(&'o Owner),
}

impl<'o> Side<'o> {
    /// The backup.
    pub(super) fn owner(self) -> &'o Owner {
        match self {
            Self::Source(owner) | Self::Drive(owner) => owner,
        }
    }

    /// Whether it is the drive.
    pub(super) fn is_drive(self) -> bool {
        matches!(self, Self::Drive(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Identity = Identity([1; 16]);
    const SOURCE: Identity = Identity([2; 16]);

    fn owner() -> Owner {
        Owner { machine: HERE, backup: b"home".to_vec(), former: Vec::new(), sources: vec![SOURCE, Identity([3; 16])] }
    }

    fn of(machine: u8, source: u8, backup: &str) -> Snapshot {
        let origin = Origin {
            machine: [machine; 16],
            source: [source; 16],
            backup: backup.to_owned(),
            is_source: false,
            members: 0,
            nested: None,
        };
        Snapshot { origin: Some(origin), ..Snapshot::default() }
    }

    #[test]
    fn only_snapshots_of_this_source_and_machine_are_ours() {
        let named = Snapshot { name: Some(name::make(b"home", 7)), received_uuid: SOURCE, ..Snapshot::default() };
        for (snapshot, ours) in [
            (of(1, 2, "home"), true),
            (of(1, 3, "home"), true),
            (of(9, 2, "home"), false),
            (of(1, 9, "home"), false),
            (of(1, 2, "etc"), false),
            (Snapshot { changed: true, ..of(1, 2, "home") }, false),
            (named, false),
        ] {
            assert_eq!(owner().owns(&snapshot), ours, "{snapshot:?}");
        }
    }

    #[test]
    fn a_renamed_backup_owns_its_snapshots_under_the_former_name() {
        let renamed = Owner { backup: b"daheim".to_vec(), former: vec!["home".to_owned()], ..owner() };
        let of_it = Snapshot { name: Some(name::make(b"home", 7)), ..of(1, 2, "home") };
        assert_eq!(made_by_us(&of_it, Side::Drive(&renamed)), Some(7));
        assert_eq!(made_by_us(&of_it, Side::Drive(&Owner { former: Vec::new(), ..renamed.clone() })), None);
        let others = [of(9, 2, "home"), of(1, 9, "home"), of(1, 2, "etc")];
        assert!(others.iter().all(|other| !renamed.owns(other)));
    }

    #[test]
    fn a_source_owns_the_snapshots_of_proven_predecessors_only() {
        let task = |sources| Task { sources, ..Task::of(b"home", HERE) };
        let new = Identity([7; 16]);
        let lineage = &Lineage::of(new, Identity::NONE);
        assert_eq!(Owner::of(&task(vec![SOURCE]), lineage, &[]).sources, [new]);
        assert_eq!(Owner::of(&task(vec![new, SOURCE]), lineage, &[]).sources, [new, SOURCE]);
        let (mine, theirs) = (Snapshot::default(), [of(1, 2, "home"), of(9, 2, "home")]);
        let pair = |drive| [SharedPair { source: &mine, drive }];
        let owners = theirs.each_ref().map(|drive| Owner::of(&task(vec![SOURCE]), lineage, &pair(drive)));
        assert_eq!(owners.map(|owner| owner.sources.len()), [2, 1], "a shared snapshot of this machine proves it");
    }

    #[test]
    fn snapshots_of_a_superseded_source_stay_under_the_retention() {
        let (new, recorded) = (Identity([7; 16]), Lineage::of(SOURCE, Identity::NONE).superseded());
        let lineage = Lineage { sources: vec![new], ..recorded };
        // A drive that had the superseded one, and later both.
        for sources in [vec![SOURCE], vec![new, SOURCE]] {
            let task = Task { sources, lineage: lineage.clone(), ..Task::of(b"home", HERE) };
            for owner in [Owner::of(&task, &lineage, &[]), Owner::beside_source(&task)] {
                assert_eq!(owner.sources, [new, SOURCE]);
                assert!(owner.owns(&of(1, 2, "home")) && !owner.owns(&of(1, 3, "home")));
            }
        }
    }

    #[test]
    fn a_name_alone_is_no_proof_of_ownership() {
        let uuid = Identity([1; 16]);
        let name = name::make(b"home", 1_000_000);
        let ours = Snapshot { parent_uuid: uuid, made: 1_000_001, name: Some(name), ..Snapshot::default() };
        let owner = Owner { machine: uuid, backup: b"home".to_vec(), former: Vec::new(), sources: vec![uuid] };
        let side = Side::Source(&owner);
        assert_eq!(made_by_us(&ours, side), Some(1_000_000));
        for other in [
            Snapshot { name: None, ..ours.clone() },
            Snapshot { parent_uuid: Identity([2; 16]), ..ours.clone() },
            Snapshot { made: 2_000_000, ..ours.clone() },
        ] {
            assert_eq!(made_by_us(&other, side), None);
        }
        let received = Snapshot { received_uuid: uuid, ..ours };
        assert_eq!(made_by_us(&received, Side::Drive(&owner)), None);
        let origin = Some(Origin {
            machine: uuid.0,
            source: uuid.0,
            backup: "home".to_owned(),
            is_source: false,
            members: 0,
            nested: None,
        });
        let recorded = Snapshot { origin, ..received };
        assert_eq!(made_by_us(&recorded, Side::Drive(&owner)), Some(1_000_000));
        let sent = |sent| Snapshot { origin: owner.origin(sent), ..recorded.clone() };
        assert_eq!(made_by_us(&sent(Identity([4; 16])), Side::Drive(&owner)), Some(1_000_000), "a snapshot");
        assert_eq!(made_by_us(&sent(uuid), Side::Drive(&owner)), None, "the source itself, which is read-only");
    }
}
