//! Keeps the record of the clocks in the state directory, and decides whether the wall clock is trusted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::sync_source::{Asked, SyncAnswer, SyncSource, with_answer};
use super::{Clock, Reading};
use super::{Elapsed, Record, Stop};
use crate::blocking::local;
use crate::catalogue;
use crate::durable::{self, Loaded};

/// A record has about 300 bytes.
const LARGEST: u64 = 4096;

/// The record of the clocks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClockTrust {
    clock: Clock,
    source: SyncSource,
    file: PathBuf,
    record: Arc<Mutex<Record>>,
}

/// The time, for a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Observed {
    /// The readings of the clocks.
    pub reading: Reading,
    /// The time since the record began.
    pub elapsed: Elapsed,
    /// Why nothing may be deleted, if so.
    pub stop: Option<Stop>,
}

impl ClockTrust {
    /// Reads the record in `state`, compares it with the clocks, and writes the result. An unreadable record is moved aside, and
    /// nothing is deleted until the clock is trusted again. It blocks as long as the disk of the state directory does.
    ///
    /// # Errors
    /// The state directory cannot be read or written.
    pub(crate) fn open(state: &Path, clock: Clock) -> io::Result<Self> {
        let file = state.join("clock.json");
        let now = clock.read();
        let record = match durable::load(&file, LARGEST, parse)? {
            Loaded::Read(record) => record.after(&now),
            Loaded::Missing => Record::first(&now, Uuid::new_v4()),
            Loaded::Unreadable { error, aside } => {
                tracing::error!("cannot read the record of the clocks ({error}); the file is now {}", aside.display());
                Record::after_unreadable(&now, Uuid::new_v4())
            }
            // The service was killed after it moved the record aside, and before it wrote the next one.
            Loaded::SetAside => Record::after_unreadable(&now, Uuid::new_v4()),
        };
        let trust = Self { clock, source: SyncSource::default(), file, record: Arc::new(Mutex::new(record)) };
        trust.write(&record)?;
        log(None, record.stop());
        Ok(trust)
    }

    /// Wall time, in microseconds since 1970.
    pub(crate) fn micros(&self) -> u64 {
        self.clock.micros()
    }

    /// Sets the program that says whether the clock is synchronised if the kernel refuses to say. Without one, such a clock counts
    /// as not synchronised. `name` is for the log.
    pub fn ask_also(&self, name: &'static str, ask: impl Fn() -> Asked + Send + Sync + 'static) {
        self.source.set(name, ask);
    }

    /// Asks that program, if the kernel refuses to say. It takes up to 2 seconds, and blocks no thread. The answer is for the next
    /// reading of the clocks.
    pub(crate) async fn ask(&self) -> Option<SyncAnswer> {
        self.source.ask(&self.clock).await
    }

    /// Reads the clocks and writes the record. It blocks as long as the disk of the state directory does. If the record cannot be
    /// written, the result is still valid, and the journal has the error.
    pub(crate) fn observe(&self, answer: Option<SyncAnswer>) -> Observed {
        self.change(answer, Record::after).unwrap_or_else(|(observed, error)| {
            tracing::warn!("cannot write the record of the clocks: {error}; check the disk of the state directory");
            observed
        })
    }

    /// Trusts the clock, because root confirms that it is right.
    ///
    /// # Errors
    /// The record cannot be written. The clock is trusted until the service restarts.
    pub async fn trust(&self) -> io::Result<()> {
        let trust = self.clone();
        local(move || trust.trust_now()).await.unwrap_or_else(|lost| Err(io::Error::other(lost)))
    }

    fn trust_now(&self) -> io::Result<()> {
        self.change(None, Record::trusted).map(drop).map_err(|(_, error)| error)
    }

    /// Why nothing may be deleted now, if so. Writes nothing. It takes up to 2 seconds if the kernel refuses to say whether the
    /// clock is synchronised, and blocks no thread.
    pub(crate) async fn stop(&self) -> Option<Stop> {
        let stop = self.stop_with(None)?;
        match self.ask().await {
            None => Some(stop),
            answer => self.stop_with(answer),
        }
    }

    /// Whether the clock is perhaps wrong: it is not synchronised, and is behind records or not trusted. Writes nothing. It takes as long
    /// as [`Self::stop`].
    pub(crate) async fn is_doubtful(&self, is_behind: bool) -> bool {
        if !is_behind && self.stop_with(None).is_none() || self.clock.is_synchronised() {
            return false;
        }
        with_answer(self.clock.read(), self.ask().await).synchronised != Some(true)
    }

    /// Asks that program, if the kernel refuses to say, and writes the record.
    pub async fn look_now(&self) {
        if let Some(answer) = self.ask().await {
            self.look(Some(answer)).await;
        }
    }

    /// Writes the record at each tick, until the ticks end.
    pub(crate) async fn follow(self, mut tick: impl AsyncFnMut() -> Option<()>) {
        while tick().await.is_some() {
            if self.look(self.ask().await).await.is_none() {
                return;
            }
        }
    }

    /// Writes the record on a thread that may block. None if that thread was lost.
    async fn look(&self, answer: Option<SyncAnswer>) -> Option<Observed> {
        let trust = self.clone();
        local(move || trust.observe(answer)).await.ok()
    }

    fn stop_with(&self, answer: Option<SyncAnswer>) -> Option<Stop> {
        self.lock().after(&with_answer(self.clock.read(), answer)).stop()
    }

    /// Locked while it writes, so that the newest record is on disk.
    fn change(
        &self,
        answer: Option<SyncAnswer>,
        next: impl Fn(&Record, &Reading) -> Record,
    ) -> Result<Observed, (Observed, io::Error)> {
        let mut record = self.lock();
        let reading = with_answer(self.clock.read(), answer);
        let before = *record;
        *record = next(&before, &reading);
        let (now, written) = (*record, self.write(&record));
        drop(record);
        log(before.stop(), now.stop());
        let observed = Observed { reading, elapsed: now.elapsed(), stop: now.stop() };
        match written {
            Ok(()) => Ok(observed),
            Err(error) => Err((observed, error)),
        }
    }

    fn write(&self, record: &Record) -> io::Result<()> {
        durable::write(&self.file, &serde_json::to_vec(record)?)
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(bytes: &[u8]) -> io::Result<Record> {
    let record: Record = serde_json::from_slice(bytes)?;
    if record.is_known() { Ok(record) } else { Err(io::Error::other("another version of butterdock wrote it")) }
}

/// Logs once that pruning stops, and once that it resumes.
fn log(before: Option<Stop>, now: Option<Stop>) {
    match (before, now) {
        (None, Some(stop)) => tracing::warn!(MESSAGE_ID = catalogue::PRUNING_STOPPED, "{stop}"),
        (Some(_), None) => {
            tracing::info!(MESSAGE_ID = catalogue::PRUNING_RESUMED, "the clock is trusted again: pruning resumes");
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::*;
    use crate::clock::StopReason;

    const START: i64 = 1_795_378_500;

    /// Clocks that the test sets.
    #[derive(Default)]
    struct Played {
        wall: AtomicI64,
        boot: AtomicU64,
    }

    impl Played {
        fn new() -> (Arc<Self>, Clock) {
            let played = Arc::new(Self { wall: START.into(), boot: 100.into() });
            let read = Arc::clone(&played);
            let clock = Clock::of(move || Reading {
                wall: read.wall.load(Ordering::Relaxed),
                boot: read.boot.load(Ordering::Relaxed),
                boot_id: Uuid::from_u128(1),
                synchronised: None,
            });
            (played, clock)
        }

        fn passes(&self, seconds: u64) {
            self.boot.fetch_add(seconds, Ordering::Relaxed);
            self.wall.fetch_add(seconds.cast_signed(), Ordering::Relaxed);
        }
    }

    #[test]
    fn a_clock_jump_survives_a_kill_until_trust_clock() {
        let state = tempfile::tempdir().expect("a folder");
        let (played, clock) = Played::new();
        assert_eq!(ClockTrust::open(state.path(), clock.clone()).expect("opened").stop_with(None), None);
        played.wall.fetch_add(40 * 24 * 3600, Ordering::Relaxed);
        // The first one ended without a word, as if it was killed.
        let second = ClockTrust::open(state.path(), clock.clone()).expect("opened");
        let stop = second.observe(None).stop.expect("stopped");
        assert_eq!(stop.reason, StopReason::Ahead { seconds: 40 * 24 * 3600 });
        let third = ClockTrust::open(state.path(), clock.clone()).expect("opened");
        assert!(third.stop_with(None).is_some(), "remembered");
        third.trust_now().expect("written");
        assert_eq!(ClockTrust::open(state.path(), clock).expect("opened").stop_with(None), None);
    }

    #[test]
    fn an_unreadable_record_is_quarantined_and_stops_pruning() {
        for content in ["", "{", "{\"version\":2}", "\0\0\0\0"] {
            let state = tempfile::tempdir().expect("a folder");
            fs::write(state.path().join("clock.json"), content).expect("written");
            let (played, clock) = Played::new();
            let trust = ClockTrust::open(state.path(), clock.clone()).expect("opened");
            assert_eq!(trust.stop_with(None).map(|stop| stop.reason), Some(StopReason::Unreadable), "{content:?}");
            assert_eq!(fs::read(state.path().join("clock.json.unreadable")).expect("kept"), content.as_bytes());
            let again = ClockTrust::open(state.path(), clock).expect("opened");
            assert!(again.stop_with(None).is_some(), "the protection ends with no restart");
            played.passes(24 * 3600);
            assert_eq!(again.observe(None).stop, None);
        }
    }

    #[test]
    fn a_kill_after_quarantine_does_not_resume_pruning() {
        let state = tempfile::tempdir().expect("a folder");
        let (_played, clock) = Played::new();
        fs::write(state.path().join("clock.json.unreadable"), "{").expect("set aside, and none written");
        let trust = ClockTrust::open(state.path(), clock).expect("opened");
        assert_eq!(trust.stop_with(None).map(|stop| stop.reason), Some(StopReason::Unreadable));
    }

    #[test]
    fn an_unwritable_record_does_not_hide_a_jump() {
        let state = tempfile::tempdir().expect("a folder");
        let (played, clock) = Played::new();
        let folder = state.path().join("gone");
        let trust = ClockTrust::open(&folder, clock).expect("opened");
        fs::remove_dir_all(&folder).expect("removed");
        fs::write(&folder, "a file in its place").expect("written");
        played.wall.fetch_add(40 * 24 * 3600, Ordering::Relaxed);
        assert!(trust.observe(None).stop.is_some());
        assert!(trust.trust_now().is_err());
    }

    /// The answer of systemd, which the test sets: 0 no, 1 yes, 2 nothing.
    fn answering(trust: &ClockTrust) -> Arc<AtomicU64> {
        let word = Arc::new(AtomicU64::new(0));
        let said = Arc::clone(&word);
        trust.ask_also("a program", move || {
            let said = said.load(Ordering::Relaxed);
            Box::pin(async move { (said < 2).then_some(said == 1) })
        });
        word
    }

    #[tokio::test]
    async fn another_programs_answer_lets_pruning_resume() {
        let state = tempfile::tempdir().expect("a folder");
        let (played, clock) = Played::new();
        drop(ClockTrust::open(state.path(), clock.clone()).expect("opened"));
        played.wall.fetch_add(40 * 24 * 3600, Ordering::Relaxed);
        let trust = ClockTrust::open(state.path(), clock.clone()).expect("opened");
        assert!(trust.stop().await.is_some(), "the kernel refuses, and there is nothing else to ask");
        let word = answering(&trust);
        for said in [0, 2] {
            word.store(said, Ordering::Relaxed);
            assert!(trust.stop().await.is_some() && trust.observe(trust.ask().await).stop.is_some(), "{said}");
        }
        word.store(1, Ordering::Relaxed);
        assert_eq!(trust.stop().await, None, "it is reported before the next backup");
        assert!(trust.stop_with(None).is_some(), "that alone writes nothing");
        assert_eq!(trust.observe(trust.ask().await).stop, None);
        assert_eq!(ClockTrust::open(state.path(), clock).expect("opened").stop_with(None), None);
    }

    #[tokio::test]
    async fn an_answer_is_not_used_for_a_later_jump() {
        let state = tempfile::tempdir().expect("a folder");
        let (played, clock) = Played::new();
        let trust = ClockTrust::open(state.path(), clock).expect("opened");
        let word = answering(&trust);
        word.store(1, Ordering::Relaxed);
        let answer = trust.ask().await;
        assert_eq!(trust.observe(answer).stop, None);
        // Setting the clock makes it unsynchronised.
        word.store(0, Ordering::Relaxed);
        played.wall.fetch_add(40 * 24 * 3600, Ordering::Relaxed);
        assert!(trust.observe(answer).stop.is_some(), "the old answer");
        assert!(trust.observe(trust.ask().await).stop.is_some(), "a new one");
        assert!(trust.observe(None).stop.is_some(), "none");
    }

    #[tokio::test]
    async fn look_now_asks_systemd_and_trusts_the_clock_again() {
        let state = tempfile::tempdir().expect("a folder");
        let (played, clock) = Played::new();
        drop(ClockTrust::open(state.path(), clock.clone()).expect("opened"));
        played.wall.fetch_add(40 * 24 * 3600, Ordering::Relaxed);
        let trust = ClockTrust::open(state.path(), clock).expect("opened");
        trust.look_now().await;
        assert!(trust.stop_with(None).is_some(), "nothing can be asked yet");
        answering(&trust).store(1, Ordering::Relaxed);
        trust.look_now().await;
        assert_eq!(trust.stop_with(None), None);
    }

    #[tokio::test]
    async fn the_record_is_written_at_each_tick() {
        let state = tempfile::tempdir().expect("a folder");
        let (played, clock) = Played::new();
        let trust = ClockTrust::open(state.path(), clock).expect("opened");
        let mut ticks = 0;
        let file = state.path().join("clock.json");
        let count = || parse(&fs::read(&file).expect("read")).expect("a record").elapsed().seconds;
        let tick = async || {
            assert_eq!(count(), ticks * 3600);
            ticks += 1;
            played.passes(3600);
            (ticks < 5).then_some(())
        };
        trust.follow(tick).await;
        assert_eq!(count(), 4 * 3600);
    }
}
