//! Chooses the next job: one writer for each target, and jobs of each class up to a limit, in the order of requests,
//! but root's jobs before those of other users.

use std::collections::{HashMap, HashSet, VecDeque};

use uuid::Uuid;

use super::class::JobClass;
use crate::config::VolumeName;
use crate::drives::DriveId;

/// A target on which one job works at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum JobTarget {
    Volume(VolumeName),
    Drive(DriveId),
}

/// What a job takes while it runs.
#[derive(Debug, Clone)]
struct Claim {
    class: JobClass,
    places: Vec<JobTarget>,
}

/// The unfinished jobs.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Uuid, Claim)>,
    running: HashMap<Uuid, Claim>,
    /// The targets of killed workers that have not ended: they wait inside the kernel.
    stuck: HashMap<Uuid, Vec<JobTarget>>,
}

impl Queue {
    /// Whether any job runs.
    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// Queues a job.
    pub(super) fn push(&mut self, id: Uuid, class: JobClass, places: Vec<JobTarget>) {
        self.waiting.push_back((id, Claim { class, places }));
    }

    /// The next job whose turn it is, when up to `max` of a class may run; its places are taken from now on.
    ///
    /// A job that needs two places is not overtaken at either, or it might wait for ever; unless one of them is stuck, or the
    /// class of the other job precedes.
    pub(super) fn next(&mut self, max: usize) -> Option<Uuid> {
        let at = self.first_free(max)?;
        let (id, claim) = self.waiting.remove(at)?;
        self.running.insert(id, claim);
        Some(id)
    }

    fn first_free(&self, max: usize) -> Option<usize> {
        let running = self.running.values().flat_map(|claim| &claim.places);
        let mut taken: HashSet<&JobTarget> = running.chain(self.stuck.values().flatten()).collect();
        let mut in_order: Vec<(usize, &Claim)> = self.waiting.iter().map(|(_, claim)| claim).enumerate().collect();
        // Within a rank the order of requests is kept.
        in_order.sort_by_key(|(_, claim)| claim.class.rank());
        for (at, Claim { class, places }) in in_order {
            if self.count(*class) >= class.places(max) {
                continue;
            }
            if places.iter().all(|place| !taken.contains(place)) {
                return Some(at);
            }
            if !places.iter().any(|place| self.is_stuck(place)) {
                taken.extend(places);
            }
        }
        None
    }

    /// How many jobs of this class run.
    fn count(&self, class: JobClass) -> usize {
        self.running.values().filter(|claim| claim.class == class).count()
    }

    /// The jobs that are queued for this target.
    pub(super) fn waiting_for(&self, place: &JobTarget) -> Vec<Uuid> {
        let waiting = self.waiting.iter().filter(|(_, claim)| claim.places.contains(place));
        waiting.map(|(id, _)| *id).collect()
    }

    /// The jobs that run on this target.
    pub(super) fn running_at(&self, place: &JobTarget) -> Vec<Uuid> {
        let running = self.running.iter().filter(|(_, claim)| claim.places.contains(place));
        running.map(|(id, _)| *id).collect()
    }

    /// Removes a queued job; false if it is not queued.
    pub(super) fn withdraw(&mut self, id: Uuid) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != id);
        self.waiting.len() != before
    }

    /// A running job has ended, and so has its worker.
    pub(super) fn release(&mut self, id: Uuid) {
        self.running.remove(&id);
        self.stuck.remove(&id);
    }

    /// A running job has ended but its worker has not: no other job may use its targets.
    pub(super) fn hold(&mut self, id: Uuid) {
        if let Some(claim) = self.running.remove(&id) {
            self.stuck.insert(id, claim.places);
        }
    }

    /// Whether no job and no stuck worker uses it.
    pub(super) fn is_idle(&self, place: &JobTarget) -> bool {
        !self.running.values().any(|claim| claim.places.contains(place)) && !self.is_stuck(place)
    }

    /// Whether a killed worker that has not ended uses it.
    pub(super) fn is_stuck(&self, place: &JobTarget) -> bool {
        self.stuck.values().flatten().any(|held| held == place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::job::{About, AboutDrive};
    use crate::types::JobKind;

    fn volume(name: &str) -> JobTarget {
        JobTarget::Volume(VolumeName::try_from(name.to_owned()).expect("a name"))
    }

    fn queue(volumes: &[&str]) -> (Queue, Vec<Uuid>) {
        let mut queue = Queue::default();
        let ids: Vec<Uuid> = volumes.iter().map(|_| Uuid::new_v4()).collect();
        for (id, name) in ids.iter().zip(volumes) {
            queue.push(*id, JobClass::RootStream, vec![volume(name)]);
        }
        (queue, ids)
    }

    #[test]
    fn a_volume_has_one_writer_other_volumes_run_too() {
        let (mut queue, ids) = queue(&["a", "a", "b"]);
        assert_eq!(queue.next(8), Some(ids[0]));
        assert_eq!(queue.next(8), Some(ids[2]));
        assert_eq!(queue.next(8), None);
        queue.release(ids[0]);
        assert_eq!(queue.next(8), Some(ids[1]));
    }

    #[test]
    fn no_more_jobs_run_than_allowed() {
        let (mut queue, ids) = queue(&["a", "b"]);
        assert_eq!(queue.next(1), Some(ids[0]));
        assert_eq!(queue.next(1), None);
    }

    #[test]
    fn each_class_has_its_own_limit_and_root_is_first() {
        use JobClass::{Remove, RootDrive, RootStream, UserDrive, UserStream};
        // Jobs in the order of requests with their places; the indices of those that run, up to two of a class.
        type Row<'r> = (&'r [(JobClass, &'r str)], &'r [usize]);
        let table: [Row<'_>; 9] = [
            (&[(UserStream, "a"), (UserStream, "b"), (UserStream, "c")], &[0, 1]),
            (&[(UserStream, "a"), (UserStream, "b"), (UserStream, "c"), (RootDrive, "d")], &[3, 0, 1]),
            (&[(UserStream, "a"), (UserStream, "b"), (UserDrive, "c"), (RootStream, "d")], &[3, 0, 1, 2]),
            (&[(RootStream, "a"), (RootStream, "b"), (RootStream, "c"), (RootDrive, "d")], &[0, 1, 3]),
            (&[(UserDrive, "a"), (UserDrive, "b"), (UserDrive, "c"), (RootDrive, "d")], &[3, 0, 1]),
            (&[(UserStream, "a"), (RootDrive, "a")], &[1]),
            (&[(UserStream, "ab"), (RootDrive, "b"), (RootDrive, "a")], &[1, 2]),
            (&[(RootDrive, "a"), (RootDrive, "b"), (Remove, "c"), (Remove, "d"), (Remove, "e")], &[2, 3, 4, 0, 1]),
            // A job whose class is full reserves no place.
            (&[(UserStream, "a"), (UserStream, "b"), (UserStream, "c"), (UserDrive, "c")], &[0, 1, 3]),
        ];
        for (jobs, expected) in table {
            let mut queue = Queue::default();
            let ids: Vec<Uuid> = jobs.iter().map(|_| Uuid::new_v4()).collect();
            for (id, (class, places)) in ids.iter().zip(jobs) {
                queue.push(*id, *class, places.chars().map(|name| volume(&name.to_string())).collect());
            }
            let run: Vec<Uuid> = std::iter::from_fn(|| queue.next(2)).collect();
            assert_eq!(run, expected.iter().map(|at| ids[*at]).collect::<Vec<_>>(), "{jobs:?}");
        }
    }

    #[test]
    fn roots_job_is_first_in_the_volumes_queue() {
        let mut queue = Queue::default();
        let ids: Vec<Uuid> = (0..200).map(|_| Uuid::new_v4()).collect();
        ids.iter().for_each(|id| queue.push(*id, JobClass::UserStream, vec![volume("a")]));
        assert_eq!((queue.next(4), queue.next(4)), (Some(ids[0]), None));
        let restore = Uuid::new_v4();
        queue.push(restore, JobClass::RootDrive, vec![volume("a"), volume("drive")]);
        assert_eq!(queue.next(4), None, "the one that runs is not interrupted");
        queue.release(ids[0]);
        assert_eq!((queue.next(4), queue.next(4)), (Some(restore), None));
        queue.release(restore);
        assert_eq!(queue.next(4), Some(ids[1]));
    }

    #[test]
    fn a_job_that_was_withdrawn_does_not_run() {
        let (mut queue, ids) = queue(&["a", "a"]);
        assert!(queue.withdraw(ids[0]));
        assert!(!queue.withdraw(ids[0]));
        assert_eq!(queue.next(8), Some(ids[1]));
    }

    #[test]
    fn a_worker_that_hangs_holds_its_volume_and_no_other() {
        let (mut queue, ids) = queue(&["a", "a", "b"]);
        assert_eq!(queue.next(1), Some(ids[0]));
        queue.hold(ids[0]);
        assert!(queue.is_stuck(&volume("a")));
        assert_eq!(queue.next(1), Some(ids[2]));
        queue.release(ids[2]);
        assert_eq!(queue.next(1), None);
        queue.release(ids[0]);
        assert_eq!(queue.next(1), Some(ids[1]));
    }

    #[test]
    fn a_job_for_two_targets_is_not_overtaken() {
        let mut queue = Queue::default();
        let ids: Vec<Uuid> = (0..4).map(|_| Uuid::new_v4()).collect();
        queue.push(ids[0], JobClass::RootDrive, vec![volume("a")]);
        queue.push(ids[1], JobClass::RootDrive, vec![volume("a"), volume("b")]);
        queue.push(ids[2], JobClass::RootDrive, vec![volume("b")]);
        assert_eq!((queue.next(8), queue.next(8)), (Some(ids[0]), None));
        queue.hold(ids[0]);
        assert_eq!(queue.next(8), Some(ids[2]), "the stuck one may never be free");
        queue.release(ids[2]);
        queue.release(ids[0]);
        queue.push(ids[3], JobClass::RootDrive, vec![volume("b")]);
        assert_eq!((queue.next(8), queue.next(8)), (Some(ids[1]), None));
    }

    #[test]
    fn backups_run_one_at_a_time_per_drive() {
        let backup = |name: &str, drive: &str| {
            let drive = AboutDrive { id: DriveId(drive.to_owned()), label: String::new(), kind: Default::default() };
            About { backup: Some(name.to_owned()), ..About::on_drive(JobKind::Backup, drive) }
        };
        let jobs = [("home", "blue"), ("etc", "blue"), ("home", "red"), ("srv", "red")];
        let mut queue = Queue::default();
        let ids = jobs.map(|(name, drive)| {
            let id = Uuid::new_v4();
            let about = backup(name, drive);
            queue.push(id, JobClass::of_drive(0), about.places());
            id
        });
        assert_eq!((queue.next(8), queue.next(8), queue.next(8)), (Some(ids[0]), Some(ids[2]), None));
        queue.release(ids[0]);
        assert_eq!((queue.next(8), queue.next(8)), (Some(ids[1]), None));
        queue.release(ids[2]);
        assert_eq!(queue.next(8), Some(ids[3]));
    }
}
