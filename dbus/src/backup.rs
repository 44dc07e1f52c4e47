//! What is told of backups: which are due, what is on a drive, what could be imported from it.

use serde::{Deserialize, Serialize};
use zbus::{DeserializeDict, SerializeDict, Type};

use crate::word::word;

/// What `ListBackups` says of one configured backup and one drive that it goes to. It holds no name of a file.
///
/// A backup that goes to no enrolled drive has one row, without a drive. A reader skips keys that it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct BackupRow {
    /// The configured name of the backup.
    pub name: String,
    /// Whether it would run if the drive were plugged in now.
    pub due: bool,
    /// The drive's id; the drive's object, where it has one, is at [`drive_path`](crate::path::drive_path) of it.
    pub drive: Option<String>,
    /// What the drive is called.
    pub drive_label: Option<String>,
    /// Whether the drive is attached.
    pub attached: Option<bool>,
    /// When it last succeeded on this drive, in microseconds since 1970; 0 never.
    pub last_good: Option<u64>,
    /// Why it cannot run, for a person; none where it can.
    pub problem: Option<String>,
    /// How many bytes would be sent: an upper bound. Only where an estimate was asked for and could be made.
    pub estimate: Option<u64>,
    /// Whether only what changed would be sent. Only with `estimate`.
    pub incremental: Option<bool>,
    /// Why a full transfer would be needed, for a person.
    pub note: Option<String>,
    /// What is to be known although it can run; none where there is nothing.
    pub warnings: Option<Vec<Warning>>,
}

/// Something about a backup that a person has to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Warning {
    /// What it is, for a program: `clock-ahead` or `clock-record-unreadable` (old snapshots are not deleted),
    /// `snapshots-from-future`. A reader skips those that it does not know.
    pub code: String,
    /// The same in a sentence.
    pub english: String,
}

word! {
    /// Which machine made a snapshot on a drive, as records on the drive say.
    SnapshotOrigin {
        /// This one.
        ThisMachine = "this-machine",
        /// Another one: this machine never deletes it.
        OtherMachine = "other-machine",
    }
    other
    /// What a later service may say.
    Other
}

/// What `ListSnapshots` says of one snapshot on a drive.
///
/// A reader skips keys that it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct SnapshotRow {
    /// Its name: bytes, as on disk. Two snapshots in different directories may have the same.
    pub name: Vec<u8>,
    /// Its UUID on the drive, by which `Restore` knows it.
    pub uuid: String,
    /// The configured backup that it is of, on the machine that made it.
    pub backup: Option<String>,
    /// Which machine made it: a word of [`SnapshotOrigin`]. None where no record says so; then it is never deleted.
    pub origin: Option<String>,
    /// The id that another machine has on drives.
    pub machine: Option<String>,
    /// When the snapshot was made, in microseconds since 1970.
    pub created: Option<u64>,
    /// The UUID of what it was sent from.
    pub received_uuid: Option<String>,
    /// The UUID, on the drive, of what it was built on.
    pub parent_uuid: Option<String>,
    /// Whether the next increment builds on it; it is never thinned out.
    pub pinned: Option<bool>,
}

/// What `ListStreams` says of one stream file on a drive.
///
/// A reader skips keys that it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct StreamRow {
    /// The file's name: bytes, as on disk.
    pub name: Vec<u8>,
    /// Its bytes.
    pub size: u64,
    /// The name that the stream gives its first subvolume; empty where it cannot be read.
    pub subvolume: Vec<u8>,
    /// The sender's UUID of that subvolume; empty where it cannot be read.
    pub uuid: String,
    /// The sender's UUID of what it builds on; none for a full stream.
    pub parent_uuid: Option<String>,
    /// Why it cannot be received, for a person; none where it can.
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;
    use crate::Options;

    #[test]
    fn rows_omit_unknown_values() {
        let context = Context::new(LE, 0);
        let row = BackupRow { name: "home".to_owned(), last_good: Some(0), ..BackupRow::default() };
        let bytes = to_bytes(context, &row).expect("written");
        let map = bytes.deserialize::<Options>().expect("a dictionary").0;
        assert_eq!(map.len(), 3, "{map:?}");
        assert_eq!(bytes.deserialize::<BackupRow>().expect("a row").0, row);
        let warning = Warning { code: "clock-ahead".to_owned(), english: "the clock is ahead".to_owned() };
        let row = BackupRow { warnings: Some(vec![warning]), ..row };
        let bytes = to_bytes(context, &row).expect("written");
        assert_eq!(bytes.deserialize::<BackupRow>().expect("a row").0, row);
        let row = SnapshotRow { name: b"a\xff".to_vec(), pinned: Some(true), ..SnapshotRow::default() };
        let bytes = to_bytes(context, &row).expect("written");
        assert_eq!(bytes.deserialize::<SnapshotRow>().expect("a row").0, row);
        let row = StreamRow { name: b"a.send".to_vec(), size: 7, ..StreamRow::default() };
        let bytes = to_bytes(context, &row).expect("written");
        assert_eq!(bytes.deserialize::<StreamRow>().expect("a row").0, row);
    }
}
