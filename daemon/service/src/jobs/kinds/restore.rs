//! Restores a snapshot from a drive into a volume.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use super::drive_job::{self, DriveContext, DriveTask};
use super::receive::{check, no_descriptor, reach};
use super::{JobContext, JobRequest, JobRun};
use crate::backups::{Identity, open_snapshot};
use crate::blocking::Unanswered;
use crate::config::Config;
use crate::destinations::Destination;
use crate::dir_handle::DirHandle;
use crate::drives::{DriveId, DriveReservation, Lease, Need};
use crate::jobs::job::JobError;
use crate::jobs::job::{About, AboutDrive};
use crate::jobs::outcome::Ending;
use crate::jobs::runner::{Outcome, Runner, other_than};
use crate::types::{Error, ErrorCode, JobKind};
use crate::volumes::{DirIdentity, Volume};
use crate::worker::Order;

/// Timeout for finding the snapshot on the drive.
const FINDING: Duration = Duration::from_secs(30);

/// A snapshot on a drive, and the volume that it is restored into.
#[derive(Debug)]
pub(crate) struct RestoreJob {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    /// The uuid of the snapshot on the drive.
    pub snapshot: Identity,
    pub volume: Arc<Volume>,
    /// The volume's directory at the time of the request.
    pub place: DirIdentity,
    /// The subvolume's name instead of the snapshot's.
    pub name: Option<Vec<u8>>,
    pub uid: u32,
}

impl JobRequest for RestoreJob {
    fn about(&self) -> About {
        let volume = Some(self.volume.rule.name.clone());
        About { volume, ..About::on_drive(JobKind::Restore, self.drive.clone()) }
    }

    fn doing(&self) -> String {
        format!("restoring into \"{}\" from drive {}", self.volume.rule.name, self.drive.id)
    }

    fn uid(&self) -> u32 {
        self.uid
    }

    fn volume(&self) -> Option<&Arc<Volume>> {
        Some(&self.volume)
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        check(&self.volume, config)
    }

    fn set_accepted(&mut self) {
        self.reservation.set_of_job();
    }

    fn run(self: Box<Self>, runner: Runner, context: &JobContext<'_>) -> JobRun {
        let manager = self.reservation.manager().clone();
        Box::pin(drive_job::run(*self, runner, manager, context.writer_threads()))
    }
}

impl DriveTask for RestoreJob {
    const NEED: Need = Need::Read;

    fn drive(&self) -> &DriveId {
        &self.drive.id
    }

    fn into_reservation(self) -> DriveReservation {
        self.reservation
    }

    async fn work(
        &mut self,
        runner: &mut Runner,
        context: &DriveContext,
        lease: &Lease,
    ) -> Result<(Outcome, Box<dyn Destination>), Ending> {
        let destination = reach(runner, &self.volume, self.place).await?;
        let root = lease.root().try_clone_to_owned().map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        let uuid = self.snapshot;
        let reads = lease.reads();
        let finding = reads.run(FINDING, move || open_snapshot(root.as_fd(), uuid));
        let found = tokio::select! {
            found = finding => found,
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        let failed = |name, text: String| Ending::JobError(JobError::plain(name, text));
        let snapshot: DirHandle = match found {
            Ok(Ok(Some(snapshot))) => snapshot.into(),
            Ok(Ok(None)) => {
                let text = "there is no such snapshot on the drive; butterdock snapshots --drive lists the snapshots";
                return Err(failed(ErrorCode::NotFound, text.to_owned()));
            }
            Ok(Err(fault)) => {
                let text = format!("cannot open the snapshot: {fault}; check the drive and its cable (dmesg)");
                return Err(failed(ErrorCode::Failed, text));
            }
            Err(no_thread @ Unanswered::NoThread) => return Err(failed(ErrorCode::Failed, no_thread.to_string())),
            Err(Unanswered::Busy | Unanswered::Silent) => {
                let text = "the drive does not respond; check it and its cable (dmesg)";
                return Err(failed(ErrorCode::DeviceGone, text.to_owned()));
            }
        };
        let order = Order::Restore {
            name: self.name.clone(),
            writer_threads: context.writer_threads,
            shared: lease.shared(""),
        };
        let outcome = runner.work(order, [snapshot].into(), &destination).await;
        if let Some(shared) = outcome.heard.restored
            && let Err(error) = context.manager.restored(&context.drive, shared).await
        {
            let text = "the snapshot is restored, but the next restore of a later snapshot will be a full one";
            tracing::warn!(butterdock_job = %runner.id, "cannot record the restored snapshot: {error}; {text}");
        }
        Ok((outcome, Box::new(destination)))
    }
}
