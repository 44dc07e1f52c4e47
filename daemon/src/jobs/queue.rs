//! What runs next: one writer for each volume, volumes beside each other up to a bound, in the order of asking.

use std::collections::{HashMap, HashSet, VecDeque};

use uuid::Uuid;

use crate::config::VolumeName;

/// The jobs that are not over.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Uuid, VolumeName)>,
    running: HashMap<VolumeName, Uuid>,
    /// Running jobs whose stream has said nothing for long.
    resting: HashSet<Uuid>,
    /// Volumes whose worker should be gone and is not: the kernel holds it.
    stuck: HashMap<VolumeName, Uuid>,
}

impl Queue {
    /// A job waits for its turn.
    pub(super) fn push(&mut self, id: Uuid, volume: VolumeName) {
        self.waiting.push_back((id, volume));
    }

    /// The next job whose turn it is, when at most `max` may run; its volume is taken from now on. Jobs that rest do not
    /// count: a stream that says nothing holds up its own volume and no other. When they go on, more than `max` run; there
    /// are never more than volumes.
    pub(super) fn next(&mut self, max: usize) -> Option<Uuid> {
        if self.running.len().saturating_sub(self.resting.len()) >= max {
            return None;
        }
        let free =
            |(_, volume): &(Uuid, VolumeName)| !self.running.contains_key(volume) && !self.stuck.contains_key(volume);
        let at = self.waiting.iter().position(free)?;
        let (id, volume) = self.waiting.remove(at)?;
        self.running.insert(volume, id);
        Some(id)
    }

    /// A running job's stream says nothing.
    pub(super) fn rest(&mut self, id: Uuid) {
        if self.running.values().any(|running| *running == id) {
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
        self.running.retain(|_, running| *running != id);
        self.stuck.retain(|_, stuck| *stuck != id);
    }

    /// A running job is over and its worker not gone: others may run, but not on its volume.
    pub(super) fn hold(&mut self, id: Uuid) {
        self.resting.remove(&id);
        let volume = self.running.iter().find(|(_, running)| **running == id).map(|(volume, _)| volume.clone());
        if let Some(volume) = volume {
            self.running.remove(&volume);
            self.stuck.insert(volume, id);
        }
    }

    /// Whether nothing works on this volume.
    pub(super) fn is_idle(&self, volume: &VolumeName) -> bool {
        !self.running.contains_key(volume) && !self.is_stuck(volume)
    }

    /// Whether a worker that should be gone still writes to this volume.
    pub(super) fn is_stuck(&self, volume: &VolumeName) -> bool {
        self.stuck.contains_key(volume)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str) -> VolumeName {
        VolumeName::try_from(name.to_owned()).expect("a name")
    }

    fn queue(volumes: &[&str]) -> (Queue, Vec<Uuid>) {
        let mut queue = Queue::default();
        let ids: Vec<Uuid> = volumes.iter().map(|_| Uuid::new_v4()).collect();
        for (id, name) in ids.iter().zip(volumes) {
            queue.push(*id, volume(name));
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
}
