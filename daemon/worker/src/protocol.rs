//! The messages between the daemon and its worker: each is one JSON object in one [packet](crate::packet).
//!
//! The daemon begins with a [`Start`], and with it come the descriptors of its order (`SCM_RIGHTS`). After that it sends
//! only [`Order::Cancel`]. The worker answers with [`Report`]s, of which [`Report::Ended`] is the last.
//!
//! Names are bytes and travel as hexadecimal digits, because JSON has no bytes.

use butterdock_receive::{Counts, ErrorKind, Phase, SubvolumeState};
use serde::{Deserialize, Serialize};

use super::bytes;
use super::priority::Priority;
use crate::backups::{BackupCause, BackupEvent, SharedSnapshot, Task};
use crate::{streams, verify};

/// The first message: what to do, and with which priority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// What to do.
    pub order: Order,
    /// With which priority.
    pub priority: Priority,
}

/// An order of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Receive what the first descriptor gives into the directory that the second one is.
    Receive {
        /// The name of the subvolume instead of the sender's.
        #[serde(with = "bytes::optional")]
        name: Option<Vec<u8>>,
        /// Decode every compressed extent and refuse one that does not decode.
        verify: bool,
        /// Write compressed extents decompressed.
        force_decompress: bool,
        /// Leave fs-verity out.
        no_verity: bool,
        /// How many threads write data (default: one for each core).
        writer_threads: Option<usize>,
        /// Refuse a parent whose number differs from the one in the stream.
        strict_parent: bool,
        /// The user: records of root and of this user count.
        asked_by: u32,
        /// Also build on what has no record, where root alone can have made it.
        #[serde(default)]
        unrecorded_if_roots: bool,
        /// The first descriptor is a socket with the stream's inside.
        #[serde(default)]
        quarantined: bool,
    },
    /// Make a snapshot of the source that the first descriptor is, in the folder that the second is, and bring it into the
    /// directory on a drive that the third is.
    Backup(Task),
    /// Delete what the rule of this backup keeps no longer in the folder for its snapshots, beside the source, that the one
    /// descriptor is.
    Prune(Task),
    /// Send the snapshot on a drive that the first descriptor is the root of into the directory that the second is.
    Restore {
        /// The name of the subvolume instead of the snapshot's.
        #[serde(with = "bytes::optional")]
        name: Option<Vec<u8>>,
        /// How many threads write data (default: one for each core).
        writer_threads: Option<usize>,
        /// What this machine and the drive share: nothing else is a parent.
        #[serde(default)]
        shared: Vec<SharedSnapshot>,
    },
    /// Compare all that is on the drive whose top the one descriptor is with its checksums.
    Verify,
    /// Receive the stream files in the folder that the first descriptor is into the directory that the second one is.
    Import {
        /// This one alone.
        #[serde(with = "bytes::optional")]
        only: Option<Vec<u8>>,
        /// Decode every compressed extent and refuse one that does not decode.
        verify: bool,
        /// The user: records of root and of this user count.
        asked_by: u32,
        /// How many threads write data (default: one for each core).
        writer_threads: Option<usize>,
    },
    /// List the stream files in the folder that the one descriptor is.
    Streams,
    /// Delete hidden leftovers of crashed runs in the directory that the one descriptor is.
    Sweep,
    /// End the job; only after a start.
    Cancel,
}

/// A report of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// It has confined itself and begins.
    Confined {
        /// Whether Landlock keeps it below the destination.
        landlock: bool,
        /// What this kernel cannot restrict, in a sentence; none where nothing is missing.
        lacking: Option<String>,
    },
    /// A subvolume was begun.
    Began {
        /// The name, as bytes.
        #[serde(with = "bytes")]
        name: Vec<u8>,
        /// It builds on a parent.
        incremental: bool,
    },
    /// How far it is: four times a second at most, and only when it changed. A wait for the stream that grows is told once a
    /// second.
    Progress {
        /// What was done so far.
        #[serde(with = "CountsFields")]
        counts: Counts,
        /// How long it has waited for the stream, all in all.
        waited_ms: u64,
    },
    /// A step of a subvolume's way begins. Steps that come in quick succession may be told by the last of them.
    Phase(#[serde(with = "PhaseName")] Phase),
    /// A subvolume is durable under its name.
    Published {
        /// The name, as bytes.
        #[serde(with = "bytes")]
        name: Vec<u8>,
        /// The subvolume's id in its filesystem.
        subvolume_id: u64,
        /// The uuid by which it is known where it was received.
        #[serde(with = "bytes::uuid")]
        received_uuid: [u8; 16],
        /// Its identity and transaction numbers.
        state: SubvolumeState,
        /// It builds on a parent.
        incremental: bool,
        /// It builds on a parent whose number differs from the one in the stream.
        parent_number_differs: bool,
        /// The offset in the input up to which all is durable.
        end: u64,
    },
    /// An event of a backup.
    Backup(BackupEvent),
    /// An event of a verification.
    Verify(verify::VerifyEvent),
    /// An event of stream files.
    Streams(streams::StreamFileEvent),
    /// Something a person should know. It may hold names: only for those who may know them.
    Warning(String),
    /// The job ended: exactly once, and the last message.
    Ended {
        /// What was done so far.
        #[serde(with = "CountsFields")]
        counts: Counts,
        /// None where everything is durable.
        error: Option<WorkerError>,
    },
}

/// Why a job failed. What everybody is told of it the daemon says itself ([`super::sentence`]): more than a kind and
/// numbers it does not believe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerError {
    /// What kind of failure it is.
    #[serde(with = "KindName")]
    pub kind: ErrorKind,
    /// The whole sentence, with the names in it: only for those who may know them.
    pub message: String,
    /// The command of the stream at which it happened.
    pub command: Option<u64>,
    /// The offset of that command in the input.
    pub byte: Option<u64>,
    /// Something hidden could not be deleted.
    #[serde(default)]
    pub hidden: bool,
    /// A subvolume has its name, and the filesystem did not confirm that it is on the device.
    #[serde(default)]
    pub unconfirmed: bool,
    /// Why a backup failed, where the service acts on it.
    #[serde(default)]
    pub cause: Option<BackupCause>,
}

/// [`Counts`] for serde, which checks that none is missing.
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

/// [`ErrorKind`] for serde, under the names that the bus gives to errors too.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ErrorKind")]
enum KindName {
    InvalidStream,
    TruncatedStream,
    UnsupportedStream,
    ParentMissing,
    NoSpace,
    ReadOnly,
    Exists,
    Busy,
    DeviceGone,
    Cancelled,
    Failed,
}

/// What an order is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One stream or several that come.
    Stream,
    /// Snapshots: what is sent from one place to another, or deleted.
    Snapshots,
    /// A drive that is read.
    Drive,
    /// Stream files.
    Files,
    /// Hidden leftovers: no events.
    Leftovers,
}

impl Order {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Receive { .. } => Subject::Stream,
            Self::Backup(_) | Self::Prune(_) | Self::Restore { .. } => Subject::Snapshots,
            Self::Verify => Subject::Drive,
            Self::Import { .. } | Self::Streams => Subject::Files,
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
            Report::Began { .. } | Report::Phase(_) | Report::Published { .. } => {
                matches!(self, Self::Stream | Self::Snapshots | Self::Files)
            }
            Report::Backup(_) => self == Self::Snapshots,
            Report::Verify(_) => self == Self::Drive,
            Report::Streams(_) => self == Self::Files,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn orders_arrive_as_they_were_given() {
        round_trip(&receive(None));
        round_trip(&receive(Some((0..=255).collect())));
        let import =
            Order::Import { only: Some(b"a\xff".to_vec()), verify: true, asked_by: u32::MAX, writer_threads: None };
        let time = crate::backups::TaskTime { stopped: true, settled_drive: u64::MAX, ..Default::default() };
        let task = Task { protect: 7, time, ..Task::of(b"home", crate::backups::Identity([1; 16])) };
        for order in [Order::Sweep, Order::Verify, Order::Streams, Order::Prune(task), import] {
            round_trip(&Start { order, priority: Priority::default() });
        }
        assert_eq!(round_trip(&Order::Cancel), "\"cancel\"");
    }

    #[test]
    fn reports_arrive_as_they_were_sent() {
        let counts = Counts { commands: 1, bytes: u64::MAX, files: 3, ..Counts::default() };
        let error = WorkerError {
            kind: ErrorKind::ReadOnly,
            message: "a\n\"b\"".to_owned(),
            command: Some(7),
            byte: None,
            hidden: true,
            unconfirmed: true,
            cause: Some(BackupCause::SourceRefused(crate::backups::SourceProblem::Empty)),
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
            Report::Streams(streams::StreamFileEvent::File(streams::Row {
                parent: Some([7; 16]),
                ..streams::Row::default()
            })),
            Report::Warning("x".to_owned()),
            Report::Ended { counts, error: Some(error) },
            Report::Ended { counts, error: None },
        ] {
            round_trip(&report);
        }
    }

    #[test]
    fn an_order_that_is_not_understood_is_refused() {
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
    fn reports_outside_the_order_do_not_count() {
        let found = Report::Verify(verify::VerifyEvent::Total { bytes: 1 });
        let files = Report::Streams(streams::StreamFileEvent::Total { bytes: 1 });
        assert!(Order::Verify.subject().admits(&found) && Order::Streams.subject().admits(&files));
        assert!(!Order::Verify.subject().admits(&files) && !Order::Streams.subject().admits(&found));
        assert!(!Order::Sweep.subject().admits(&files));
        assert!(Order::Sweep.subject().admits(&Report::Warning("x".to_owned())));
    }
}
