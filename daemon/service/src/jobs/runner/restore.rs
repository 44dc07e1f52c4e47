//! Runs a restore of a snapshot from a drive into a volume.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use crate::types::ErrorCode;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::drive_job::{DriveContext, DriveTask};
use super::receive::{no_descriptor, reach};
use super::{Outcome, Runner, RunnerEvent, other_than};
use crate::backups::{Identity, find};
use crate::dir_handle::DirHandle;
use crate::drives::Lease;
use crate::jobs::entry::Ending;
use crate::jobs::job::JobError;
use crate::volumes::{Destination, Place, Volume};
use crate::worker::Order;

/// Timeout for finding the snapshot on the drive.
const FINDING: Duration = Duration::from_secs(30);

/// A snapshot on a drive, and where it goes.
#[derive(Debug)]
pub(in crate::jobs) struct Restore {
    pub(in crate::jobs) snapshot: Identity,
    pub(in crate::jobs) volume: Arc<Volume>,
    /// The directory that it was asked for.
    pub(in crate::jobs) place: Place,
    /// The name of the subvolume instead of the snapshot's.
    pub(in crate::jobs) name: Option<Vec<u8>>,
    /// How many threads write data; one for each core where nothing is said.
    pub(in crate::jobs) writer_threads: Option<usize>,
}

impl DriveTask for Restore {
    async fn work(
        &mut self,
        runner: &mut Runner,
        context: &DriveContext,
        lease: &Lease,
    ) -> Result<(Outcome, DirHandle), Ending> {
        let Destination { directory, mount, .. } = reach(runner, &self.volume, self.place).await?;
        runner.tell(RunnerEvent::Opened(mount)).await;
        let root = lease.root().try_clone_to_owned().map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        let uuid = self.snapshot;
        let finding = timeout(FINDING, spawn_blocking(move || find(root.as_fd(), uuid)));
        let found = tokio::select! {
            found = finding => found,
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        let failed = |name, text: String| Ending::JobError(JobError::plain(name, text));
        let snapshot: DirHandle = match found {
            Ok(Ok(Ok(Some(snapshot)))) => snapshot.into(),
            Ok(Ok(Ok(None))) => {
                let text = "there is no such snapshot on the drive; butterdock snapshots --drive lists the snapshots";
                return Err(failed(ErrorCode::NotFound, text.to_owned()));
            }
            Ok(Ok(Err(fault))) => {
                let text = format!("cannot open the snapshot: {fault}; check the drive and its cable (dmesg)");
                return Err(failed(ErrorCode::Failed, text));
            }
            Ok(Err(error)) => return Err(failed(ErrorCode::Failed, format!("{error}; start the job again"))),
            Err(_late) => {
                let text = "the drive does not respond; check it and its cable (dmesg)";
                return Err(failed(ErrorCode::DeviceGone, text.to_owned()));
            }
        };
        let copy = directory.try_clone().map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        let order =
            Order::Restore { name: self.name.clone(), writer_threads: self.writer_threads, shared: lease.shared("") };
        let outcome = runner.work(order, [snapshot, copy].into(), &directory).await;
        if let Some(shared) = outcome.heard.restored
            && let Err(error) = context.manager.restored(&context.drive, shared).await
        {
            let text = "the snapshot is restored, but the next restore of a later snapshot will be a full one";
            tracing::warn!(butterdock_job = %runner.id, "cannot record the restored snapshot: {error}; {text}");
        }
        Ok((outcome, directory))
    }
}
