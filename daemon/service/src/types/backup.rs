//! The state of the configured backups: of each as a whole, and on each of its drives.

use serde::{Deserialize, Serialize};

use super::destination::{DestinationId, DestinationKind};
use super::problem::Problem;

/// What is known of a configured backup. It holds no file name and no path. Times are microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupProperties {
    /// Its configured name.
    pub name: String,
    /// Whether it may run.
    pub enabled: bool,
    /// Its destinations, attached or away, in the order of their enrolment.
    pub destinations: Vec<BackupDestination>,
    /// When it begins by itself, in the words of the configuration.
    pub schedule: Vec<String>,
    /// Whether it would run on one of them now, or when that is plugged in.
    pub due: bool,
    /// When its schedule begins it next; 0 if no time is scheduled.
    pub next_run: u64,
    /// Whether its last success is too long ago.
    pub overdue: bool,
    /// What is wrong with it, and with its destinations as far as that concerns it.
    pub problems: Vec<PlacedProblem>,
    /// How many subvolumes below the source the last run left out.
    pub left_out: u64,
    /// How many snapshots it has beside its source, when that was found out last.
    pub source_snapshots: Option<u64>,
    /// What deleting all of them would free, in bytes of data.
    pub source_freeable: Option<u64>,
}

/// A destination of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupDestination {
    /// Its id.
    pub id: DestinationId,
    /// What it is.
    pub kind: DestinationKind,
    /// When the backup last succeeded there; 0 never.
    pub last_good: u64,
}

/// A problem of a backup, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedProblem {
    /// The id of the destination, and its label; none if it is wrong everywhere.
    pub destination: Option<(DestinationId, String)>,
    /// What is wrong.
    pub problem: Problem,
}

impl BackupProperties {
    /// Takes in the rows of this backup, one for each destination.
    pub(crate) fn take_in(&mut self, rows: Vec<BackupStatus>) {
        // The last run left out what that of the newest success did, or what one did that has not succeeded yet.
        let last = rows.iter().filter(|row| row.left_out.is_some()).max_by_key(|row| row.last_good);
        self.left_out = last.and_then(|row| row.left_out).unwrap_or_default();
        for row in rows {
            self.due |= row.due;
            self.overdue |= row.overdue;
            let times = [self.next_run, row.next_run.unwrap_or_default()];
            self.next_run = times.into_iter().filter(|time| *time != 0).min().unwrap_or_default();
            self.source_snapshots = self.source_snapshots.or(row.source_snapshots);
            self.source_freeable = self.source_freeable.or(row.source_freeable);
            for problem in row.problems {
                let place = || Some((DestinationId(row.drive.clone()?), row.drive_label.clone().unwrap_or_default()));
                let destination = if problem.is_everywhere() { None } else { place() };
                let placed = PlacedProblem { destination, problem };
                if !self.problems.contains(&placed) {
                    self.problems.push(placed);
                }
            }
            let Some(id) = row.drive.map(DestinationId) else { continue };
            let last_good = row.last_good.unwrap_or_default();
            self.destinations.push(BackupDestination { id, kind: row.kind, last_good });
        }
    }
}

/// The state of a configured backup on one enrolled drive; without a drive if it goes to none. It holds no file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupStatus {
    /// The configured name of the backup.
    pub name: String,
    /// Whether the configuration says `enabled = false`: then it never runs, and has no drive here.
    pub disabled: bool,
    /// When it starts, as the configuration has it.
    pub schedule: Vec<String>,
    /// Whether it would run if the drive were plugged in now, or runs as soon as the drive is attached.
    pub due: bool,
    /// When it begins on this drive by its times, in microseconds since 1970; not after now where that waits for the drive.
    pub next_run: Option<u64>,
    /// Whether there was no good run for too long: on this drive, or on any.
    pub overdue: bool,
    /// What the destination is.
    pub kind: DestinationKind,
    /// The drive's id.
    pub drive: Option<String>,
    /// The drive's label.
    pub drive_label: Option<String>,
    /// What the configuration and commands call the drive.
    pub drive_names: Option<Vec<String>>,
    /// Whether the drive is attached.
    pub attached: Option<bool>,
    /// When it last succeeded on this drive, in microseconds since 1970; 0 never.
    pub last_good: Option<u64>,
    /// Why it cannot run, or did not; empty where nothing is wrong.
    pub problems: Vec<Problem>,
    /// How many bytes would be sent at most, where an estimate was asked for and could be made.
    pub estimate: Option<u64>,
    /// Whether only what changed would be sent. Only with `estimate`.
    pub incremental: Option<bool>,
    /// Why a full transfer would be needed, for a person.
    pub note: Option<String>,
    /// What a person has to know although it can run.
    pub warnings: Vec<Warning>,
    /// How long its last good run on this drive took, in microseconds, if that is recorded.
    pub last_duration: Option<u64>,
    /// How many bytes of streams that run sent, if that is recorded.
    pub last_sent: Option<u64>,
    /// How many subvolumes below the source the last run left out, if one has begun.
    pub left_out: Option<u64>,
    /// How many snapshots the backup has beside its source, when that was found out last.
    pub source_snapshots: Option<u64>,
    /// What deleting all of them would free, in bytes of data.
    pub source_freeable: Option<u64>,
}

impl Warning {
    /// Subvolumes below the source are not part of the backup.
    pub(crate) const LEFT_OUT: &str = "nested-left-out";

    pub(crate) fn left_out(sentence: Option<String>) -> Option<Self> {
        sentence.map(|english| Self { code: Self::LEFT_OUT, english })
    }
}

/// Something about a backup that a person has to know although it can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is, for a program.
    pub code: &'static str,
    /// The same in a sentence.
    pub english: String,
}

/// A run of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastRun {
    /// How long it ran, in microseconds, without the time in the queue.
    pub micros: u64,
    /// The bytes of its streams.
    pub sent: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{DriveProblem, DriveProblemCode};

    fn row(drive: &str, last_good: u64, problems: Vec<Problem>) -> BackupStatus {
        let (id, label) = (drive.to_lowercase(), drive.to_owned());
        let (drive, drive_label, last_good) = (Some(id), Some(label), Some(last_good));
        BackupStatus { drive, drive_label, last_good, problems, ..BackupStatus::default() }
    }

    #[test]
    fn problems_of_one_destination_name_it_and_others_are_shown_once() {
        let full = Problem::Drive(DriveProblem::plain(DriveProblemCode::Full, "the drive is full"));
        let short = Problem::SourceLowSpace { sentence: "the source has 1 MiB free".to_owned() };
        let rows = vec![row("Blue", 5, vec![full.clone(), short.clone()]), row("Red", 0, vec![short.clone()])];
        let mut home = BackupProperties::default();
        home.take_in(rows);
        let places: Vec<_> = home.destinations.iter().map(|place| (place.id.as_str(), place.last_good)).collect();
        assert_eq!(places, [("blue", 5), ("red", 0)]);
        let blue = Some((DestinationId("blue".to_owned()), "Blue".to_owned()));
        let placed = |destination, problem| PlacedProblem { destination, problem };
        assert_eq!(home.problems, [placed(blue, full), placed(None, short)]);
    }

    #[test]
    fn the_last_run_says_what_is_left_out() {
        let left = |drive, last, left_out| BackupStatus { left_out, ..row(drive, last, Vec::new()) };
        let mut home = BackupProperties::default();
        home.take_in(vec![left("Blue", 7, Some(1)), left("Red", 9, Some(3)), left("Green", 11, None)]);
        assert_eq!(home.left_out, 3);
    }
}
