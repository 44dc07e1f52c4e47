//! Reads or restores files in a snapshot on a drive.

use std::sync::Arc;

use super::{END, FilesWork};
use crate::config::Config;
use crate::destinations::Destination;
use crate::drives::{DriveId, DriveReservation, Lease, Need};
use crate::jobs::class::JobClass;
use crate::jobs::job::{About, AboutDrive};
use crate::jobs::kinds::drive_job::{self, DriveContext, DriveTask};
use crate::jobs::kinds::receive::no_descriptor;
use crate::jobs::kinds::{JobContext, JobRequest, JobRun};
use crate::jobs::outcome::{EndRules, Ending};
use crate::jobs::queue::JobTarget;
use crate::jobs::runner::{Outcome, Runner};
use crate::types::{Error, JobKind, Trigger};
use crate::volumes::Volume;

/// Files in a snapshot on a drive.
#[derive(Debug)]
pub(crate) struct DriveFiles {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    pub work: FilesWork,
}

impl JobRequest for DriveFiles {
    fn about(&self) -> About {
        self.work.about(About::on_drive(self.work.kind(), self.drive.clone()))
    }

    fn doing(&self) -> String {
        format!("{}, from drive {}", self.work.doing(), self.drive.id)
    }

    fn trigger(&self) -> Trigger {
        Trigger::User(self.work.uid)
    }

    fn class(&self) -> JobClass {
        JobClass::of_files(self.work.uid)
    }

    fn places(&self) -> Vec<JobTarget> {
        Vec::new()
    }

    /// A person who looks at many files would push backups out of the history.
    fn is_recorded(&self) -> bool {
        self.work.kind() != JobKind::Read
    }

    fn volume(&self) -> Option<&Arc<Volume>> {
        self.work.volume()
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        self.work.check(config)
    }

    fn set_accepted(&mut self) {
        self.reservation.set_of_job();
    }

    fn end_rules(&self) -> &'static EndRules {
        &END
    }

    fn run(self: Box<Self>, runner: Runner, context: &JobContext<'_>) -> JobRun {
        let manager = self.reservation.manager().clone();
        Box::pin(drive_job::run(*self, runner, manager, context.writer_threads()))
    }
}

impl DriveTask for DriveFiles {
    const NEED: Need = Need::Read;
    const ENDS_BY_REMOVAL: bool = true;

    fn drive(&self) -> &DriveId {
        &self.drive.id
    }

    fn into_reservation(self) -> DriveReservation {
        self.reservation
    }

    async fn work(
        &mut self,
        runner: &mut Runner,
        _context: &DriveContext,
        lease: &Lease,
    ) -> Result<(Outcome, Box<dyn Destination>), Ending> {
        let top = lease.root().try_clone_to_owned().map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        self.work.run(runner, top.into()).await
    }
}
