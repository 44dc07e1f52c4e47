//! What `org.butterdock.Butterdock1.Manager` takes and returns: the options of `Receive` and `ListBackups`, the rows of
//! `ListBackups` and `ListHistory`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use zbus::{DeserializeDict, SerializeDict, Type, Variant};

use crate::error::Error;
use crate::options::{Options, bare_name, boolean, number, text, unknown};
use crate::problem::Problem;

/// The options of `Manager.Receive` and `Volume.Receive`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiveOptions {
    /// `name`, `ay` or `s`: the subvolume's name (default: the name in the stream). Needs the action `receive-anywhere`,
    /// which guards only this option: a stream may bring any name. Bytes, because a name on btrfs need not be UTF-8.
    pub name: Option<Vec<u8>>,
    /// `verify`, `b`: decompress every extent and refuse one that does not decompress. Always on for callers other than
    /// root.
    pub verify: bool,
    /// `force_decompress`, `b`: decompress compressed extents before writing them.
    pub force_decompress: bool,
    /// `strict_parent`, `b`: refuse a parent whose generation number differs from the one in the stream, even if its uuid is
    /// the same and it has not changed.
    pub strict_parent: bool,
    /// `total`, `t`: the size of the stream in bytes, for the progress only. Not needed for a regular file.
    pub total: Option<u64>,
}

impl ReceiveOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["name", "verify", "force_decompress", "strict_parent", "total"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key, a wrong type, or a name that is empty, too long, `.`, `..`, or
    /// contains `/` or NUL.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "name" => read.name = Some(bare_name(key, value)?),
                "verify" => read.verify = boolean(key, value)?,
                "force_decompress" => read.force_decompress = boolean(key, value)?,
                "strict_parent" => read.strict_parent = boolean(key, value)?,
                "total" => read.total = Some(number(key, value)?),
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = HashMap::new();
        if let Some(name) = &self.name {
            options.insert("name", Variant::from(name.as_slice()));
        }
        if self.verify {
            options.insert("verify", Variant::from(true));
        }
        if self.force_decompress {
            options.insert("force_decompress", Variant::from(true));
        }
        if self.strict_parent {
            options.insert("strict_parent", Variant::from(true));
        }
        if let Some(total) = self.total {
            options.insert("total", Variant::from(total));
        }
        options
    }
}

/// The options of `Manager.ListBackups`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListBackupsOptions {
    /// `estimate`, `b`: also estimate how much would be sent. Needs the action `estimate`; may take minutes.
    pub estimate: bool,
}

impl ListBackupsOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["estimate"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "estimate" => read.estimate = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        self.estimate.then_some(("estimate", Variant::from(true))).into_iter().collect()
    }
}

/// The options of `Manager.ListHistory`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListHistoryOptions {
    /// `before`, `t`: only jobs that ended before this time, in microseconds since 1970.
    pub before: Option<u64>,
    /// `limit`, `t`: up to this many entries (default: [`HISTORY_PAGE`]).
    pub limit: Option<u64>,
    /// `destination`, `s`: only jobs on the destination or drive with this id.
    pub destination: Option<String>,
    /// `backup`, `s`: only jobs of the backup with this name.
    pub backup: Option<String>,
}

/// The number of entries of `ListHistory` without the option `limit`.
pub const HISTORY_PAGE: u64 = 200;
/// The highest `limit` of `ListHistory`.
pub const HISTORY_MAX: u64 = 1000;

impl ListHistoryOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["before", "limit", "destination", "backup"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key, a wrong type, or a limit that is 0 or too high.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "before" => read.before = Some(number(key, value)?),
                "limit" => read.limit = Some(limit(number(key, value)?)?),
                "destination" => read.destination = Some(text(key, value)?),
                "backup" => read.backup = Some(text(key, value)?),
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let numbers = [("before", self.before), ("limit", self.limit)];
        let texts = [("destination", &self.destination), ("backup", &self.backup)];
        let numbers = numbers.into_iter().filter_map(|(key, number)| Some((key, Variant::from(number?))));
        let texts = texts.into_iter().filter_map(|(key, text)| Some((key, Variant::from(text.as_deref()?))));
        numbers.chain(texts).collect()
    }
}

fn limit(limit: u64) -> Result<u64, Error> {
    if (1..=HISTORY_MAX).contains(&limit) {
        return Ok(limit);
    }
    Err(Error::InvalidArgs(format!("the option limit is 1 to {HISTORY_MAX}, and {limit} is not; ask for more pages")))
}

/// A row of `ListBackups`: one configured backup and one of its drives. It contains no file names.
///
/// A backup without an enrolled drive has one row without a drive. Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct BackupRow {
    /// The configured name of the backup.
    pub name: String,
    /// False if the configuration says `enabled = false`: then it never runs, and has one row without a drive. Missing if it may run.
    pub enabled: Option<bool>,
    /// When it begins by itself, in the words of the configuration.
    pub schedule: Vec<String>,
    /// Whether it would run if the drive were plugged in now; by its times, it also runs as soon as the drive is attached.
    pub due: bool,
    /// When its times begin it on this drive next, in microseconds since 1970; missing without times. If that is past, the backup
    /// waits for the drive.
    pub next_run: Option<u64>,
    /// Whether its last success is too long ago: the option `overdue` of the configuration.
    pub overdue: bool,
    /// The drive's id; an attached drive has an object at its [`drive_path`](crate::path::drive_path).
    pub drive: Option<String>,
    /// The drive's label.
    pub drive_label: Option<String>,
    /// What the configuration and commands may call the drive: its id, its label, and its label at the enrolment.
    pub drive_names: Option<Vec<String>>,
    /// Whether the drive is attached.
    pub attached: Option<bool>,
    /// The time of its last success on this drive, in microseconds since 1970; 0 if never.
    pub last_good: Option<u64>,
    /// How long its last success on this drive ran, in microseconds; missing if that is not recorded.
    pub last_duration: Option<u64>,
    /// How many bytes of streams it sent; missing if that is not recorded.
    pub last_sent: Option<u64>,
    /// Why it cannot run, or did not, as an English sentence; missing if nothing is wrong.
    pub problem: Option<String>,
    /// The same, each for programs; missing if nothing is wrong.
    pub problems: Option<Vec<Problem>>,
    /// Bytes that would be sent, an upper bound. Only with the option `estimate`, and if an estimate is possible.
    pub estimate: Option<u64>,
    /// Whether the next transfer would be an increment. Only with `estimate`.
    pub incremental: Option<bool>,
    /// The reason for a full transfer, as an English sentence.
    pub note: Option<String>,
    /// What a user should know although the backup can run.
    pub warnings: Option<Vec<Warning>>,
    /// How many snapshots the backup has beside its source, when that was found out last.
    pub source_snapshots: Option<u64>,
    /// Bytes of data that deleting all of them would free.
    pub source_freeable: Option<u64>,
}

/// A warning about a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Warning {
    /// For programs: `clock-ahead` or `clock-record-unreadable` (old snapshots are not deleted), `enrolment-unreadable` (those
    /// beside the sources are not), `nested-left-out` (subvolumes below the source), or `snapshots-from-future`. Readers ignore unknown codes.
    pub code: String,
    /// An English sentence.
    pub english: String,
}

/// A row of `ListHistory`: one finished job. It contains no file or subvolume names.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct HistoryEntry {
    /// Its UUID, with dashes. Never used again.
    pub id: String,
    /// A word of [`JobKind`](crate::JobKind).
    pub kind: String,
    /// The configured name of its volume; empty for a job without one.
    pub volume: String,
    /// The id of its drive, if it had one.
    pub drive: Option<String>,
    /// That drive's label at the time.
    pub drive_label: Option<String>,
    /// The id of the destination of backups that it wrote to or read from, if it had one.
    pub destination: Option<String>,
    /// The name of the configured backup, for a job of the kind `backup`.
    pub backup: Option<String>,
    /// A remark in English, for example the reason for a full transfer.
    pub note: Option<String>,
    /// A word of [`Trigger`](crate::Trigger); missing for jobs of earlier versions.
    pub trigger: Option<String>,
    /// The user who started it; root unless the trigger is `user`.
    pub started_by_uid: u32,
    /// The time of the request, in microseconds since 1970.
    pub start_time: u64,
    /// The time of its end, in microseconds since 1970.
    pub end_time: u64,
    /// A word of [`JobResult`](crate::JobResult).
    pub result: String,
    /// Bytes read of the stream.
    pub bytes_received: u64,
    /// Bytes of the stream whose subvolumes are durable.
    pub bytes_durable: u64,
    /// Compressed extents that were written without decompressing them.
    pub encoded_writes: u64,
    /// Compressed extents that were decompressed because the kernel refused the encoded write, and clones that were copied.
    pub fallback_writes: u64,
    /// An [`ErrorName`](crate::ErrorName) with its prefix, if it did not succeed.
    pub error_name: Option<String>,
    /// An English sentence without file names, if it did not succeed.
    pub error_message: Option<String>,
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;
    use crate::options::tests::{complaint, owned};

    #[test]
    fn receive_options_round_trip() {
        let all = ReceiveOptions {
            name: Some(b"a\xff".to_vec()),
            verify: true,
            force_decompress: true,
            strict_parent: true,
            total: Some(u64::MAX),
        };
        for sent in [all, ReceiveOptions::default()] {
            assert_eq!(ReceiveOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
    }

    #[test]
    fn list_backups_options_round_trip() {
        for sent in [ListBackupsOptions::default(), ListBackupsOptions { estimate: true }] {
            assert_eq!(ListBackupsOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
    }

    #[test]
    fn list_history_options_round_trip_and_the_limit_is_bounded() {
        let text = |text: &str| Some(text.to_owned());
        let all =
            ListHistoryOptions { before: Some(7), limit: Some(1), destination: text("3f2a"), backup: text("home") };
        for sent in [ListHistoryOptions::default(), all] {
            assert_eq!(ListHistoryOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
        for limit in [0, HISTORY_MAX + 1, u64::MAX] {
            let read = ListHistoryOptions::from_options(&owned([("limit", limit.into())]));
            assert!(complaint(read).contains("1 to 1000"));
        }
    }

    #[test]
    fn errors_name_unknown_keys_and_wrong_types() {
        let receive = |key, value| complaint(ReceiveOptions::from_options(&owned([(key, value)])));
        assert!(receive("verfiy", true.into()).contains("\"verfiy\""));
        assert!(receive("total", 5_u32.into()).contains("type t, not u"));
        assert!(receive("verify", "yes".into()).contains("type b, not s"));
        assert!(receive("name", vec![1_u32].into()).contains("type ay, not au"));
        assert!(receive("name", "../x".into()).contains("bare file name"));
        let list = ListBackupsOptions::from_options(&owned([("dry_run", true.into())]));
        assert!(complaint(list).contains("\"dry_run\""));
    }

    #[test]
    fn rows_omit_unknown_values() {
        let context = Context::new(LE, 0);
        let row = BackupRow { name: "home".to_owned(), last_good: Some(0), ..BackupRow::default() };
        let bytes = to_bytes(context, &row).expect("written");
        let map = bytes.deserialize::<Options>().expect("a dictionary").0;
        let mut keys: Vec<_> = map.keys().map(|key| key.to_string()).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["due", "last_good", "name", "overdue", "schedule"]);
        assert_eq!(bytes.deserialize::<BackupRow>().expect("a row").0, row);
        let warning = Warning { code: "clock-ahead".to_owned(), english: "the clock is ahead".to_owned() };
        let row = BackupRow { warnings: Some(vec![warning]), ..row };
        let bytes = to_bytes(context, &row).expect("written");
        assert_eq!(bytes.deserialize::<BackupRow>().expect("a row").0, row);
        let entry = HistoryEntry { id: "x".to_owned(), error_name: Some("y".to_owned()), ..HistoryEntry::default() };
        let bytes = to_bytes(context, &entry).expect("written");
        assert_eq!(bytes.deserialize::<HistoryEntry>().expect("an entry").0, entry);
    }
}
