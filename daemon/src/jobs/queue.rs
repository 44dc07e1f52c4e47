//! What runs next: one writer for each volume, volumes beside each other up to a bound, in the order of asking.

use std::collections::{HashMap, VecDeque};

use uuid::Uuid;

use crate::config::VolumeName;

/// The jobs that are not over.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Uuid, VolumeName)>,
    running: HashMap<VolumeName, Uuid>,
    /// Volumes whose worker should be gone and is not: the kernel holds it.
    stuck: HashMap<VolumeName, Uuid>,
}

impl Queue {
    /// A job waits for its turn.
    pub(super) fn push(&mut self, id: Uuid, volume: VolumeName) {
        self.waiting.push_back((id, volume));
    }

    /// The next job whose turn it is, when at most `max` may run; its volume is taken from now on.
    pub(super) fn next(&mut self, max: usize) -> Option<Uuid> {
        if self.running.len() >= max {
            return None;
        }
        let free =
            |(_, volume): &(Uuid, VolumeName)| !self.running.contains_key(volume) && !self.stuck.contains_key(volume);
        let at = self.waiting.iter().position(free)?;
        let (id, volume) = self.waiting.remove(at)?;
        self.running.insert(volume, id);
        Some(id)
    }

    /// Takes a job out that waits; false when it does not.
    pub(super) fn withdraw(&mut self, id: Uuid) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != id);
        self.waiting.len() != before
    }

    /// A running job is over and its worker gone.
    pub(super) fn release(&mut self, id: Uuid) {
        self.running.retain(|_, running| *running != id);
        self.stuck.retain(|_, stuck| *stuck != id);
    }

    /// A running job is over and its worker not gone: others may run, but not on its volume.
    pub(super) fn hold(&mut self, id: Uuid) {
        let volume = self.running.iter().find(|(_, running)| **running == id).map(|(volume, _)| volume.clone());
        if let Some(volume) = volume {
            self.running.remove(&volume);
            self.stuck.insert(volume, id);
        }
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
