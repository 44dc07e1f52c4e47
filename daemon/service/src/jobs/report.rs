//! How a worker's reports, and its silence, change a job; and the rate of a job.

use crate::types::{JobState, TotalSource};
use butterdock_receive::{Counts, Phase, Unapplied};
use tokio::time::Instant;

use super::job::Event;
use super::job::{Job, JobError, Total};
use super::pace::{Pace, remaining};
use crate::backups::{BackupEvent, DeletionEvent, from_future, nested_in_run, nested_restored};
use crate::worker::Report;
use butterdock_worker::files::FileEvent;
use butterdock_worker::{streams, verify};

/// The step that a report means for a job in this state, where it means one.
pub(super) fn event(state: &JobState, report: &Report) -> Option<Event> {
    let Report::Phase(phase) = report else { return None };
    match (phase, state) {
        (Phase::Receiving, JobState::Flushing) => Some(Event::Continues),
        (
            Phase::Syncing | Phase::Checking | Phase::Marking | Phase::ReadOnly | Phase::Publishing | Phase::Settling,
            JobState::Running,
        ) => Some(Event::Flushes),
        _ => None,
    }
}

/// A number that differs is no fault: see "Parents" in butterdockd(8).
const NUMBER_DIFFERS: &str = "the parent's generation number differs from the one in the stream; its uuid is the same, and it has not changed \
     here";

/// A rollback is no fault: the backup continues.
const CONTINUED: &str = "the source was replaced by another subvolume that descends from it, such as a snapshot of it after a rollback; \
     its backups continue";

/// Applies the numbers of a report; returns whether any changed. None of them decreases. `now` is in microseconds since 1970.
pub(super) fn apply(job: &mut Job, pace: &mut Pace, report: &Report, now: u64) -> bool {
    match report {
        Report::Progress { counts, .. } => progress(job, pace, counts, now),
        Report::Published { end, parent_number_differs, .. } => {
            let before = (job.bytes_durable, job.number_differs);
            job.bytes_durable = before.0.max(*end);
            job.number_differs |= *parent_number_differs;
            if job.number_differs != before.1 {
                note(job, NUMBER_DIFFERS);
            }
            before != (job.bytes_durable, job.number_differs)
        }
        Report::Began { incremental, .. } => std::mem::replace(&mut job.incremental, *incremental) != *incremental,
        Report::Backup(event) => backup(job, event),
        Report::Streams(event) => imported(job, event),
        Report::Deletion(event) => deleted(job, pace, event, now),
        Report::Verify(event) => verified(job, pace, event, now),
        Report::Unapplied { inodes, flags, compressions } => {
            let more = Unapplied { inodes: *inodes, flags: *flags, compressions: *compressions };
            job.unapplied = job.unapplied.and(more);
            true
        }
        Report::Files(event) => files(job, event),
        Report::Confined { .. } | Report::Phase(_) | Report::Warning(_) | Report::Ended { .. } => false,
    }
}

/// No data arrived for a while: the rate is zero, and the end is unknown.
pub(super) fn stall(job: &mut Job) -> bool {
    let before = (job.rate, job.expected_end);
    (job.rate, job.expected_end) = (0, 0);
    before != (0, 0)
}

/// The job has ended, at `now` in microseconds since 1970.
pub(super) fn end(job: &mut Job, state: JobState, failure: Option<JobError>, now: u64) {
    // Once for all files of an import.
    if job.unapplied != Unapplied::default() {
        let unapplied = std::mem::take(&mut job.unapplied);
        note(job, &unapplied.to_string());
    }
    job.state = state;
    job.failure = failure;
    job.ended = now.max(job.started);
    job.ending = true;
    job.max_rate = None;
    stall(job);
}

/// Applies the reports of a backup.
fn backup(job: &mut Job, event: &BackupEvent) -> bool {
    let note = match event {
        BackupEvent::Estimated { bytes } => return total(job, *bytes, TotalSource::Estimate),
        BackupEvent::Parent { uuid, why } => {
            let incremental = uuid.is_some();
            let before = std::mem::replace(&mut job.incremental, incremental);
            let note = why.as_ref().map(|why| format!("full transfer, because {why}"));
            return note.is_some_and(|note| say(job, note)) || before != incremental;
        }
        // If they cause a full transfer, its reason replaces this note.
        BackupEvent::Replaced { there } => {
            note(
                job,
                &format!("{} snapshots on the drive differ from what this machine sent, and are not used", there.len()),
            );
            return true;
        }
        BackupEvent::Unchanged { .. } => "nothing has changed since the last backup to this destination".to_owned(),
        BackupEvent::FlagsNotSent { count } => {
            let which = if *count == 1 { "1 new file has".to_owned() } else { format!("{count} new files have") };
            note(job, &format!("{which} flags of chattr that btrfs send does not send for new files"));
            return true;
        }
        BackupEvent::LeftOut(left_out) => {
            let sentence = left_out.sentence(false);
            sentence.iter().for_each(|sentence| note(job, sentence));
            return sentence.is_some();
        }
        BackupEvent::RestoredNested { count, missing } => {
            note(job, &nested_restored(*count, *missing));
            return true;
        }
        BackupEvent::Nested { count, full } => {
            note(job, &nested_in_run(*count, *full));
            return true;
        }
        BackupEvent::FromFuture { drive, count } => {
            note(job, &from_future(*drive, *count));
            return true;
        }
        BackupEvent::Continued => {
            note(job, CONTINUED);
            return true;
        }
        BackupEvent::Source { .. }
        | BackupEvent::Lineage(_)
        | BackupEvent::Seen { .. }
        | BackupEvent::Snapshot { .. }
        | BackupEvent::Pinned { .. }
        | BackupEvent::Restored { .. }
        | BackupEvent::Freeable { .. }
        | BackupEvent::Pruned { .. }
        | BackupEvent::Kept { .. } => return false,
    };
    say(job, note)
}

/// Applies the reports of a job with files in a snapshot.
fn files(job: &mut Job, event: &FileEvent) -> bool {
    match event {
        FileEvent::Total { bytes } => total(job, *bytes, TotalSource::Estimate),
        FileEvent::Restored(restored) => {
            job.bytes_durable = job.bytes_durable.max(restored.bytes);
            note(job, &restored.sentence());
            true
        }
        FileEvent::Row(_) | FileEvent::Listed { .. } | FileEvent::Version { .. } => false,
    }
}

/// The total is set once: a second attempt at the same stream does not change it.
fn total(job: &mut Job, bytes: u64, source: TotalSource) -> bool {
    let is_news = job.total.bytes == 0 && bytes != 0;
    if is_news {
        job.total = Total { bytes, source };
    }
    is_news
}

/// Applies the reports of an import.
fn imported(job: &mut Job, event: &streams::StreamFileEvent) -> bool {
    match event {
        streams::StreamFileEvent::Total { bytes } => total(job, *bytes, TotalSource::File),
        streams::StreamFileEvent::Planned { files: 1, known: 0 } => say(job, "1 file".to_owned()),
        streams::StreamFileEvent::Planned { files, known: 0 } => say(job, format!("{files} files")),
        streams::StreamFileEvent::Planned { files: 1, known: _ } => {
            say(job, "the volume has the file already".to_owned())
        }
        streams::StreamFileEvent::Planned { files, known } => {
            say(job, format!("the volume has {known} of {files} files already"))
        }
        streams::StreamFileEvent::File(_) => false,
    }
}

/// Applies the reports of a deletion.
fn deleted(job: &mut Job, pace: &mut Pace, event: &DeletionEvent, now: u64) -> bool {
    match event {
        DeletionEvent::Total { bytes } => total(job, *bytes, TotalSource::Estimate),
        DeletionEvent::Freed { bytes } => progress(job, pace, &Counts { bytes: *bytes, ..Counts::default() }, now),
        DeletionEvent::Size { .. } | DeletionEvent::Deleted { .. } | DeletionEvent::Kept { .. } => false,
    }
}

/// Applies the reports of a verify.
fn verified(job: &mut Job, pace: &mut Pace, event: &verify::VerifyEvent, now: u64) -> bool {
    match event {
        verify::VerifyEvent::Total { bytes } => total(job, *bytes, TotalSource::Estimate),
        verify::VerifyEvent::Read { bytes } | verify::VerifyEvent::Found(verify::Found { bytes, .. }) => {
            progress(job, pace, &Counts { bytes: *bytes, ..Counts::default() }, now)
        }
        verify::VerifyEvent::DamagedFile { .. } | verify::VerifyEvent::DamagedSubvolume { .. } => false,
    }
}

/// Adds a public note.
pub(super) fn note(job: &mut Job, more: &str) {
    if !job.note.is_empty() {
        job.note.push_str("; ");
    }
    job.note.push_str(more);
}

fn say(job: &mut Job, note: String) -> bool {
    let news = job.note != note;
    job.note = note;
    news
}

fn progress(job: &mut Job, pace: &mut Pace, counts: &Counts, now: u64) -> bool {
    let before = (job.bytes_received, job.encoded_writes, job.fallback_writes);
    job.bytes_received = before.0.max(counts.bytes);
    job.encoded_writes = before.1.max(counts.encoded_writes);
    job.fallback_writes = before.2.max(counts.fallback_writes);
    if before == (job.bytes_received, job.encoded_writes, job.fallback_writes) {
        return false;
    }
    job.rate = pace.sample(Instant::now(), job.bytes_received);
    let rest = remaining(job.total.bytes, job.bytes_received, job.rate);
    let micros = rest.and_then(|rest| u64::try_from(rest.as_micros()).ok());
    job.expected_end = micros.and_then(|micros| now.checked_add(micros)).unwrap_or(0);
    true
}

#[cfg(test)]
mod tests {
    use butterdock_receive::SubvolumeState;
    use uuid::Uuid;

    use super::*;
    use crate::backups::{FullReason, Identity};
    use crate::config::VolumeName;
    use crate::jobs::About;
    use crate::types::Trigger;

    const NOW: u64 = 1_795_378_500_000_000;

    fn job() -> Job {
        let volume = VolumeName::try_from("tank".to_owned()).expect("a name");
        Job::new(
            Uuid::new_v4(),
            About::receive(volume),
            Trigger::User(0),
            0,
            Total { bytes: 100, source: TotalSource::Client },
        )
    }

    fn read(bytes: u64) -> Report {
        Report::Progress { counts: Counts { bytes, ..Counts::default() }, waited_ms: 0 }
    }

    #[test]
    fn counters_never_go_back() {
        let (mut job, mut pace) = (job(), Pace::new(Instant::now()));
        assert!(apply(&mut job, &mut pace, &read(50), NOW));
        assert!(!apply(&mut job, &mut pace, &read(50), NOW));
        assert!(!apply(&mut job, &mut pace, &read(40), NOW));
        assert_eq!(job.bytes_received, 50);
    }

    #[test]
    fn bytes_become_durable_at_publication() {
        let (mut job, mut pace) = (job(), Pace::new(Instant::now()));
        assert!(apply(&mut job, &mut pace, &read(50), NOW));
        assert_eq!(job.bytes_durable, 0);
        let published = |end| Report::Published {
            name: Vec::new(),
            subvolume_id: 256,
            received_uuid: [0; 16],
            state: SubvolumeState::default(),
            incremental: false,
            parent_number_differs: false,
            end,
        };
        assert!(apply(&mut job, &mut pace, &published(40), NOW));
        assert!(!apply(&mut job, &mut pace, &published(30), NOW));
        assert_eq!(job.bytes_durable, 40);
    }

    #[test]
    fn a_job_with_several_streams_runs_again_after_each() {
        assert_eq!(event(&JobState::Running, &Report::Phase(Phase::Syncing)), Some(Event::Flushes));
        assert_eq!(event(&JobState::Flushing, &Report::Phase(Phase::Settling)), None);
        assert_eq!(event(&JobState::Flushing, &Report::Phase(Phase::Receiving)), Some(Event::Continues));
        assert_eq!(event(&JobState::Running, &Report::Phase(Phase::Receiving)), None);
    }

    #[test]
    fn a_stalled_job_has_no_rate_and_says_so_once() {
        let mut job = job();
        (job.rate, job.expected_end) = (5, 7);
        assert!(stall(&mut job));
        assert!(!stall(&mut job));
    }

    #[test]
    fn a_backup_reports_its_estimate_and_why_it_is_full() {
        let (mut job, mut pace) = (job(), Pace::new(Instant::now()));
        job.total = Total { bytes: 0, source: TotalSource::Unknown };
        let mut hear = |event| apply(&mut job, &mut pace, &Report::Backup(event), NOW);
        assert!(hear(BackupEvent::Parent { uuid: None, why: Some(FullReason::EmptyDrive) }));
        assert!(hear(BackupEvent::Estimated { bytes: 80 }));
        assert!(!hear(BackupEvent::Estimated { bytes: 90 }), "a total does not change");
        assert_eq!(job.total, Total { bytes: 80, source: TotalSource::Estimate });
        assert_eq!(
            (job.incremental, job.note.as_str()),
            (false, "full transfer, because nothing was received on the destination yet")
        );
        let parent = BackupEvent::Parent { uuid: Some(Identity([1; 16])), why: None };
        assert!(apply(&mut job, &mut pace, &Report::Backup(parent), NOW) && job.incremental);
    }

    #[test]
    fn attributes_that_are_missing_are_one_note_at_the_end() {
        let (mut job, mut pace) = (job(), Pace::new(Instant::now()));
        job.note = "2 files".to_owned();
        for compressions in [2, 3] {
            let report = Report::Unapplied { inodes: 0, flags: 0, compressions };
            assert!(apply(&mut job, &mut pace, &report, NOW) && job.note == "2 files");
        }
        end(&mut job, JobState::Succeeded, None, NOW);
        assert!(job.note.starts_with("2 files; 5 files are received without their btrfs.compression"), "{}", job.note);
        let mut none = self::job();
        end(&mut none, JobState::Succeeded, None, NOW);
        assert_eq!(none.note, "");
    }

    #[test]
    fn snapshots_from_the_future_are_noted_on_the_job() {
        let (mut job, mut pace) = (job(), Pace::new(Instant::now()));
        let mut hear = |event| apply(&mut job, &mut pace, &Report::Backup(event), NOW);
        assert!(hear(BackupEvent::Parent { uuid: None, why: Some(FullReason::EmptyDrive) }));
        assert!(
            hear(BackupEvent::FromFuture { drive: true, count: 3 })
                && hear(BackupEvent::FromFuture { drive: false, count: 1 })
        );
        for part in [
            "; 3 snapshots on the drive are dated in the future",
            "; 1 snapshot beside the source is dated in the future",
        ] {
            assert!(job.note.contains(part), "{}", job.note);
        }
    }
}
