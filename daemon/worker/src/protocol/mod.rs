//! The messages between the service and its worker: each is one JSON object in one [packet](crate::packet).
//!
//! The service first sends a [`Start`] with the descriptors of its order (`SCM_RIGHTS`). After that it sends only
//! [`Order::Cancel`] and [`Order::MaxRate`]. The worker sends [`Report`]s; the last is [`Report::Ended`].
//!
//! Names are bytes and are sent as hexadecimal digits, because JSON has no bytes.

mod order;
mod report;

pub use order::{Order, Start};
pub use report::Report;

pub use crate::worker_error::WorkerError;

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
    use butterdock_receive::{Counts, ErrorKind, Phase, SpaceCause, SubvolumeState};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::backups::{BackupCause, DeletionEvent, Identity, Task};
    use crate::packet::MAX_MESSAGE;
    use crate::priority::{IoPriority, Priority};
    use crate::{files, streams, verify};

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
        let caller = crate::caller::Caller {
            uid: 1000,
            groups: vec![4, 1000],
            source: b"/home".to_vec(),
            target: Some(b"/srv/tank".to_vec()),
        };
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
        assert_eq!(round_trip(&Order::MaxRate(Some(7))), "{\"max_rate\":7}");
        round_trip(&Order::MaxRate(None));
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
            files: Some(streams::FailedFiles { failed: 1, untried: 2, of: 4 }),
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
