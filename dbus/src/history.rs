//! One job of the history.

use zbus::{DeserializeDict, SerializeDict, Type};

/// What `ListHistory` says of a finished job; the newest comes first. It holds no name of a file or a subvolume.
///
/// A reader skips keys that it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct HistoryEntry {
    /// Its UUID, with dashes. Never used again.
    pub id: String,
    /// [`JobKind`](crate::JobKind), a word.
    pub kind: String,
    /// The configured name of its volume; empty where it had none.
    pub volume: String,
    /// The id of its drive, where it had one.
    pub drive: Option<String>,
    /// What that drive was called then.
    pub drive_label: Option<String>,
    /// The name of the configured backup, where it was one.
    pub backup: Option<String>,
    /// How it did its work, for a person, where there was something to say.
    pub note: Option<String>,
    /// Who started it.
    pub started_by_uid: u32,
    /// When it was asked for, in microseconds since 1970.
    pub start_time: u64,
    /// When it ended, in microseconds since 1970.
    pub end_time: u64,
    /// [`JobResult`](crate::JobResult), a word.
    pub result: String,
    /// Bytes of the stream that were read.
    pub bytes_received: u64,
    /// Bytes of the stream whose subvolumes are durable.
    pub bytes_durable: u64,
    /// Extents that went to disk compressed, as they came.
    pub encoded_writes: u64,
    /// Extents that had to be decompressed first.
    pub fallback_writes: u64,
    /// [`ErrorName`](crate::ErrorName) with its prefix, where it failed or was cancelled.
    pub error_name: Option<String>,
    /// A sentence, without any name of a file, where it failed or was cancelled.
    pub error_message: Option<String>,
}
