//! The history on disk: a file for each job, written atomically.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::ended_counts::EndedCounts;
use super::record::Record;
use crate::durable;

/// A record has some hundred bytes, and the details of a failure.
const LARGEST: u64 = 1 << 20;

/// The jobs of earlier, and those of now. Every call blocks.
#[derive(Debug)]
pub(crate) struct History {
    folder: PathBuf,
    keep: usize,
    /// What ended, and when; the oldest first.
    ended: Vec<(u64, Uuid)>,
    /// What was there when it was opened, the newest first.
    recalled: Vec<Record>,
    /// Those of them that a killed service left unfinished, also where none is kept.
    interrupted: Vec<Record>,
    counts: EndedCounts,
    /// Locked: a second service would take the jobs that run for those of a killed one.
    _lock: File,
}

impl History {
    /// Opens the history in `state`, and creates the folder if it is missing. Ends the jobs that a killed service left
    /// unfinished, at `now` in microseconds since 1970, and removes its temporary files.
    ///
    /// # Errors
    /// The folder cannot be made or read, or another service uses it.
    pub(crate) fn open(state: &Path, keep: usize, now: u64) -> io::Result<Self> {
        let folder = state.join("jobs");
        // Details hold names: they are root's alone.
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let lock = File::open(&folder)?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::new(io::ErrorKind::ResourceBusy, "another butterdockd uses it"),
            fs::TryLockError::Error(error) => error,
        })?;
        durable::sweep(&folder)?;
        let (recalled, interrupted) = (Vec::new(), Vec::new());
        let counts = EndedCounts::open(state);
        let mut history = Self { folder, keep, ended: Vec::new(), recalled, interrupted, counts, _lock: lock };
        let there: Vec<PathBuf> =
            fs::read_dir(&history.folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        let interrupted: Vec<Record> = there.iter().filter_map(|path| history.take_in(path)).collect();
        // The oldest first: those that were interrupted end now, and writing them makes room for them.
        history.ended.sort_unstable();
        for record in interrupted {
            let record = record.interrupted(now);
            if let Err(error) = history.write(&record) {
                tracing::warn!(butterdock_job = %record.id, "cannot write down that the job was interrupted: {error}");
            }
            history.counts.add(&record);
            history.interrupted.push(record);
        }
        history.write_counts();
        history.prune();
        history.recalled = history.list();
        Ok(history)
    }

    /// Writes a job down, in place of what was written of it before. One that has not ended is written also where none is kept: the
    /// next service has to know of it.
    ///
    /// # Errors
    /// The disk is full, read-only or gone. What was written before stays.
    pub(crate) fn write(&mut self, record: &Record) -> io::Result<()> {
        let has_ended = record.state.result().is_some();
        if has_ended && self.keep == 0 {
            return match fs::remove_file(self.file(record.id)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        durable::write(&self.file(record.id), &serde_json::to_vec(record)?)?;
        if has_ended {
            self.ended.push((record.end_time, record.id));
            self.prune();
        }
        Ok(())
    }

    /// A backup has another name: so have its jobs.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        for (_, id) in &self.ended {
            if let Some(mut record) = read(&self.file(*id))
                && record.rename(from, to)
            {
                durable::write(&self.file(*id), &serde_json::to_vec(&record)?)?;
            }
        }
        Ok(())
    }

    /// The jobs that had ended when it was opened, the newest first; once.
    pub(super) fn recalled(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.recalled)
    }

    /// The jobs that a killed service left unfinished; once.
    pub(crate) fn interrupted(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.interrupted)
    }

    /// How many jobs have ended: those of the writer.
    pub(super) fn counts(&self) -> EndedCounts {
        self.counts.clone()
    }

    /// Writes down how many jobs have ended.
    pub(super) fn write_counts(&self) {
        if let Err(error) = self.counts.write() {
            tracing::warn!("cannot write down how many jobs have ended: {error}");
        }
    }

    /// How many are kept.
    pub(super) fn kept(&self) -> usize {
        self.keep
    }

    /// The jobs that ended, the newest first.
    fn list(&self) -> Vec<Record> {
        self.ended.iter().rev().filter_map(|(_, id)| read(&self.file(*id))).collect()
    }

    /// Sets the number of records to keep.
    pub(crate) fn keep(&mut self, keep: usize) {
        self.keep = keep;
        self.prune();
    }

    fn file(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// Takes in what is in the folder; answers a job that was interrupted.
    fn take_in(&mut self, path: &Path) -> Option<Record> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.strip_suffix(".json").is_some_and(is_id) {
            return None;
        }
        let Some(record) = read(path) else {
            tracing::warn!("{} is no job's record and is left alone; remove it", path.display());
            return None;
        };
        if record.state.result().is_none() {
            return Some(record);
        }
        self.ended.push((record.end_time, record.id));
        None
    }

    /// Deletes the oldest records beyond the limit.
    fn prune(&mut self) {
        let surplus = self.ended.len().saturating_sub(self.keep);
        for (_, id) in self.ended.drain(..surplus).collect::<Vec<_>>() {
            if let Err(error) = fs::remove_file(self.file(id))
                && error.kind() != io::ErrorKind::NotFound
            {
                // Like every file in the folder it is counted again at the next start.
                tracing::warn!(butterdock_job = %id, "cannot remove the job from the history: {error}");
            }
        }
    }
}

fn is_id(text: &str) -> bool {
    Uuid::try_parse(text).is_ok_and(|id| id.to_string() == text)
}

fn read(path: &Path) -> Option<Record> {
    serde_json::from_slice(&durable::read(path, LARGEST).ok()??).ok()
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use crate::types::{JobState, TotalSource, Trigger};

    use super::*;
    use crate::config::VolumeName;
    use crate::jobs::{About, Job, Total};

    const NOW: u64 = 1_795_378_500_000_000;

    fn record(ended: u64, state: JobState) -> Record {
        let volume = VolumeName::try_from("tank".to_owned()).expect("a name");
        let total = Total { bytes: 0, source: TotalSource::Unknown };
        Record::of(&Job {
            ended,
            state,
            ..Job::new(Uuid::new_v4(), About::receive(volume), Trigger::User(0), 1, total)
        })
    }

    /// Opens what was just closed here: another test that starts a program has a copy of its lock for a moment.
    fn again(state: &Path, keep: usize) -> History {
        let begun = Instant::now();
        loop {
            match History::open(state, keep, NOW) {
                Err(error)
                    if error.kind() == io::ErrorKind::ResourceBusy && begun.elapsed() < Duration::from_secs(10) =>
                {
                    sleep(Duration::from_millis(5));
                }
                opened => return opened.expect("opened"),
            }
        }
    }

    fn ends(history: &History) -> Vec<u64> {
        history.list().iter().map(|record| record.end_time).collect()
    }

    #[test]
    fn the_last_jobs_are_kept_and_the_newest_comes_first() {
        let state = tempfile::tempdir().expect("a folder");
        let mut history = History::open(state.path(), 3, NOW).expect("opened");
        for time in 1..=5 {
            history.write(&record(time, JobState::Succeeded)).expect("written");
        }
        assert_eq!(ends(&history), [5, 4, 3]);
        drop(history);
        assert_eq!(ends(&again(state.path(), 2)), [5, 4]);
        assert_eq!(fs::read_dir(state.path().join("jobs")).expect("listed").count(), 2);
    }

    #[test]
    fn an_interrupted_job_replaces_the_oldest_record() {
        for _ in 0..40 {
            let state = tempfile::tempdir().expect("a folder");
            let mut history = History::open(state.path(), 2, NOW).expect("opened");
            history.write(&record(0, JobState::Running)).expect("written");
            for time in [1, 2] {
                history.write(&record(time, JobState::Succeeded)).expect("written");
            }
            drop(history);
            let left = ends(&again(state.path(), 2));
            assert!(matches!(left[..], [interrupted, 2] if interrupted > 2), "{left:?}");
        }
    }

    #[test]
    fn a_running_job_enters_the_history_after_a_kill() {
        let state = tempfile::tempdir().expect("a folder");
        let mut history = History::open(state.path(), 9, NOW).expect("opened");
        history.write(&record(0, JobState::Running)).expect("written");
        assert!(history.list().is_empty());
        drop(history);
        let after = again(state.path(), 9).list();
        assert_eq!(after.first().map(|record| record.state), Some(JobState::Failed));
        assert!(after.first().is_some_and(|record| record.end_time > 0 && record.error_message.is_some()));
    }

    #[test]
    fn a_second_service_cannot_open_the_history() {
        let state = tempfile::tempdir().expect("a folder");
        let mut history = History::open(state.path(), 9, NOW).expect("opened");
        history.write(&record(0, JobState::Running)).expect("written");
        let refused = History::open(state.path(), 9, NOW).expect_err("in use");
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        history.write(&record(0, JobState::Running)).expect("still its own");
    }

    #[test]
    fn temporary_files_of_a_crash_are_removed() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = state.path().join("jobs");
        fs::create_dir(&folder).expect("made");
        let (half, untrusted_fd) = (format!(".{}.tmp", Uuid::new_v4()), format!("{}.json", Uuid::new_v4()));
        for name in [half.as_str(), untrusted_fd.as_str(), "notes.txt"] {
            fs::write(folder.join(name), "{").expect("written");
        }
        assert!(History::open(state.path(), 9, NOW).expect("opened").list().is_empty());
        assert!(!folder.join(half).exists());
        assert!(folder.join(untrusted_fd).exists() && folder.join("notes.txt").exists());
    }

    #[test]
    fn a_history_of_nothing_keeps_only_unfinished_jobs() {
        let state = tempfile::tempdir().expect("a folder");
        let mut history = History::open(state.path(), 0, NOW).expect("opened");
        history.write(&record(1, JobState::Failed)).expect("nothing to do");
        let is_empty = || fs::read_dir(state.path().join("jobs")).expect("listed").count() == 0;
        assert!(is_empty());
        let running = record(0, JobState::Running);
        history.write(&running).expect("written");
        history.write(&Record { state: JobState::Failed, ..running }).expect("removed");
        assert!(is_empty());
        history.write(&record(0, JobState::Running)).expect("written");
        drop(history);
        let mut history = again(state.path(), 0);
        assert_eq!((history.interrupted().len(), history.list(), is_empty()), (1, Vec::new(), true));
    }
}
