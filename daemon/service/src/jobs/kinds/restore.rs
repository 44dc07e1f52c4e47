//! Restores a snapshot from a drive into a volume.

use std::os::fd::AsFd as _;

use super::drive_job::DriveContext;
use super::into_volume::{DriveSource, on_drive};
use super::receive::no_descriptor;
use crate::backups::{Identity, OpenSnapshot, open_snapshot};
use crate::dir_handle::DirHandle;
use crate::drives::Lease;
use crate::jobs::outcome::EndRules;
use crate::jobs::runner::{Runner, WorkerResults};
use crate::types::{Error, ErrorCode, JobKind};
use crate::worker::{Order, public_of_restore};

/// A snapshot on a drive.
#[derive(Debug)]
pub(crate) struct RestoredSnapshot {
    /// The uuid of the snapshot on the drive.
    pub snapshot: Identity,
    /// The subvolume's name instead of the snapshot's.
    pub name: Option<Vec<u8>>,
}

impl DriveSource for RestoredSnapshot {
    const KIND: JobKind = JobKind::Restore;
    const DOING: &'static str = "restoring";
    const END: &'static EndRules = &EndRules { public: public_of_restore, ..EndRules::TRANSFER };

    async fn open(&self, lease: &Lease) -> Result<Vec<DirHandle>, Error> {
        let root = lease.root().try_clone_to_owned();
        let root = root.map_err(|error| Error::new(ErrorCode::Failed, no_descriptor(&error).public))?;
        let uuid = self.snapshot;
        match on_drive(lease, move || open_snapshot(root.as_fd(), uuid)).await? {
            Ok(Some(OpenSnapshot { snapshot, folder })) => Ok(vec![snapshot.into(), folder.into()]),
            Ok(None) => {
                let text = "there is no such snapshot on the drive; butterdock snapshots --drive lists the snapshots";
                Err(Error::new(ErrorCode::NotFound, text))
            }
            Err(fault) => {
                let text = format!("cannot open the snapshot: {fault}; check the drive and its cable (dmesg)");
                Err(Error::new(ErrorCode::Failed, text))
            }
        }
    }

    fn order(&self, lease: &Lease, _uid: u32, writer_threads: Option<usize>) -> Order {
        Order::Restore { name: self.name.clone(), writer_threads, shared: lease.shared("") }
    }

    async fn record(&self, runner: &Runner, context: &DriveContext, results: &WorkerResults) {
        if !results.restored.is_empty()
            && let Err(error) = context.manager.restored(&context.drive, results.restored.clone()).await
        {
            let text = "the snapshot is restored, but the next restore of a later snapshot will be a full one";
            tracing::warn!(butterdock_job = %runner.id, "cannot record the restored snapshot: {error}; {text}");
        }
    }
}
