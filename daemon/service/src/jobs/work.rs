//! What a job will do, while it waits for its turn.

use std::sync::Arc;

use crate::types::{Error, ErrorCode, JobKind, TotalSource};

use super::about::{About, AboutDrive};
use super::entry::Ending;
use super::handle::{BackupWish, RemoveWish, RestoreWish, Wish, no_such_volume};
use super::job::{Total, Trouble};
use super::retention::Retention;
use super::runner::{Aboard, Backup, Berth, Import, Receive, Remove, Restore, Runner, Verify};
use super::sources::Sources;
use super::wish::{ImportWish, VerifyWish};
use crate::config::Config;
use crate::drives::Dock;
use crate::source_locks::SourceLocks;
use crate::volumes::Volume;
use crate::worker;

/// One of the kinds of jobs, with everything that it needs.
#[derive(Debug)]
pub(super) enum Work {
    Receive(Box<Wish>),
    Backup(Box<BackupWish>),
    Remove(Box<RemoveWish>),
    Restore(Box<RestoreWish>),
    Verify(Box<VerifyWish>),
    Import(Box<ImportWish>),
}

impl Work {
    /// What it is about.
    pub(super) fn about(&self) -> About {
        match self {
            Self::Receive(wish) => About::receive(wish.volume.rule.name.clone()),
            Self::Backup(wish) => {
                let backup = Some(wish.backup.clone());
                About { backup, ..About::on_drive(JobKind::Backup, wish.drive.clone()) }
            }
            Self::Remove(wish) => About::on_drive(JobKind::Remove, wish.drive.clone()),
            Self::Import(wish) => {
                let volume = Some(wish.volume.rule.name.clone());
                About { volume, ..About::on_drive(JobKind::Import, wish.drive.clone()) }
            }
            Self::Verify(wish) => About::on_drive(JobKind::Verify, wish.drive.clone()),
            Self::Restore(wish) => {
                let volume = Some(wish.volume.rule.name.clone());
                About { volume, ..About::on_drive(JobKind::Restore, wish.drive.clone()) }
            }
        }
    }

    /// Who wants it.
    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::Receive(wish) => wish.uid,
            Self::Backup(wish) => wish.uid,
            Self::Remove(wish) => wish.uid,
            Self::Restore(wish) => wish.uid,
            Self::Verify(wish) => wish.uid,
            Self::Import(wish) => wish.uid,
        }
    }

    /// Whether it is a stream that a caller hands in: then whoever sends it can make it wait.
    pub(super) fn is_handed_in(&self) -> bool {
        match self {
            Self::Receive(_) => true,
            Self::Backup(_) | Self::Remove(_) | Self::Restore(_) | Self::Verify(_) | Self::Import(_) => false,
        }
    }

    /// How much is known to come before it begins.
    pub(super) fn total(&self) -> Total {
        match self {
            Self::Receive(wish) => wish.total.clone(),
            Self::Backup(_) | Self::Remove(_) | Self::Restore(_) | Self::Verify(_) | Self::Import(_) => {
                Total { bytes: 0, source: TotalSource::Unknown }
            }
        }
    }

    /// The volume that it writes to.
    pub(super) fn volume(&self) -> Option<&Arc<Volume>> {
        match self {
            Self::Receive(wish) => Some(&wish.volume),
            Self::Restore(wish) => Some(&wish.volume),
            Self::Import(wish) => Some(&wish.volume),
            Self::Backup(_) | Self::Remove(_) | Self::Verify(_) => None,
        }
    }

    /// The drive that it needs.
    pub(super) fn berth(&self) -> Option<Berth> {
        match self {
            Self::Receive(_) => None,
            Self::Backup(wish) => Some(berth(&wish.dock, &wish.drive)),
            Self::Remove(wish) => Some(berth(&wish.dock, &wish.drive)),
            Self::Restore(wish) => Some(berth(&wish.dock, &wish.drive)),
            Self::Verify(wish) => Some(berth(&wish.dock, &wish.drive)),
            Self::Import(wish) => Some(berth(&wish.dock, &wish.drive)),
        }
    }

    /// Whether what it is about is configured as it was when it was asked for.
    pub(super) fn is_configured(&self, config: &Config) -> bool {
        match self {
            Self::Receive(wish) => config.volumes.contains(&wish.volume.rule),
            Self::Backup(wish) => config.backup(&wish.backup).is_some(),
            Self::Remove(_) | Self::Verify(_) => true,
            Self::Restore(wish) => config.volumes.contains(&wish.volume.rule),
            Self::Import(wish) => config.volumes.contains(&wish.volume.rule),
        }
    }

    /// The error where it is not.
    pub(super) fn not_configured(&self) -> Error {
        match self {
            Self::Receive(wish) => no_such_volume(wish.volume.rule.name.as_str()),
            Self::Restore(wish) => no_such_volume(wish.volume.rule.name.as_str()),
            Self::Import(wish) => no_such_volume(wish.volume.rule.name.as_str()),
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
        let lanes = config.worker.lanes.map(usize::from);
        match self {
            Self::Receive(wish) => {
                let Wish { volume, place, uid, input, name, verify, force_decompress, strict_parent, .. } = *wish;
                let order = worker::Order::Receive {
                    name,
                    verify,
                    force_decompress,
                    no_verity: false,
                    lanes,
                    strict_parent,
                    asked_by: uid,
                    unrecorded_if_roots: false,
                    parked: true,
                };
                tokio::spawn(Receive { runner, volume, place, input, order }.run());
            }
            Self::Backup(wish) => {
                let berth = berth(&wish.dock, &wish.drive);
                let Some(rule) = config.backup(&wish.backup).cloned() else {
                    let trouble = Trouble::plain(ErrorCode::NotFound, NO_SUCH_BACKUP);
                    tokio::spawn(berth.refuse(runner, Ending::Trouble(trouble)));
                    return;
                };
                let (sources, source_locks, retention) = (sources.clone(), source_locks.clone(), retention.clone());
                let errand = Backup { rule, sources, source_locks, retention, lanes };
                tokio::spawn(Aboard { runner, berth, errand }.run());
            }
            Self::Import(wish) => {
                let ImportWish { dock, drive, folder, volume, place, only, verify, uid } = *wish;
                let (berth, order) =
                    (berth(&dock, &drive), worker::Order::Import { only, verify, asked_by: uid, lanes });
                let errand = Import { folder, volume, place, order };
                tokio::spawn(Aboard { runner, berth, errand }.run());
            }
            Self::Verify(wish) => {
                let berth = berth(&wish.dock, &wish.drive);
                tokio::spawn(Aboard { runner, berth, errand: Verify }.run());
            }
            Self::Remove(wish) => {
                let berth = berth(&wish.dock, &wish.drive);
                tokio::spawn(Remove { runner, berth }.run());
            }
            Self::Restore(wish) => {
                let RestoreWish { dock, drive, snapshot, volume, place, name, .. } = *wish;
                let berth = berth(&dock, &drive);
                let errand = Restore { snapshot, volume, place, name, lanes };
                tokio::spawn(Aboard { runner, berth, errand }.run());
            }
        }
    }
}

const NO_SUCH_BACKUP: &str = "there is no such backup any more; butterdock backups lists what there is";

fn berth(dock: &Dock, drive: &AboutDrive) -> Berth {
    Berth { dock: dock.clone(), drive: drive.id.clone() }
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
            keep: crate::backups::Keep::default(),
            protect: std::time::Duration::ZERO,
            schedule: Default::default(),
        }
    }
}
