//! Which machine, source and backup a snapshot on a drive belongs to: a record beside it says so.
//!
//! Several machines may use one drive, and two of them may give a backup the same name. Only snapshots that a record names
//! as this backup's are pruned; a name proves nothing. Only root can write the records, and they are checked against the
//! subvolume.

use std::os::fd::BorrowedFd;

use butterdock_receive::{Origin, Record, SubvolumeState};

use super::name;
use super::shared::SharedSnapshot;
use super::shared_snapshots::{SharedPair, is_as_it_was};
use super::snapshot::Identity;
use super::snapshot::{Side, Snapshot, made_by_us};
use super::task::Task;

/// A backup of one machine, as records name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub machine: Identity,
    /// The name of the backup.
    pub backup: Vec<u8>,
    /// The source, and those that it took the place of. The first is the source.
    pub sources: Vec<Identity>,
}

impl Owner {
    /// The backup of this task, whose source has the uuid `source` now. Where `pairs` or what is remembered prove that the
    /// source goes on from earlier ones, their snapshots are its own too.
    pub(crate) fn of(task: &Task, source: Identity, pairs: &[SharedPair<'_>]) -> Self {
        let mut owner = Self { machine: task.machine, backup: task.name.clone(), sources: vec![source] };
        let goes_on = task.sources.contains(&source)
            || pairs
                .iter()
                .filter_map(|pair| pair.drive.origin.as_ref())
                .any(|origin| owner.is_named_by(origin) && task.sources.contains(&Identity(origin.source)));
        if goes_on {
            owner.sources.extend(task.sources.iter().copied().filter(|&earlier| earlier != source));
        }
        owner
    }

    /// Whether the snapshot came from this backup and is what was sent.
    pub(crate) fn owns(&self, snapshot: &Snapshot) -> bool {
        let is_ours = |origin: &Origin| self.is_named_by(origin) && self.sources.contains(&Identity(origin.source));
        !snapshot.changed && snapshot.origin.as_ref().is_some_and(is_ours)
    }

    /// What a record says of a snapshot of this backup; none where no record can have its name.
    pub(crate) fn origin(&self) -> Option<Origin> {
        let backup = String::from_utf8(self.backup.clone()).ok()?;
        Some(Origin { machine: self.machine.0, source: self.sources.first()?.0, backup })
    }

    fn is_named_by(&self, origin: &Origin) -> bool {
        Identity(origin.machine) == self.machine && origin.backup.as_bytes() == self.backup
    }
}

/// Looks up the records of the snapshots in a folder. A snapshot without a record of its own has no known origin.
pub(super) fn look_up(folder: BorrowedFd<'_>, snapshots: &mut [Snapshot]) {
    for snapshot in snapshots.iter_mut().filter(|snapshot| snapshot.name.is_some()) {
        snapshot.origin = recorded(folder, &snapshot.state()).and_then(|record| record.origin);
    }
}

/// The record of the subvolume that is in this state now.
pub(super) fn recorded(folder: BorrowedFd<'_>, now: &SubvolumeState) -> Option<Record> {
    // One that cannot be read proves nothing.
    Record::read(folder, now.uuid).ok().flatten().filter(|record| record.state.is_marked_as(now))
}

/// Gives the snapshots of before there were records theirs, where this machine proves that it sent them: by what it
/// remembers, and where it remembers no more than version 1 did, by the snapshot beside the source that each was made of.
/// Answers a warning where one could not be written; in a dry run nothing is.
pub(super) fn adopt(
    folder: BorrowedFd<'_>,
    task: &Task,
    owner: &Owner,
    mine: &[Snapshot],
    theirs: &mut [Snapshot],
) -> Option<String> {
    let origin = owner.origin()?;
    let mut failed = None;
    for snapshot in theirs.iter_mut().filter(|snapshot| snapshot.name.is_some() && snapshot.origin.is_none()) {
        let state = snapshot.state();
        let proves = |known: &SharedSnapshot| is_as_it_was(snapshot, &known.there, &known.here);
        let proved = task.shared.iter().any(proves) || task.adopt && is_sent(snapshot, task, owner, mine);
        // Another record, whatever it says, is not replaced.
        if !proved || !matches!(Record::read(folder, state.uuid), Ok(None)) {
            continue;
        }
        snapshot.origin = Some(origin.clone());
        if !task.dry_run
            && let Err(error) = (Record { state, asked_by: 0, origin: Some(origin.clone()) }).write(folder)
        {
            failed = Some(error);
        }
    }
    failed.map(|error| {
        format!(
            "older snapshots on the drive cannot be recorded as this machine's: {error}; the next backup tries again"
        )
    })
}

/// Whether it was made of a snapshot beside the source, which is as it was then.
fn is_sent(snapshot: &Snapshot, task: &Task, owner: &Owner, mine: &[Snapshot]) -> bool {
    let named = snapshot.name.as_deref().is_some_and(|name| name::parse(&task.name, name).is_some());
    let Some(&uuid) = owner.sources.first() else { return false };
    let made_of = |mine: &Snapshot| {
        made_by_us(mine, &task.name, Side::Source { uuid }).is_some()
            && mine.uuid == snapshot.received_uuid
            && mine.ctransid == snapshot.stransid
            && mine.ctransid <= mine.otransid
    };
    named && !snapshot.changed && mine.iter().any(made_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Identity = Identity([1; 16]);
    const SOURCE: Identity = Identity([2; 16]);

    fn owner() -> Owner {
        Owner { machine: HERE, backup: b"home".to_vec(), sources: vec![SOURCE, Identity([3; 16])] }
    }

    fn of(machine: u8, source: u8, backup: &str) -> Snapshot {
        let origin = Origin { machine: [machine; 16], source: [source; 16], backup: backup.to_owned() };
        Snapshot { origin: Some(origin), ..Snapshot::default() }
    }

    #[test]
    fn only_what_this_source_of_this_machine_sent_is_ours() {
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
    fn a_source_takes_over_its_predecessors_snapshots_only() {
        let task = |sources| Task { sources, ..Task::of(b"home", HERE) };
        let new = Identity([7; 16]);
        assert_eq!(Owner::of(&task(vec![SOURCE]), new, &[]).sources, [new]);
        assert_eq!(Owner::of(&task(vec![new, SOURCE]), new, &[]).sources, [new, SOURCE]);
        let (mine, theirs) = (Snapshot::default(), [of(1, 2, "home"), of(9, 2, "home")]);
        let owners =
            theirs.each_ref().map(|drive| Owner::of(&task(vec![SOURCE]), new, &[SharedPair { source: &mine, drive }]));
        assert_eq!(owners.map(|owner| owner.sources.len()), [2, 1], "a pair of this machine's proves it");
    }
}
