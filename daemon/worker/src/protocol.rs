//! The messages between the daemon and its worker: each is one JSON object in one [packet](crate::packet).
//!
//! The daemon first sends a [`Start`] with the descriptors of its order (`SCM_RIGHTS`). After that it sends only
//! [`Order::Cancel`]. The worker sends [`Report`]s; the last is [`Report::Ended`].
//!
//! Names are bytes and are sent as hexadecimal digits, because JSON has no bytes.

use butterdock_receive::{Counts, Phase, SubvolumeState};
use serde::{Deserialize, Serialize};

use super::hex;
use super::priority::Priority;
use crate::backups::{BackupEvent, DeletionEvent, Identity, SharedSnapshot, Task};
use crate::{files, streams, verify};

pub use crate::worker_error::WorkerError;

/// The first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The order.
    pub order: Order,
    /// The worker's priority.
    pub priority: Priority,
}

/// An order of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Receive a stream into a directory. Descriptors: the stream, the directory.
    Receive {
        /// The subvolume's name (default: the name in the stream).
        #[serde(with = "hex::optional")]
        name: Option<Vec<u8>>,
        /// Decode every compressed extent and refuse one that does not decode.
        verify: bool,
        /// Write compressed extents decompressed.
        force_decompress: bool,
        /// Do not enable fs-verity.
        no_verity: bool,
        /// How many threads write data (default: one for each core).
        writer_threads: Option<usize>,
        /// Refuse a parent whose number differs from the one in the stream.
        strict_parent: bool,
        /// The user who started the job. Only subvolumes that records of root or of this user name can be parents.
        asked_by: u32,
        /// A subvolume without a record can also be a parent, if only root can have made it.
        #[serde(default)]
        unrecorded_if_roots: bool,
        /// The first descriptor is a socket that contains the stream's descriptor.
        #[serde(default)]
        quarantined: bool,
    },
    /// Make a snapshot of a source and send it to a drive. Descriptors: the source, the folder for its snapshots, the
    /// directory on the drive.
    Backup(Task),
    /// Prune the snapshots beside the source. Descriptor: the folder for its snapshots.
    Prune(Task),
    /// Delete snapshots that a person chose, or only find out what that frees. Descriptor: a directory of their filesystem.
    Delete {
        /// Their uuids.
        snapshots: Vec<Identity>,
        /// Delete nothing.
        measure: bool,
    },
    /// Send a snapshot on a drive, with those of the subvolumes below its source, into a directory. Descriptors: the snapshot, the
    /// folder on the drive that has it, the directory.
    Restore {
        /// The subvolume's name (default: the snapshot's name).
        #[serde(with = "hex::optional")]
        name: Option<Vec<u8>>,
        /// How many threads write data (default: one for each core).
        writer_threads: Option<usize>,
        /// The snapshots that this machine and the drive share: only these can be parents.
        #[serde(default)]
        shared: Vec<SharedSnapshot>,
    },
    /// Compare all data on a drive with its checksums. Descriptor: the top of the drive's filesystem.
    Verify,
    /// Receive the stream files in a folder into a directory. Descriptors: the folder, the directory.
    Import {
        /// Only the file with this name.
        #[serde(with = "hex::optional")]
        only: Option<Vec<u8>>,
        /// Decode every compressed extent and refuse one that does not decode.
        verify: bool,
        /// The user who started the job. Only subvolumes that records of root or of this user name can be parents.
        asked_by: u32,
        /// How many threads write data (default: one for each core).
        writer_threads: Option<usize>,
    },
    /// List the stream files in a folder. Descriptor: the folder.
    Streams,
    /// List, read or restore files in a snapshot. Descriptors: those of the [task](files::FilesTask).
    Files(files::FilesOrder),
    /// Delete the hidden leftovers of crashed runs in a directory. Descriptor: the directory.
    Sweep,
    /// Cancel the job; only after a start.
    Cancel,
}

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

/// The subject of an order, which determines the reports that may follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A stream from a client.
    Stream,
    /// Snapshots that are sent or deleted.
    Snapshots,
    /// Snapshots that a person deletes.
    Deletion,
    /// A drive that is verified.
    Drive,
    /// Stream files.
    StreamFiles,
    /// Files in a snapshot.
    Files,
    /// Hidden leftovers; they cause no events.
    Leftovers,
}

impl Order {
    /// The subject of the order.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Receive { .. } => Subject::Stream,
            Self::Backup(_) | Self::Prune(_) | Self::Restore { .. } => Subject::Snapshots,
            Self::Delete { .. } => Subject::Deletion,
            Self::Verify => Subject::Drive,
            Self::Import { .. } | Self::Streams => Subject::StreamFiles,
            Self::Files(order) if order.is_sweep() => Subject::Leftovers,
            Self::Files(_) => Subject::Files,
            Self::Sweep | Self::Cancel => Subject::Leftovers,
        }
    }
}

impl Subject {
    /// Whether a worker with such an order may send this report.
    pub fn admits(self, report: &Report) -> bool {
        match report {
            Report::Confined { .. } | Report::Warning(_) | Report::Ended { .. } => true,
            Report::Progress { .. } => self != Self::Leftovers,
            Report::Began { .. } | Report::Phase(_) | Report::Published { .. } | Report::Unapplied { .. } => {
                matches!(self, Self::Stream | Self::Snapshots | Self::StreamFiles)
            }
            Report::Backup(_) => self == Self::Snapshots,
            Report::Deletion(_) => self == Self::Deletion,
            Report::Verify(_) => self == Self::Drive,
            Report::Streams(_) => self == Self::StreamFiles,
            Report::Files(_) => self == Self::Files,
        }
    }
}

#[cfg(test)]
mod tests {
    use butterdock_receive::{ErrorKind, SpaceCause};

    use super::*;
    use crate::backups::BackupCause;
    use crate::packet::MAX_MESSAGE;
    use crate::priority::IoPriority;
    use crate::{streams, verify};

    fn round_trip<T: Serialize + for<'a> Deserialize<'a> + PartialEq + std::fmt::Debug>(value: &T) -> String {
        let text = serde_json::to_string(value).expect("written");
        assert_eq!(serde_json::from_str::<T>(&text).expect("read"), *value, "{text}");
        text
    }

    fn receive(name: Option<Vec<u8>>) -> Start {
        let order = Order::Receive {
            name,
            verify: true,
            force_decompress: false,
            no_verity: false,
            writer_threads: Some(3),
            strict_parent: true,
            asked_by: 1000,
            unrecorded_if_roots: true,
            quarantined: true,
        };
        Start { order, priority: Priority { nice: 10, io: IoPriority::Idle } }
    }

    #[test]
    fn orders_round_trip() {
        round_trip(&receive(None));
        round_trip(&receive(Some((0..=255).collect())));
        let snapshots = vec![Identity([0xff; 16]); crate::backups::MOST_DELETED];
        let text = round_trip(&Order::Delete { snapshots, measure: true });
        assert!(text.len() < MAX_MESSAGE - 1000, "{}", text.len());
        let import =
            Order::Import { only: Some(b"a\xff".to_vec()), verify: true, asked_by: u32::MAX, writer_threads: None };
        let time = crate::backups::TaskTime { stopped: true, settled_drive: u64::MAX, ..Default::default() };
        let task = Task { protect: 7, time, ..Task::of(b"home", Identity([1; 16])) };
        let caller = crate::caller::Caller { uid: 1000, groups: vec![4, 1000], source: b"/home".to_vec() };
        let list = files::FilesTask::List {
            snapshot: Identity([3; 16]),
            path: files::FilePath(b"a\n\xff".to_vec()),
            after: Some(files::FilePath(b"b".to_vec())),
            limit: 7,
        };
        round_trip(&Order::Files(files::FilesOrder { caller: Some(caller), task: list }));
        for order in [Order::Sweep, Order::Verify, Order::Streams, Order::Prune(task), import] {
            round_trip(&Start { order, priority: Priority::default() });
        }
        assert_eq!(round_trip(&Order::Cancel), "\"cancel\"");
    }

    #[test]
    fn reports_round_trip() {
        let counts = Counts { commands: 1, bytes: u64::MAX, files: 3, ..Counts::default() };
        let error = WorkerError {
            kind: ErrorKind::ReadOnly,
            message: "a\n\"b\"".to_owned(),
            command: Some(7),
            byte: None,
            hidden: true,
            unconfirmed: true,
            cause: Some(BackupCause::SourceRefused(crate::backups::SourceProblem::Empty)),
            files: Some(crate::streams::FailedFiles { failed: 1, untried: 2, of: 4 }),
            file: Some(files::FileCause::Incomplete { denied: 3 }),
            space: Some(SpaceCause::Attribute { size: 30_000, most: u64::MAX }),
        };
        let published = Report::Published {
            name: b"a\n\xff\0".to_vec(),
            subvolume_id: 256,
            received_uuid: [9; 16],
            state: SubvolumeState {
                uuid: [1; 16],
                received_uuid: [9; 16],
                stransid: u64::MAX,
                rtransid: 2,
                ctransid: 3,
            },
            incremental: true,
            parent_number_differs: true,
            end: 17,
        };
        for report in [
            Report::Confined { landlock: false, lacking: Some("no".to_owned()) },
            Report::Began { name: Vec::new(), incremental: false },
            Report::Progress { counts, waited_ms: 7 },
            Report::Phase(Phase::ReadOnly),
            published,
            Report::Verify(verify::VerifyEvent::Found(verify::Found { lost: 1, ..verify::Found::default() })),
            Report::Streams(streams::StreamFileEvent::File(streams::StreamFile {
                parent: Some([7; 16]),
                ..streams::StreamFile::default()
            })),
            Report::Unapplied { inodes: 1, flags: 2, compressions: 3 },
            Report::Files(files::FileEvent::Listed { more: true }),
            Report::Warning("x".to_owned()),
            Report::Ended { counts, error: Some(error) },
            Report::Ended { counts, error: None },
        ] {
            round_trip(&report);
        }
    }

    #[test]
    fn an_unknown_order_is_refused() {
        for message in [
            "",
            "null",
            "[]",
            "{\"order\":\"sweep\"}",
            "{\"order\":\"destroy\",\"priority\":{\"nice\":0,\"io\":\"none\"}}",
            "{\"order\":\"sweep\",\"priority\":{\"nice\":0,\"io\":\"none\"},\"more\":1}",
            "{\"order\":\"sweep\",\"priority\":{\"nice\":300,\"io\":\"none\"}}",
            "{\"order\":{\"receive\":{\"name\":\"0\"}},\"priority\":{\"nice\":0,\"io\":\"none\"}}",
        ] {
            assert!(serde_json::from_str::<Start>(message).is_err(), "{message}");
        }
        let deep = "[".repeat(MAX_MESSAGE);
        assert!(serde_json::from_str::<Start>(&deep).is_err());
    }

    #[test]
    fn the_longest_name_fits_an_order() {
        let text = serde_json::to_string(&receive(Some(vec![0xff; 255]))).expect("written");
        assert!(text.len() < MAX_MESSAGE, "{}", text.len());
    }

    #[test]
    fn reports_about_other_subjects_are_not_admitted() {
        let found = Report::Verify(verify::VerifyEvent::Total { bytes: 1 });
        let files = Report::Streams(streams::StreamFileEvent::Total { bytes: 1 });
        let deleted = Report::Deletion(DeletionEvent::Total { bytes: 1 });
        let deletion = Order::Delete { snapshots: Vec::new(), measure: false }.subject();
        assert!(deletion.admits(&deleted) && !deletion.admits(&files) && !Order::Verify.subject().admits(&deleted));
        assert!(Order::Verify.subject().admits(&found) && Order::Streams.subject().admits(&files));
        assert!(!Order::Verify.subject().admits(&files) && !Order::Streams.subject().admits(&found));
        assert!(!Order::Sweep.subject().admits(&files));
        assert!(Order::Sweep.subject().admits(&Report::Warning("x".to_owned())));
    }
}
