//! What runs next: one writer for each place, jobs beside each other up to a bound, in the order of asking.

use std::collections::{HashMap, HashSet, VecDeque};

use uuid::Uuid;

use crate::config::VolumeName;
use crate::drives::DriveId;

/// Where only one job works at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Volume(VolumeName),
    Drive(DriveId),
}

/// The jobs that are not over.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Uuid, Vec<Place>)>,
    running: HashMap<Uuid, Vec<Place>>,
    /// Running jobs whose stream has said nothing for long.
    resting: HashSet<Uuid>,
    /// What workers hold that should be gone and are not: the kernel holds them.
    stuck: HashMap<Uuid, Vec<Place>>,
}

impl Queue {
    /// Whether any job has its turn.
    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// A job waits for its turn.
    pub(super) fn push(&mut self, id: Uuid, places: Vec<Place>) {
        self.waiting.push_back((id, places));
    }

    /// The next job whose turn it is, when at most `max` may run; its places are taken from now on. Jobs that rest do not
    /// count: a stream that says nothing holds up its own places and no other. When they go on, more than `max` run.
    ///
    /// A job that needs two places is not overtaken at either, or it might wait for ever; unless one of them is stuck.
    pub(super) fn next(&mut self, max: usize) -> Option<Uuid> {
        if self.running.len().saturating_sub(self.resting.len()) >= max {
            return None;
        }
        let at = self.first_free()?;
        let (id, places) = self.waiting.remove(at)?;
        self.running.insert(id, places);
        Some(id)
    }

    fn first_free(&self) -> Option<usize> {
        let mut taken: HashSet<&Place> = self.running.values().chain(self.stuck.values()).flatten().collect();
        for (at, (_, places)) in self.waiting.iter().enumerate() {
            if places.iter().all(|place| !taken.contains(place)) {
                return Some(at);
            }
            if !places.iter().any(|place| self.is_stuck(place)) {
                taken.extend(places);
            }
        }
        None
    }

    /// A running job's stream says nothing.
    pub(super) fn rest(&mut self, id: Uuid) {
        if self.running.contains_key(&id) {
            self.resting.insert(id);
        }
    }

    /// Its stream goes on.
    pub(super) fn wake(&mut self, id: Uuid) {
        self.resting.remove(&id);
    }

    /// Takes a job out that waits; false when it does not.
    pub(super) fn withdraw(&mut self, id: Uuid) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != id);
        self.waiting.len() != before
    }

    /// A running job is over and its worker gone.
    pub(super) fn release(&mut self, id: Uuid) {
        self.resting.remove(&id);
        self.running.remove(&id);
        self.stuck.remove(&id);
    }

    /// A running job is over and its worker not gone: others may run, but not where it is.
    pub(super) fn hold(&mut self, id: Uuid) {
        self.resting.remove(&id);
        if let Some(places) = self.running.remove(&id) {
            self.stuck.insert(id, places);
        }
    }

    /// Whether nothing works there.
    pub(super) fn is_idle(&self, place: &Place) -> bool {
        !self.running.values().flatten().any(|taken| taken == place) && !self.is_stuck(place)
    }

    /// Whether a job waits for its turn there.
    pub(super) fn is_awaited(&self, place: &Place) -> bool {
        self.waiting.iter().any(|(_, places)| places.contains(place))
    }

    /// Whether a worker that should be gone is still there.
    pub(super) fn is_stuck(&self, place: &Place) -> bool {
        self.stuck.values().flatten().any(|held| held == place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str) -> Place {
        Place::Volume(VolumeName::try_from(name.to_owned()).expect("a name"))
    }

    fn queue(volumes: &[&str]) -> (Queue, Vec<Uuid>) {
        let mut queue = Queue::default();
        let ids: Vec<Uuid> = volumes.iter().map(|_| Uuid::new_v4()).collect();
        for (id, name) in ids.iter().zip(volumes) {
            queue.push(*id, vec![volume(name)]);
        }
        (queue, ids)
    }

    #[test]
    fn a_volume_has_one_writer_and_others_go_on_beside_it() {
        let (mut queue, ids) = queue(&["a", "a", "b"]);
        assert_eq!(queue.next(8), Some(ids[0]));
        assert_eq!(queue.next(8), Some(ids[2]));
        assert_eq!(queue.next(8), None);
        queue.release(ids[0]);
        assert_eq!(queue.next(8), Some(ids[1]));
    }

    #[test]
    fn no_more_run_than_may() {
        let (mut queue, ids) = queue(&["a", "b"]);
        assert_eq!(queue.next(1), Some(ids[0]));
        assert_eq!(queue.next(1), None);
    }

    #[test]
    fn streams_that_say_nothing_hold_up_their_own_volumes_and_no_other() {
        let (mut queue, ids) = queue(&["a", "b", "a", "c", "d"]);
        assert_eq!((queue.next(2), queue.next(2), queue.next(2)), (Some(ids[0]), Some(ids[1]), None));
        queue.rest(ids[0]);
        assert_eq!((queue.next(2), queue.next(2)), (Some(ids[3]), None));
        queue.rest(ids[1]);
        queue.wake(ids[1]);
        assert_eq!(queue.next(2), None, "one that goes on counts again");
        queue.release(ids[3]);
        queue.wake(ids[0]);
        assert_eq!(queue.next(2), None);
        queue.release(ids[0]);
        assert_eq!(queue.next(2), Some(ids[2]));
        queue.rest(ids[4]);
        assert_eq!(queue.next(2), None, "one that does not run does not rest");
        assert!(!queue.is_idle(&volume("a")) && queue.is_idle(&volume("d")));
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
    fn a_job_that_needs_two_places_is_not_overtaken_unless_one_of_them_is_stuck() {
        let mut queue = Queue::default();
        let ids: Vec<Uuid> = (0..4).map(|_| Uuid::new_v4()).collect();
        queue.push(ids[0], vec![volume("a")]);
        queue.push(ids[1], vec![volume("a"), volume("b")]);
        queue.push(ids[2], vec![volume("b")]);
        assert_eq!((queue.next(8), queue.next(8)), (Some(ids[0]), None));
        queue.hold(ids[0]);
        assert_eq!(queue.next(8), Some(ids[2]), "nobody knows when the stuck one is free");
        queue.release(ids[2]);
        queue.release(ids[0]);
        queue.push(ids[3], vec![volume("b")]);
        assert_eq!((queue.next(8), queue.next(8)), (Some(ids[1]), None));
    }
}
