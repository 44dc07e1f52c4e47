//! What the worker sends.

use butterdock_receive::{Counts, Phase, SubvolumeState};
use serde::{Deserialize, Serialize};

use crate::backups::{BackupEvent, DeletionEvent};
use crate::worker_error::WorkerError;
use crate::{files, hex, streams, verify};

/// A report of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The worker has confined itself and starts the job.
    Confined {
        /// Whether Landlock restricts it to the destination.
        landlock: bool,
        /// What this kernel cannot restrict, in a sentence.
        lacking: Option<String>,
    },
    /// The worker has begun a subvolume.
    Began {
        /// The name, as bytes.
        #[serde(with = "hex")]
        name: Vec<u8>,
        /// It is an increment.
        incremental: bool,
    },
    /// The progress: up to four times a second, and only after a change. While the worker only waits for the stream, once a
    /// second.
    Progress {
        /// The work so far.
        #[serde(with = "CountsFields")]
        counts: Counts,
        /// The total time spent waiting for the stream.
        waited_ms: u64,
    },
    /// A phase of the current subvolume begins. Of phases in quick succession only the last may be reported.
    Phase(#[serde(with = "PhaseName")] Phase),
    /// A subvolume is durable under its name.
    Published {
        /// The name, as bytes.
        #[serde(with = "hex")]
        name: Vec<u8>,
        /// The subvolume's id in its filesystem.
        subvolume_id: u64,
        /// Its `received_uuid`.
        #[serde(with = "hex::uuid")]
        received_uuid: [u8; 16],
        /// Its identity and transaction numbers.
        state: SubvolumeState,
        /// It is an increment.
        incremental: bool,
        /// The parent's generation number differs from the one in the stream.
        parent_number_differs: bool,
        /// The offset in the input up to which everything is durable.
        end: u64,
    },
    /// An event of a backup.
    Backup(BackupEvent),
    /// An event of a deletion.
    Deletion(DeletionEvent),
    /// An event of a verification.
    Verify(verify::VerifyEvent),
    /// An event of an import or a list of stream files.
    Streams(streams::StreamFileEvent),
    /// What was received lacks attributes, as [`butterdock_receive::Unapplied`] has them.
    Unapplied {
        /// How many inodes lack flags.
        inodes: u64,
        /// These flags.
        flags: u64,
        /// How many files lack their `btrfs.compression`.
        compressions: u64,
    },
    /// An event about files in a snapshot.
    Files(files::FileEvent),
    /// A warning. It may contain names of files, so not all users may see it.
    Warning(String),
    /// The job ended: the last message, sent exactly once.
    Ended {
        /// The work of the whole job.
        #[serde(with = "CountsFields")]
        counts: Counts,
        /// `None` if everything is durable.
        error: Option<WorkerError>,
    },
}

/// [`Counts`] for serde, which checks that no field is missing.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Counts")]
struct CountsFields {
    commands: u64,
    bytes: u64,
    bytes_written: u64,
    encoded_writes: u64,
    fallback_writes: u64,
    plain_writes: u64,
    clones: u64,
    files: u64,
}

/// [`Phase`] for serde.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Phase", rename_all = "snake_case")]
enum PhaseName {
    Receiving,
    Syncing,
    Checking,
    Marking,
    ReadOnly,
    Publishing,
    Settling,
}
