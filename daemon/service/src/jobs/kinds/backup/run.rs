//! One run of a backup: opens the source and the destination, has a worker transfer, records what it learned, and prunes
//! beside the source.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::backups::{self, BackupEvent, Identity, Lineage, MOST_PINS, NotOpened, PairUuids, Task};
use crate::blocking::{BlockingQueue, BlockingQueues, Unanswered, local};
use crate::config::{BackupRule, Nested};
use crate::destinations::{BackupFolder, BackupRecords, Destination, Space, no_descriptor};
use crate::dir_handle::DirHandle;
use crate::jobs::job::JobError;
use crate::jobs::kinds::drive_job::failure;
use crate::jobs::outcome::Ending;
use crate::jobs::retention::{Retention, Sides};
use crate::jobs::runner::{KILLED, Outcome, Runner, RunnerEvent, WorkerResults, other_than};
use crate::jobs::source_check;
use crate::jobs::source_space::FreeableSpace;
use crate::jobs::source_store::{Look, OpenDirectories, SourceStore};
use crate::prune_locks::{Exclusive, PruneLocks};
use crate::types::{BackupOptions, ErrorCode};
use crate::worker::{Order, Report, Worker};

/// Timeout for opening the source and the destination.
const OPENING: Duration = Duration::from_secs(30);
/// Threads that open one backup on one destination: for a job and for an estimate.
const OPENINGS_MOST: usize = 2;
/// Timeout for pruning; the next backup deletes the rest.
const PRUNING: Duration = Duration::from_secs(60);

/// By destination and backup: a source that hangs blocks neither other backups nor listings of the destination.
static OPENINGS: BlockingQueues<(String, String)> = BlockingQueues::new("open backup", OPENINGS_MOST);

/// A backup that runs, to any destination.
#[derive(Debug)]
pub(super) struct BackupRun<'b, R> {
    pub(super) rule: &'b BackupRule,
    pub(super) options: BackupOptions,
    pub(super) sources: &'b SourceStore,
    pub(super) prune_locks: &'b PruneLocks,
    pub(super) retention: &'b Retention,
    pub(super) records: &'b R,
    /// The number of threads that write data; the worker's default if None.
    pub(super) writer_threads: Option<usize>,
}

impl<R: BackupRecords> BackupRun<'_, R> {
    /// Runs it. Answers with the destination, which is swept and closed after it.
    pub(super) async fn run(
        &self,
        runner: &mut Runner,
        destination: Box<dyn Destination>,
    ) -> Result<(Outcome, Box<dyn Destination>), Ending> {
        let Open { source, places, sides, folder, destination, space } = self.open(runner, destination).await?;
        if let Some(Space { size, free }) = space {
            tracing::info!(butterdock_job = %runner.id, "{free} of {size} bytes are free on the destination");
        }
        // Shared until the destination's pins are recorded: only then is it known which snapshots are needed.
        let share = tokio::select! {
            share = self.prune_locks.join(self.rule.name.as_str()) => share,
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        let task = self.task(source.clone().unwrap_or_default());
        let (time, stop) = self.retention.time(self.rule, sides).await;
        let full = self.options.full;
        let max_rate = *runner.max_rate.borrow();
        let task = Task { time, full, max_rate, ..task.map_err(|text| failed(ErrorCode::Failed, text))? };
        let before = task.pins.clone();
        let accepted = self.options.new_source.then(|| runner.lineage.subscribe());
        let mut outcome = {
            let id = runner.id;
            let mut work = pin!(runner.work(Order::Backup(task), places.into(), &*destination));
            tokio::select! {
                outcome = &mut work => outcome,
                () = self.remember_accepted(id, accepted) => work.await,
            }
        };
        self.record(runner, &mut outcome, source).await;
        // A worker that the kernel holds may still be at the source.
        let is_done = matches!(outcome.ending, Ending::Reported(None)) && outcome.heard.made && !outcome.is_stuck();
        if let (true, Some(alone)) = (is_done, share.release()) {
            match self.pruning(outcome.heard.lineage.clone(), before) {
                Ok(task) => {
                    let source_pruning = source_check::after_backup(self.sources, self.rule).await;
                    let task = Task { time, source_pruning, measure: true, ..task };
                    runner.prune(task, folder, alone, &mut outcome.heard).await;
                    source_check::note_pruned(self.sources, self.rule, outcome.heard.freeable).await;
                }
                Err(text) => {
                    tracing::warn!(butterdock_job = %runner.id, "old snapshots beside the source are not deleted: {text}");
                    runner.tell(RunnerEvent::Noted(text)).await;
                }
            }
        }
        self.retention.remember(self.rule, sides, std::mem::take(&mut outcome.heard.listings)).await;
        if let Some(stop) = stop {
            runner.tell(RunnerEvent::Noted(stop.to_string())).await;
        }
        Ok((outcome, destination))
    }

    async fn open(&self, runner: &mut Runner, destination: Box<dyn Destination>) -> Result<Open, Ending> {
        let (rule, sources, records) = (self.rule.clone(), self.sources.clone(), self.records);
        let here = (records.machine(), is_remembered(records, &rule));
        let BackupOptions { new_source, .. } = self.options;
        let opening = openings(records, &rule);
        let opening = opening.run(OPENING, move || open(&rule, new_source, &sources, destination, here));
        let opened = tokio::select! {
            opened = opening => opened,
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        match opened {
            Ok(Ok(open)) => Ok(open),
            Ok(Err(NotOpened { sentence, cause })) => {
                Err(Ending::JobError(JobError { cause, ..JobError::plain(ErrorCode::Failed, sentence) }))
            }
            Err(no_thread @ Unanswered::NoThread) => Err(failed(ErrorCode::Failed, no_thread.to_string())),
            Err(Unanswered::Busy | Unanswered::Silent) => {
                let text = "the source or the drive does not respond; check both and their cables (dmesg)";
                Err(failed(ErrorCode::DeviceGone, text.to_owned()))
            }
        }
    }

    fn task(&self, lineage: Lineage) -> Result<Task, String> {
        task(self.rule, lineage, self.records, self.writer_threads)
    }

    /// The order to prune beside the source of this lineage; `before` are the pins at the start of the job.
    fn pruning(&self, lineage: Option<Lineage>, before: Vec<PairUuids>) -> Result<Task, String> {
        if let Some(unread) = self.records.unread_pins(self.rule.name.as_str()) {
            return Err(unread);
        }
        let task = self.task(lineage.ok_or("the worker did not report the source")?)?;
        Ok(Task { pins: and_before(task.pins, before), ..task })
    }

    /// Records what the destination needs for the next increment, durably, before the job succeeds; and which snapshots were
    /// replaced, also if the job failed: the next one does not expect them.
    async fn record(&self, runner: &Runner, outcome: &mut Outcome, expected: Option<Lineage>) {
        let WorkerResults { lineage, learned, replaced, has_parent, .. } = outcome.heard.clone();
        let name = self.rule.name.as_str();
        let as_recorded = has_parent && replaced.is_empty();
        if !replaced.is_empty()
            && let Err(error) = self.records.replaced(name, replaced).await
        {
            return outcome.fail(failure(error));
        }
        let is_backed_up = learned.is_some();
        if let Some(learned) = learned
            && let Err(error) = self.records.backed_up(name, learned, as_recorded).await
        {
            outcome.fail(failure(error));
        }
        let is_final = is_backed_up || self.options.new_source;
        if let Some(lineage) = lineage.filter(|lineage| is_final && expected.as_ref() != Some(lineage)) {
            self.remember(runner.id, lineage).await;
        }
    }

    /// Records the source that an administrator accepted when the worker has found it, before the transfer: it stays accepted if
    /// that fails, or if the service is killed meanwhile.
    async fn remember_accepted(&self, id: Uuid, accepted: Option<watch::Receiver<Option<Lineage>>>) {
        let Some(mut accepted) = accepted else { return pending().await };
        let Ok(lineage) = accepted.wait_for(Option::is_some).await.map(|lineage| lineage.clone()) else { return };
        if let Some(lineage) = lineage {
            self.remember(id, lineage).await;
        }
    }

    async fn remember(&self, id: Uuid, lineage: Lineage) {
        let (sources, rule) = (self.sources.clone(), self.rule.clone());
        let written = local(move || sources.remember(&rule, lineage)).await;
        if let Err(error) = written.unwrap_or_else(|lost| Err(std::io::Error::other(lost))) {
            tracing::warn!(butterdock_job = %id, "cannot record the identity of the source: {error}");
        }
    }
}

impl Runner {
    /// Has a worker prune in `folder`, beside the source, of which this job has exclusive use. The job's result is known: an
    /// error is logged. The worker's results go into `heard`.
    async fn prune(&mut self, task: Task, folder: DirHandle, alone: Exclusive, heard: &mut WorkerResults) {
        let mut worker = match self.spawner.worker(Order::Prune(task), [folder].into(), self.priority).await {
            Ok(worker) => worker,
            Err(error) => return self.not_pruned(&format!("cannot start a worker ({error})")),
        };
        let mut stop = self.stop.clone();
        let ended = tokio::select! {
            ended = timeout(PRUNING, self.hear_pruning(&mut worker, heard)) => {
                ended.unwrap_or(Some("it takes too long".to_owned()))
            }
            _why = other_than(&mut stop, None) => Some("the job was cancelled".to_owned()),
        };
        let Some(text) = ended else { return };
        self.not_pruned(&text);
        worker.kill();
        if timeout(KILLED, worker.gone()).await.is_err() {
            // It hangs in the kernel. While it may still delete, no other job reads the snapshots.
            tokio::spawn(async move {
                worker.gone().await;
                drop(alone);
            });
        }
    }

    /// Returns the error, if any.
    async fn hear_pruning(&self, worker: &mut Worker, heard: &mut WorkerResults) -> Option<String> {
        while let Some(report) = worker.next().await {
            #[expect(clippy::wildcard_enum_match_arm, reason = "other messages are not needed here")]
            match report {
                Report::Ended { error, .. } => {
                    worker.gone().await;
                    return error.map(|error| error.message);
                }
                Report::Backup(BackupEvent::Seen { drive, snapshots, last }) => {
                    heard.listings.hear(drive, &snapshots, last);
                }
                Report::Backup(event @ BackupEvent::Freeable { .. }) => heard.freeable = FreeableSpace::of(&event),
                Report::Warning(_) => self.tell(RunnerEvent::Report(report)).await,
                _other => {}
            }
        }
        Some("the worker ended without a result".to_owned())
    }

    fn not_pruned(&self, why: &str) {
        let text = "the backup is done, but old snapshots beside the source may remain";
        tracing::warn!(butterdock_job = %self.id, "{text}: {why}; the next backup tries again");
    }
}

/// Keeps what was needed before the backup as well: a drive that was unplugged too early may lack what it has confirmed. If
/// that is too much for an order, what is needed now comes first.
fn and_before(mut pins: Vec<PairUuids>, before: Vec<PairUuids>) -> Vec<PairUuids> {
    for mark in before {
        if !pins.contains(&mark) {
            pins.push(mark);
        }
    }
    pins.truncate(MOST_PINS);
    pins
}

/// The worker's order.
pub(in crate::jobs) fn task(
    rule: &BackupRule,
    lineage: Lineage,
    records: &impl BackupRecords,
    writer_threads: Option<usize>,
) -> Result<Task, String> {
    let name = rule.name.as_str();
    let (known, adopt) = records.known(name)?;
    let shared = records.shared(name);
    let is_shared = |there: &Identity| shared.iter().any(|shared| shared.uuids().there == *there);
    let damaged = records.damaged().into_iter().filter(is_shared).collect();
    Ok(Task {
        former: rule.former.clone(),
        keep: rule.keep,
        nested: rule.nested == Nested::Include,
        protect: rule.protect.as_secs(),
        pins: records.pins(name),
        last: known.newest().map(|newest| newest.uuids().there),
        unpinned: records.unpinned(name),
        unpin_reason: records.unpin_reason(name),
        own: known.all().len(),
        sources: known.sources,
        shared,
        damaged,
        adopt,
        writer_threads,
        ..Task::pruning(name.as_bytes(), records.machine(), lineage)
    })
}

/// Whether the records have a run of this backup.
pub(in crate::jobs) fn is_remembered(records: &impl BackupRecords, rule: &BackupRule) -> bool {
    // A record that cannot be read ends the backup before the transfer.
    records.known(rule.name.as_str()).is_ok_and(|(known, _)| known.newest().is_some())
}

/// The descriptors of a backup.
#[derive(Debug)]
pub(in crate::jobs) struct Open {
    /// What is recorded of the source.
    pub(in crate::jobs) source: Option<Lineage>,
    /// For the worker: the source, and the folder for its snapshots.
    pub(in crate::jobs) places: Vec<DirHandle>,
    /// The filesystems of that folder and of the destination.
    pub(in crate::jobs) sides: Sides,
    /// The folder for snapshots once more, to prune it.
    folder: DirHandle,
    pub(in crate::jobs) destination: Box<dyn Destination>,
    /// That of the destination, if it is known.
    space: Option<Space>,
}

/// The threads that may block while they open the source and the destination.
pub(in crate::jobs) fn openings(records: &impl BackupRecords, rule: &BackupRule) -> BlockingQueue {
    OPENINGS.of((records.destination(), rule.name.as_str().to_owned()))
}

/// Opens the source and the destination. Blocks while they do. With a `new_source`, the recorded one is superseded, also if it
/// cannot be read.
pub(in crate::jobs) fn open(
    rule: &BackupRule,
    new_source: bool,
    sources: &SourceStore,
    mut destination: Box<dyn Destination>,
    here: (Identity, bool),
) -> Result<Open, NotOpened> {
    let recorded = sources.of(rule);
    let recorded = if new_source { Ok(recorded.ok().flatten().map(Lineage::superseded)) } else { recorded };
    let source = recorded.map_err(|error| {
        format!(
            "cannot read the recorded identity of the source: {error}; check the disk of the state directory, or run \
             butterdock backup NAME --new-source to record the source again"
        )
    })?;
    let [from, beside] = sources.open(rule, &mut *destination, here)?;
    let space = destination.space().ok();
    let folder = beside.try_clone().map_err(|error| no_descriptor(&error))?;
    let sides = Sides::of(&folder, destination.directory());
    Ok(Open { source, places: vec![from, beside], sides, folder, destination, space })
}

/// How they are opened on this machine.
pub(crate) const ON_SYSTEM: OpenDirectories =
    OpenDirectories { open: open_on_system, find_source: find_on_system, look: look_on_system };

fn open_on_system(
    rule: &BackupRule,
    destination: &mut dyn Destination,
    (machine, is_remembered): (Identity, bool),
) -> Result<[DirHandle; 2], NotOpened> {
    let (from, beside) = backups::open(&rule.source, &rule.snapshots)?;
    let (from, beside) = (DirHandle::from(from), DirHandle::from(beside));
    let (backup, former) = (rule.name.as_str(), rule.former.as_slice());
    let backup = BackupFolder { path: &rule.folder, backup, former, machine, is_remembered };
    destination.receive(&backup)?;
    Ok([from, beside])
}

fn find_on_system(rule: &BackupRule) -> Option<Lineage> {
    backups::find_source(&rule.source, &rule.snapshots, rule.nested == Nested::Include)
}

/// Looks at a source on this machine, as [`SourceStore::look`] has it.
fn look_on_system(rule: &BackupRule) -> Option<Look> {
    let folder = DirHandle::from(backups::open_existing(&rule.source, &rule.snapshots)?);
    let space = Space::of(&folder).ok()?;
    Some(Look { folder, space })
}

fn failed(code: ErrorCode, text: String) -> Ending {
    Ending::JobError(JobError::plain(code, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_pins_are_kept_beside_the_new_ones() {
        let mark = |number: u8| PairUuids { here: Identity([1; 16]), there: Identity([number; 16]) };
        assert_eq!(and_before(vec![mark(2), mark(3)], vec![mark(1), mark(2)]), [mark(2), mark(3), mark(1)]);
        let now: Vec<PairUuids> = (100..).take(MOST_PINS).map(mark).collect();
        assert_eq!(and_before(now.clone(), vec![mark(1)]), now);
    }
}
