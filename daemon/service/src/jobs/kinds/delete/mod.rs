//! Deletes snapshots that a person chose: on a drive, or beside the source of a backup (`beside_source`).
//!
//! Each snapshot is checked twice: when the job is requested, so that the person learns of a refusal, and when it runs, which may
//! be after a restart or at a later plug. The worker looks once more whether a person holds it.

mod beside_source;

use std::os::fd::AsFd as _;

use butterdock_btrfs::Error as Fault;

use super::drive_job::{self, DriveContext, DriveTask, failure};
use super::into_volume::on_drive;
use super::receive::no_descriptor;
use super::{Conflict, JobContext, JobRequest, JobRun};
use crate::backups::{Hold, Identity, KeptBecause, MadeBy, SnapshotOnDrive, list_snapshots};
use crate::config::Config;
use crate::destinations::{Destination, DriveDestination};
use crate::drives::{DriveId, DriveReservation, Lease};
use crate::jobs::job::{About, AboutDrive, JobError};
use crate::jobs::outcome::{EndRules, Ending};
use crate::jobs::runner::{Outcome, Runner, RunnerEvent};
use crate::types::{Error, ErrorCode, JobKind, Trigger};
use crate::worker::{Order, WorkerFds, public_of_deletion};

pub(crate) use beside_source::DeleteBesideSource;

/// The snapshots that a person chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Their uuids.
    pub snapshots: Vec<Identity>,
    /// Also those that are the parent of the next increment.
    pub force: bool,
}

/// Why a snapshot is not deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such snapshot.
    Missing,
    /// This machine did not make it.
    NotOurs,
    /// A person holds it.
    Held(Hold),
    /// It is the parent of the next increment.
    Shared,
    /// It is the snapshot of a subvolume below the source, and its run is not deleted.
    OfRun,
}

/// Why this snapshot is not deleted, if it is not; `row` is None if there is none.
pub(crate) fn refusal(row: Option<&SnapshotOnDrive>, force: bool) -> Option<Refusal> {
    let Some(row) = row else { return Some(Refusal::Missing) };
    match (row.from, &row.held) {
        (MadeBy::OtherMachine(_) | MadeBy::Unknown, _) => Some(Refusal::NotOurs),
        (MadeBy::ThisMachine, Some(hold)) => Some(Refusal::Held(hold.clone())),
        (MadeBy::ThisMachine, None) => (row.pinned && !force).then_some(Refusal::Shared),
    }
}

/// The chosen snapshots, each with those that are deleted with it: a run goes as a whole, its snapshot of the source first.
pub(crate) fn runs(chosen: &[Identity], rows: &[SnapshotOnDrive]) -> Vec<Vec<Identity>> {
    let run_of = |uuid: Identity| rows.iter().find(|row| row.uuid == uuid)?.nested.as_ref()?.run;
    let is_with_run = |uuid: Identity| run_of(uuid).is_some_and(|run| chosen.contains(&run));
    let nested_in = |run: Identity| rows.iter().map(|row| row.uuid).filter(move |uuid| run_of(*uuid) == Some(run));
    let first = chosen.iter().copied().filter(|uuid| !is_with_run(*uuid));
    first.map(|uuid| std::iter::once(uuid).chain(nested_in(uuid)).collect()).collect()
}

/// Why these, which are deleted together, are not deleted, and the one that it is about.
pub(crate) fn refusal_of_run<'r>(
    run: &[Identity],
    rows: &'r [SnapshotOnDrive],
    force: bool,
) -> Option<(Refusal, Option<&'r SnapshotOnDrive>)> {
    let row_of = |uuid: &Identity| rows.iter().find(|row| row.uuid == *uuid);
    let first = run.first().and_then(row_of);
    if first.is_some_and(|row| row.nested.as_ref().is_some_and(|nested| nested.run.is_some())) {
        return Some((Refusal::OfRun, first));
    }
    run.iter().map(row_of).find_map(|row| Some((refusal(row, force)?, row)))
}

/// What a job does with the snapshots that were chosen.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// These are deleted.
    deleted: Vec<Identity>,
    /// These do not exist any more.
    missing: Vec<Identity>,
    /// These stay.
    refused: Vec<Refusal>,
}

impl Plan {
    fn of(chosen: &Chosen, rows: &[SnapshotOnDrive]) -> Self {
        let mut plan = Self::default();
        for run in runs(&chosen.snapshots, rows) {
            match refusal_of_run(&run, rows, chosen.force) {
                None => plan.deleted.extend(run),
                Some((Refusal::Missing, _)) => plan.missing.extend(run),
                Some((refused, _)) => plan.refused.push(refused),
            }
        }
        plan
    }

    fn order(&self) -> Order {
        Order::Delete { snapshots: self.deleted.clone(), measure: false }
    }

    /// All that is gone after the worker: the deleted ones, and those that did not exist any more.
    fn gone(&self, outcome: &Outcome) -> Vec<Identity> {
        outcome.heard.deleted.iter().chain(&self.missing).copied().collect()
    }

    /// Notes what was deleted; a snapshot that stays fails the job.
    async fn conclude(&self, runner: &Runner, outcome: &mut Outcome) {
        let count = outcome.heard.deleted.len();
        let (noun, verb) = if count == 1 { ("snapshot", "was") } else { ("snapshots", "were") };
        runner.tell(RunnerEvent::Noted(format!("{count} {noun} {verb} deleted"))).await;
        let of_worker = outcome.heard.kept.iter().map(|(_, why)| match why {
            KeptBecause::Held => Some(ErrorCode::Held),
            KeptBecause::InUse => Some(ErrorCode::Busy),
            KeptBecause::Missing => None,
        });
        let refused = self.refused.iter().map(|refused| match refused {
            Refusal::Held(_) => Some(ErrorCode::Held),
            Refusal::Shared => Some(ErrorCode::Shared),
            Refusal::NotOurs | Refusal::OfRun => Some(ErrorCode::NotAllowed),
            Refusal::Missing => None,
        });
        let kept: Vec<ErrorCode> = refused.chain(of_worker).flatten().collect();
        if let Some(failure) = kept_error(&kept) {
            outcome.fail(failure);
        }
    }
}

/// The error of a job that did not delete some of its snapshots.
fn kept_error(kept: &[ErrorCode]) -> Option<JobError> {
    let first = *kept.first()?;
    let count = |code| kept.iter().filter(|kept| **kept == code).count();
    let reasons = [
        (ErrorCode::Held, "held now: release them first (butterdock snapshots release)"),
        (ErrorCode::Shared, "the parent of the next increment now: delete them with --force"),
        (ErrorCode::Busy, "in use, because they are being sent or a subvolume is in them: try again later"),
        (ErrorCode::NotAllowed, "not made by this machine, were changed since, or belong to a run that stays"),
    ];
    let parts: Vec<String> = reasons
        .into_iter()
        .filter_map(|(code, why)| {
            Some(count(code)).filter(|count| *count > 0).map(|count| format!("{count} are {why}"))
        })
        .collect();
    Some(JobError::plain(first, format!("not all snapshots were deleted: {}", parts.join("; "))))
}

const END: EndRules = EndRules {
    left: |_, _| "what is not deleted stays as it was".to_owned(),
    public: |error| public_of_deletion(error.kind),
    ..EndRules::TRANSFER
};

const SAME: &str = "snapshots are being deleted there already; wait until that has ended";

/// Snapshots on a drive to be deleted.
#[derive(Debug)]
pub(crate) struct DeleteJob {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    pub chosen: Chosen,
    pub uid: u32,
}

impl JobRequest for DeleteJob {
    fn about(&self) -> About {
        About::on_drive(JobKind::Delete, self.drive.clone())
    }

    fn doing(&self) -> String {
        format!("deleting {} snapshots on drive {}", self.chosen.snapshots.len(), self.drive.id)
    }

    fn trigger(&self) -> Trigger {
        Trigger::User(self.uid)
    }

    fn conflict(&self) -> Conflict {
        Conflict::Same(SAME)
    }

    fn check(&self, _config: &Config) -> Result<(), Error> {
        Ok(())
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

impl DriveTask for DeleteJob {
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
        let place = DriveDestination::of(lease).map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        let root = lease.root().try_clone_to_owned().map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        let remembered = context.manager.remembered(&context.drive);
        let listed = on_drive(lease, move || list_snapshots(root.as_fd(), &remembered)).await;
        let rows = listed.map_err(|error| Ending::JobError(failure(error)))?.map_err(unlisted)?;
        let plan = Plan::of(&self.chosen, &rows);
        let mut outcome = runner.work(plan.order(), WorkerFds::default(), &place).await;
        // Also after an error: what is gone is no parent any more.
        if let Err(error) = context.manager.deleted(&context.drive, plan.gone(&outcome)).await {
            outcome.fail(failure(error));
        }
        plan.conclude(runner, &mut outcome).await;
        Ok((outcome, Box::new(place)))
    }
}

fn unlisted(fault: Fault) -> Ending {
    let text = format!("cannot list the snapshots: {fault}; check the drive and its cable (dmesg), then try again");
    Ending::JobError(JobError::plain(ErrorCode::Failed, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backups::NestedOnDrive;

    fn row(number: u8) -> SnapshotOnDrive {
        SnapshotOnDrive {
            name: b"home.1".to_vec(),
            uuid: Identity([number; 16]),
            received_uuid: None,
            parent_uuid: None,
            source: None,
            backup: Some("home".to_owned()),
            made: None,
            from: MadeBy::ThisMachine,
            pinned: false,
            left_over: false,
            held: None,
            path: b"butterdock/home/home.1".to_vec(),
            nested: None,
        }
    }

    #[test]
    fn only_unheld_snapshots_of_this_machine_are_deleted() {
        let hold = Hold { reason: "tax".to_owned(), ..Hold::unknown() };
        let other = SnapshotOnDrive { from: MadeBy::OtherMachine(Identity([9; 16])), ..row(1) };
        let unknown = SnapshotOnDrive { from: MadeBy::Unknown, ..row(1) };
        let (held, shared) =
            (SnapshotOnDrive { held: Some(hold.clone()), ..row(1) }, SnapshotOnDrive { pinned: true, ..row(1) });
        let held_and_shared = SnapshotOnDrive { pinned: true, ..held.clone() };
        let left_over = SnapshotOnDrive { left_over: true, ..row(1) };
        for (row, plain, forced) in [
            (None, Some(Refusal::Missing), Some(Refusal::Missing)),
            (Some(row(1)), None, None),
            (Some(left_over), None, None),
            (Some(shared), Some(Refusal::Shared), None),
            (Some(held), Some(Refusal::Held(hold.clone())), Some(Refusal::Held(hold.clone()))),
            (Some(held_and_shared), Some(Refusal::Held(hold.clone())), Some(Refusal::Held(hold))),
            (Some(other), Some(Refusal::NotOurs), Some(Refusal::NotOurs)),
            (Some(unknown), Some(Refusal::NotOurs), Some(Refusal::NotOurs)),
        ] {
            assert_eq!([false, true].map(|force| refusal(row.as_ref(), force)), [plain, forced], "{row:?}");
        }
    }

    #[test]
    fn a_job_deletes_the_others_and_says_what_stays() {
        let rows = [row(1), SnapshotOnDrive { pinned: true, ..row(2) }];
        let chosen = Chosen { snapshots: [1, 2, 3].map(|number| Identity([number; 16])).to_vec(), force: false };
        let plan = Plan::of(&chosen, &rows);
        assert_eq!((plan.deleted.as_slice(), plan.missing.len()), (&[Identity([1; 16])][..], 1));
        assert_eq!(plan.refused, [Refusal::Shared]);
        let error = kept_error(&[ErrorCode::Shared, ErrorCode::Held, ErrorCode::Held]).expect("an error");
        assert!(error.name == ErrorCode::Shared && error.public.contains("2 are held now"), "{error:?}");
        assert_eq!(kept_error(&[]), None);
    }

    #[test]
    fn a_run_is_deleted_as_a_whole() {
        let id = |number| Identity([number; 16]);
        let nested = |number, run: Option<u8>| {
            let nested = NestedOnDrive { path: b"alice".to_vec(), run: run.map(id) };
            SnapshotOnDrive { nested: Some(nested), ..row(number) }
        };
        let rows = [row(1), nested(2, Some(1)), nested(3, Some(1)), row(4), nested(5, None)];
        let deleted = |chosen: &[u8], rows: &[SnapshotOnDrive]| {
            let snapshots = chosen.iter().copied().map(id).collect();
            let plan = Plan::of(&Chosen { snapshots, force: false }, rows);
            (plan.deleted.iter().map(|uuid| uuid.0[0]).collect::<Vec<_>>(), plan.refused)
        };
        assert_eq!(deleted(&[1], &rows), (vec![1, 2, 3], vec![]));
        assert_eq!(deleted(&[3, 1, 4], &rows), (vec![1, 2, 3, 4], vec![]), "the source's snapshot goes first");
        assert_eq!(deleted(&[2, 4], &rows), (vec![4], vec![Refusal::OfRun]));
        assert_eq!(deleted(&[5], &rows), (vec![5], vec![]), "an incomplete run");
        let hold = Hold::unknown();
        let held = [row(1), SnapshotOnDrive { held: Some(hold.clone()), ..nested(2, Some(1)) }, nested(3, Some(1))];
        assert_eq!(deleted(&[1], &held), (vec![], vec![Refusal::Held(hold)]));
    }
}
