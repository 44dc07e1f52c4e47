//! What a queued job will do.

use std::sync::Arc;

use crate::types::{Error, ErrorCode, JobKind, TotalSource};

use super::about::{About, AboutDrive};
use super::entry::Ending;
use super::handle::{BackupJobRequest, ReceiveJobRequest, RemoveJobRequest, RestoreJobRequest, no_such_volume};
use super::handle::{ImportJobRequest, VerifyJobRequest};
use super::job::{JobError, Total};
use super::retention::Retention;
use super::runner::{Backup, DriveContext, DriveJob, Import, Receive, Remove, Restore, Runner, Verify};
use super::sources::Sources;
use crate::config::Config;
use crate::drives::DriveManager;
use crate::source_locks::SourceLocks;
use crate::volumes::Volume;
use crate::worker;

/// One of the kinds of jobs, with everything that it needs.
#[derive(Debug)]
pub(super) enum Work {
    Receive(Box<ReceiveJobRequest>),
    Backup(Box<BackupJobRequest>),
    Remove(Box<RemoveJobRequest>),
    Restore(Box<RestoreJobRequest>),
    Verify(Box<VerifyJobRequest>),
    Import(Box<ImportJobRequest>),
}

impl Work {
    /// What it is about.
    pub(super) fn about(&self) -> About {
        match self {
            Self::Receive(request) => About::receive(request.volume.rule.name.clone()),
            Self::Backup(request) => {
                let backup = Some(request.backup.clone());
                About { backup, ..About::on_drive(JobKind::Backup, request.drive.clone()) }
            }
            Self::Remove(request) => About::on_drive(JobKind::Remove, request.drive.clone()),
            Self::Import(request) => {
                let volume = Some(request.volume.rule.name.clone());
                About { volume, ..About::on_drive(JobKind::Import, request.drive.clone()) }
            }
            Self::Verify(request) => About::on_drive(JobKind::Verify, request.drive.clone()),
            Self::Restore(request) => {
                let volume = Some(request.volume.rule.name.clone());
                About { volume, ..About::on_drive(JobKind::Restore, request.drive.clone()) }
            }
        }
    }

    /// Who wants it.
    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::Receive(request) => request.uid,
            Self::Backup(request) => request.uid,
            Self::Remove(request) => request.uid,
            Self::Restore(request) => request.uid,
            Self::Verify(request) => request.uid,
            Self::Import(request) => request.uid,
        }
    }

    /// Whether it is a stream that a caller hands in, whose sender can make it wait.
    pub(super) fn is_handed_in(&self) -> bool {
        match self {
            Self::Receive(_) => true,
            Self::Backup(_) | Self::Remove(_) | Self::Restore(_) | Self::Verify(_) | Self::Import(_) => false,
        }
    }

    /// How much is known to come before it begins.
    pub(super) fn total(&self) -> Total {
        match self {
            Self::Receive(request) => request.total.clone(),
            Self::Backup(_) | Self::Remove(_) | Self::Restore(_) | Self::Verify(_) | Self::Import(_) => {
                Total { bytes: 0, source: TotalSource::Unknown }
            }
        }
    }

    /// The volume that it writes to.
    pub(super) fn volume(&self) -> Option<&Arc<Volume>> {
        match self {
            Self::Receive(request) => Some(&request.volume),
            Self::Restore(request) => Some(&request.volume),
            Self::Import(request) => Some(&request.volume),
            Self::Backup(_) | Self::Remove(_) | Self::Verify(_) => None,
        }
    }

    /// It was accepted as a job.
    pub(super) fn set_accepted(&mut self) {
        match self {
            Self::Receive(_) | Self::Remove(_) => {}
            Self::Backup(request) => request.reservation.set_of_job(),
            Self::Restore(request) => request.reservation.set_of_job(),
            Self::Verify(request) => request.reservation.set_of_job(),
            Self::Import(request) => request.reservation.set_of_job(),
        }
    }

    /// Whether what it is about is configured as it was when it was asked for.
    pub(super) fn is_configured(&self, config: &Config) -> bool {
        match self {
            Self::Receive(request) => config.volumes.contains(&request.volume.rule),
            Self::Backup(request) => config.backup(&request.backup).is_some(),
            Self::Remove(_) | Self::Verify(_) => true,
            Self::Restore(request) => config.volumes.contains(&request.volume.rule),
            Self::Import(request) => config.volumes.contains(&request.volume.rule),
        }
    }

    /// The error where it is not.
    pub(super) fn not_configured(&self) -> Error {
        match self {
            Self::Receive(request) => no_such_volume(request.volume.rule.name.as_str()),
            Self::Restore(request) => no_such_volume(request.volume.rule.name.as_str()),
            Self::Import(request) => no_such_volume(request.volume.rule.name.as_str()),
            Self::Backup(_) | Self::Remove(_) | Self::Verify(_) => Error::new(ErrorCode::NotFound, NO_SUCH_BACKUP),
        }
    }

    /// Begins, in a task of its own.
    pub(super) fn begin(
        self,
        runner: Runner,
        config: &Config,
        (sources, source_locks, retention): (&Sources, &SourceLocks, &Retention),
    ) {
        let writer_threads = config.worker.writer_threads.map(usize::from);
        match self {
            Self::Receive(request) => {
                let ReceiveJobRequest {
                    volume, place, uid, input, name, verify, force_decompress, strict_parent, ..
                } = *request;
                let order = worker::Order::Receive {
                    name,
                    verify,
                    force_decompress,
                    no_verity: false,
                    writer_threads,
                    strict_parent,
                    asked_by: uid,
                    unrecorded_if_roots: false,
                    quarantined: true,
                };
                tokio::spawn(Receive { runner, volume, place, input, order }.run());
            }
            Self::Backup(request) => {
                let BackupJobRequest { reservation, drive, backup, .. } = *request;
                let Some(rule) = config.backup(&backup).cloned() else {
                    let failure = JobError::plain(ErrorCode::NotFound, NO_SUCH_BACKUP);
                    tokio::spawn(async move { runner.over(Ending::JobError(failure)).await });
                    return;
                };
                let context = context(reservation.manager(), &drive);
                let (sources, source_locks, retention) = (sources.clone(), source_locks.clone(), retention.clone());
                let task = Backup { rule, sources, source_locks, retention, writer_threads };
                tokio::spawn(DriveJob { runner, context, reservation, task }.run());
            }
            Self::Import(request) => {
                let ImportJobRequest { reservation, drive, folder, volume, place, only, verify, uid } = *request;
                let context = context(reservation.manager(), &drive);
                let order = worker::Order::Import { only, verify, asked_by: uid, writer_threads };
                let task = Import { folder, volume, place, order };
                tokio::spawn(DriveJob { runner, context, reservation, task }.run());
            }
            Self::Verify(request) => {
                let VerifyJobRequest { reservation, drive, .. } = *request;
                let context = context(reservation.manager(), &drive);
                tokio::spawn(DriveJob { runner, context, reservation, task: Verify }.run());
            }
            Self::Remove(request) => {
                let context = context(&request.manager, &request.drive);
                tokio::spawn(Remove { runner, context }.run());
            }
            Self::Restore(request) => {
                let RestoreJobRequest { reservation, drive, snapshot, volume, place, name, .. } = *request;
                let context = context(reservation.manager(), &drive);
                let task = Restore { snapshot, volume, place, name, writer_threads };
                tokio::spawn(DriveJob { runner, context, reservation, task }.run());
            }
        }
    }
}

const NO_SUCH_BACKUP: &str = "this backup no longer exists; butterdock backups lists the backups";

fn context(manager: &DriveManager, drive: &AboutDrive) -> DriveContext {
    DriveContext { manager: manager.clone(), drive: drive.id.clone() }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::config::BackupRule;

    /// A backup of this name.
    pub(in crate::jobs) fn rule(name: &str) -> BackupRule {
        BackupRule {
            name: name.to_owned().try_into().expect("a name"),
            source: format!("/{name}").into(),
            snapshots: format!("/{name}/.butterdock").into(),
            drives: vec!["blue".to_owned()],
            folder: name.into(),
            keep: crate::backups::RetentionRule::default(),
            protect: std::time::Duration::ZERO,
            schedule: Default::default(),
        }
    }
}
