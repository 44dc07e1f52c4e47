//! Requests about drives and backups that make no job: the snapshots and the stream files on a drive, and the state of
//! backups with estimates. An import checks here, before its job, whether there are stream files.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use butterdock_worker::streams::StreamFile;

use crate::backups;
use crate::blocking::{Unanswered, detached};
use crate::destinations::{Destination as _, DriveDestination, close, no_descriptor};
use crate::drives::{DriveId, Need, NeedingDrive};
use crate::jobs::{Estimated, FreeableSpace, SourceSpace};
use crate::service::Service;
use crate::types::{BackupProperties, BackupStatus, DestinationId, Error, ErrorCode, Problem, Warning};

pub use crate::backups::{MadeBy, SnapshotOnDrive};

/// Timeout for listing the snapshots on a drive.
const LISTING: Duration = Duration::from_secs(20);
/// Timeout until a listing can begin, because other calls block on the drive.
const TURN: Duration = Duration::from_secs(10);

impl Service {
    /// The snapshots on a destination. A drive is released afterwards as after a job.
    ///
    /// # Errors
    /// The destination is away, cannot be used, or does not answer.
    pub async fn list_snapshots(&self, destination: &DestinationId) -> Result<Vec<SnapshotOnDrive>, Error> {
        let (manager, drive) = (&self.0.manager, self.0.manager.named(destination.as_str()));
        let backups = manager.remembered(&drive);
        let lease = manager.lease(&drive, Need::Read).await?;
        let destination =
            DriveDestination::of(&lease).map_err(|error| Error::new(ErrorCode::Failed, no_descriptor(&error)))?;
        // A drive that answers after the timeout is released as well.
        let listing = async move {
            let turn = lease.reads().turn(TURN).await;
            let read = move || {
                let found = destination.list(&backups);
                (lease, destination, found)
            };
            let (lease, destination, found) = turn?.run(read).await?;
            close(Box::new(destination)).await;
            lease.close().await;
            Ok(found)
        };
        match detached(LISTING, listing).await.flatten() {
            Ok(Ok(found)) => {
                manager.note_origins(&drive, &found);
                Ok(found)
            }
            Ok(Err(fault)) => Err(Error::new(ErrorCode::Failed, format!("cannot list what is on the drive: {fault}"))),
            Err(unanswered @ Unanswered::Busy) => Err(Error::new(ErrorCode::Busy, unanswered.to_string())),
            Err(unanswered @ Unanswered::Silent) => Err(Error::new(ErrorCode::DeviceGone, unanswered.to_string())),
            Err(unanswered @ Unanswered::NoThread) => Err(Error::new(ErrorCode::Failed, unanswered.to_string())),
        }
    }

    /// The stream files on a drive, in dependency order.
    ///
    /// # Errors
    /// `NotFound`: the configuration names no folder of it; the drive cannot be used.
    pub async fn list_streams(&self, drive: DriveId) -> Result<Vec<StreamFile>, Error> {
        let folder = self.0.manager.folder(&drive)?;
        self.read_streams(&drive, folder).await
    }

    /// The state of each backup on each drive; with `estimate` also what it would send to those that are attached.
    pub async fn backups(&self, estimate: bool) -> Vec<BackupStatus> {
        if estimate {
            self.check_sources().await;
        }
        let mut all = self.0.manager.backups();
        all.iter_mut().for_each(|backup| self.enter_space(backup));
        if estimate {
            self.estimate(&mut all).await;
        }
        if let Some(problem) = self.0.manager.unreadable() {
            let warning = Warning { code: problem.code(), english: problem.to_string() };
            all.iter_mut().for_each(|backup| backup.warnings.push(warning.clone()));
        }
        if let Some(stop) = self.0.clock.stop().await {
            let warning = Warning { code: stop.reason.code(), english: stop.to_string() };
            all.iter_mut().for_each(|backup| backup.warnings.push(warning.clone()));
        }
        all
    }

    /// Looks at all backups, for those who follow them: the configuration, the records of the drives, their problems, and the
    /// space of the sources.
    pub(crate) fn look_at_backups(&self) {
        let backups = self.0.manager.backups_with_rules().into_iter().map(|(rule, mut rows)| {
            rows.iter_mut().for_each(|row| self.enter_space(row));
            let (name, schedule) = (rule.name.as_str().to_owned(), rule.schedule.entries());
            let mut backup = BackupProperties { name, enabled: rule.enabled, schedule, ..BackupProperties::default() };
            backup.take_in(rows);
            backup
        });
        self.0.backup_list.update(backups.collect());
    }

    /// Enters what is known of the space of the source.
    fn enter_space(&self, backup: &mut BackupStatus) {
        let Some(space) = self.0.jobs.source_space(&backup.name) else { return };
        backup.source_snapshots = space.freeable.map(|freeable| freeable.snapshots);
        backup.source_freeable = space.freeable.and_then(|freeable| freeable.bytes);
        if space.is_short() {
            let drives = self.0.manager.needing_drives(&backup.name);
            backup.problems.push(Problem::SourceLowSpace { sentence: short_of_space(&space, &drives) });
        }
    }

    /// Looks whether there are stream files to import.
    pub(crate) async fn find_stream_files(
        &self,
        drive: &DriveId,
        folder: PathBuf,
        name: Option<&[u8]>,
    ) -> Result<(), Error> {
        let wanted = |row: &StreamFile| name.is_none_or(|name| *name == row.name);
        if self.read_streams(drive, folder).await?.iter().any(wanted) {
            return Ok(());
        }
        let text = match name {
            Some(_) => {
                "there is no stream file of that name on the drive; butterdock import --list lists the stream files"
            }
            None => {
                "there is no stream file on the drive, so nothing is to be imported; copy files there whose names end in .btrfs or \
                 .send, or in .btrfs.zst, .btrfs.gz, .send.zst or .send.gz; join the parts of a split file first"
            }
        };
        Err(Error::new(ErrorCode::NotFound, text))
    }

    async fn read_streams(&self, drive: &DriveId, folder: PathBuf) -> Result<Vec<StreamFile>, Error> {
        let lease = self.0.manager.read(drive).await?;
        let rows = self.0.jobs.streams(&lease, folder).await;
        lease.close().await;
        rows
    }

    /// Works it out for each row whose drive is attached, one after another: each reads its source.
    async fn estimate(&self, all: &mut [BackupStatus]) {
        let attached = all.iter().filter(|row| row.attached == Some(true)).filter_map(|row| row.drive.clone());
        for drive in attached.collect::<BTreeSet<_>>() {
            let id = self.0.manager.named(&drive);
            let of_it = all.iter_mut().filter(|row| row.drive.as_ref() == Some(&drive)).collect();
            self.estimate_on(&id, of_it).await;
        }
    }

    async fn estimate_on(&self, id: &DriveId, backups: Vec<&mut BackupStatus>) {
        let (manager, jobs) = (&self.0.manager, &self.0.jobs);
        let lease = manager.lease(id, Need::Write).await;
        for backup in backups {
            let estimated = match (&lease, manager.rule(&backup.name)) {
                (Ok(lease), Some((rule, worker))) => jobs.estimate((manager, id, lease), rule, worker).await,
                (Err(error), _) => Err(error.clone()),
                // Withdrawn since it was asked for.
                (Ok(_), None) => continue,
            };
            enter(backup, estimated);
        }
        if let Ok(lease) = lease {
            lease.close().await;
        }
    }
}

/// The problem of a source that has less free space than its reserve.
fn short_of_space(space: &SourceSpace, drives: &[NeedingDrive]) -> String {
    let snapshots = match space.freeable {
        Some(FreeableSpace { snapshots, bytes: Some(bytes) }) => {
            format!("; the {snapshots} snapshots of this backup there use {} MiB", bytes.div_ceil(1 << 20))
        }
        Some(FreeableSpace { snapshots, bytes: None }) => format!("; there are {snapshots} snapshots of this backup"),
        None => String::new(),
    };
    let away: Vec<String> = drives.iter().filter(|drive| !drive.is_attached).map(|drive| drive.label.clone()).collect();
    let next = if away.is_empty() {
        "free some space there".to_owned()
    } else {
        format!(
            "free some space there, or back up to each drive that is away and for which a snapshot is kept (\"{}\"), or give the \
             snapshot up with butterdock unpin",
            away.join("\", \"")
        )
    };
    format!(
        "the source has {} MiB free, less than its reserve of {} MiB (source_reserve){snapshots}; {next}",
        space.free >> 20,
        space.reserve.div_ceil(1 << 20)
    )
}

fn enter(backup: &mut BackupStatus, estimated: Result<Estimated, Error>) {
    match estimated {
        Ok(Estimated { bytes, incremental, why, problem, from_future, left_out, nested }) => {
            backup.estimate = bytes;
            backup.incremental = bytes.map(|_| incremental);
            let why = why.map(|why| format!("full transfer, because {why}"));
            let nested = nested.map(|(count, full)| backups::nested_in_run(count, full));
            let notes: Vec<String> = why.into_iter().chain(nested).collect();
            backup.note = (!notes.is_empty()).then(|| notes.join("; "));
            backup.problems.extend(problem.map(|sentence| Problem::WouldFail { sentence }));
            let warning =
                |(drive, count)| Warning { code: "snapshots-from-future", english: backups::from_future(drive, count) };
            backup.warnings.extend(from_future.into_iter().map(warning));
            if let Some(left_out) = left_out {
                // In place of what the last run counted: who asks for an estimate may know names.
                backup.warnings.retain(|warning| warning.code != Warning::LEFT_OUT);
                backup.warnings.extend(Warning::left_out(left_out.sentence(true)));
            }
        }
        Err(error) => backup.problems.push(Problem::WouldFail { sentence: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_short_of_space_names_the_drives_and_the_way_out() {
        let freeable = Some(FreeableSpace { snapshots: 4, bytes: Some(300 << 20) });
        let space = SourceSpace { free: 12 << 20, reserve: 30 << 20, freeable, ..SourceSpace::default() };
        let drive = |label: &str, is_attached| NeedingDrive { label: label.to_owned(), is_attached, since: 0 };
        let text = short_of_space(&space, &[drive("Blue", false), drive("Red", true)]);
        let parts =
            ["12 MiB free", "reserve of 30 MiB", "4 snapshots", "use 300 MiB", "(\"Blue\")", "butterdock unpin"];
        assert!(parts.iter().all(|part| text.contains(part)) && !text.contains('/'), "{text}");
        let text = short_of_space(&space, &[drive("Red", true)]);
        assert!(text.ends_with("; free some space there"), "{text}");
    }

    #[test]
    fn a_dry_run_warns_of_snapshots_from_the_future() {
        let mut backup = BackupStatus::default();
        enter(&mut backup, Ok(Estimated { from_future: vec![(true, 3)], ..Estimated::default() }));
        assert_eq!(backup.warnings.len(), 1);
        assert_eq!(backup.warnings[0].code, "snapshots-from-future");
        assert!(backup.warnings[0].english.starts_with("3 snapshots on the drive"), "{:?}", backup.warnings);
        let mut backup = BackupStatus::default();
        enter(&mut backup, Ok(Estimated::default()));
        assert!(backup.warnings.is_empty());
    }
}
