//! The records in the state directory that the service opens at its start, and what it takes from them.

use std::collections::HashSet;

use anyhow::{Context as _, Result};

use crate::blocking::local;
use crate::clock::{Clock, ClockTrust};
use crate::config::Config;
use crate::deletion_orders::DeletionOrders;
use crate::drives::{DriveId, DriveManager, LastAttempt};
use crate::jobs::{History, Jobs, Record};
use crate::renames::{Rename, Renames};
use crate::types::{Attempt, AttemptEnd, JobState};

/// How the last jobs of backups ended that failed, that were interrupted because the service was killed, or that a person cancelled.
/// A service that was killed has not recorded that with their drives.
pub(super) fn last_attempts(interrupted: &[Record], history: Vec<Record>) -> Vec<(DriveId, String, LastAttempt)> {
    let is_interrupted = |record: &Record| interrupted.iter().any(|other| other.id == record.id);
    let mut seen = HashSet::new();
    // The newest is the first. The history may keep less than was interrupted.
    let last = interrupted.iter().cloned().chain(history).filter_map(|record| {
        let key = (record.drive.clone()?, record.backup.clone()?);
        seen.insert(key.clone()).then_some((key, record))
    });
    let attempt = |record: Record| match record.state {
        JobState::Failed => Some(LastAttempt::NotDone(Attempt {
            end: if is_interrupted(&record) { AttemptEnd::Interrupted } else { AttemptEnd::Failed },
            error: record.error_code(),
            time: record.end_time,
            reason: record.error_message.unwrap_or_default(),
        })),
        JobState::Cancelled => record.awaits_next_time.then_some(LastAttempt::Cancelled { time: record.end_time }),
        JobState::Queued | JobState::Running | JobState::Flushing | JobState::Succeeded => None,
    };
    last.filter_map(|((drive, backup), record)| Some((DriveId(drive), backup, attempt(record)?))).collect()
}

pub(super) async fn open_history(config: &Config, clock: &Clock) -> Result<History> {
    let (state, keep) = (config.state.clone(), config.history);
    let shown = state.display().to_string();
    let now = clock.micros();
    let opened = local(move || History::open(&state, keep, now)).await?;
    opened.with_context(|| {
        format!("cannot open the history in {shown}, which must be writable and of this service alone")
    })
}

pub(super) async fn open_deletions(config: &Config) -> Result<DeletionOrders> {
    let state = config.state.clone();
    let shown = state.display().to_string();
    let opened = local(move || DeletionOrders::open(&state)).await?;
    opened.with_context(|| format!("cannot read the recorded deletions in {shown}, which must be writable"))
}

pub(super) async fn open_renames(config: &Config) -> Result<Renames> {
    let state = config.state.clone();
    let shown = state.display().to_string();
    let opened = local(move || Renames::open(&state)).await?;
    opened.with_context(|| format!("cannot read the recorded renames in {shown}, which must be writable"))
}

/// Applies the renames that the configuration has made. Each can be done again; one that fails is tried again at the next start.
pub(super) async fn settle_renames(
    renames: &Renames,
    config: &Config,
    (jobs, manager, deletions): (&Jobs, &DriveManager, &DeletionOrders),
) {
    for Rename { from, to } in renames.made(config) {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!("the records of the backup \"{from}\" could not all be renamed to \"{to}\": {error}");
        };
        if let Err(error) = jobs.rename_backup(&from, &to).await {
            failed(&error);
        }
        if let Err(error) = manager.rename_backup(&from, &to).await {
            failed(&error);
        }
        let (orders, before, now) = (deletions.clone(), from.clone(), to.clone());
        match local(move || orders.rename(&before, &now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failed(&error),
            Err(lost) => failed(&lost),
        }
    }
    renames.forget_taken(config).await;
}

pub(super) async fn open_clock(config: &Config, clock: Clock) -> Result<ClockTrust> {
    let state = config.state.clone();
    let shown = state.display().to_string();
    let opened = local(move || ClockTrust::open(&state, clock)).await?;
    opened.with_context(|| format!("cannot keep the record of the clocks in {shown}, which must be writable"))
}
