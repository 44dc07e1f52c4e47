//! The order in which events are sent.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::event::{Event, Kind};

/// Which backups are under way, and what waits for their ends.
///
/// A job has ended only when its drive was let go, so the desk tells of the end after the dock has told that the drive is
/// safe. For who looks at a light it is the other way round.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    /// By the drive's id.
    running: BTreeMap<String, Running>,
}

#[derive(Debug)]
struct Running {
    job: Option<Uuid>,
    /// The event `safe`, if it has arrived already.
    safe: Option<Event>,
}

impl Sequence {
    /// Takes an event, and returns the events to send now.
    pub(super) fn take(&mut self, event: Event) -> Vec<Event> {
        match event.kind {
            Kind::BackupStarted => {
                self.running.insert(event.drive.clone(), Running { job: event.job, safe: None });
                vec![event]
            }
            Kind::BackupDone | Kind::BackupFailed | Kind::BackupCancelled | Kind::Full => {
                // A backup that never started ends no other.
                let its = self.running.get(&event.drive).is_some_and(|running| running.job == event.job);
                let ended = its.then(|| self.running.remove(&event.drive)).flatten();
                [event].into_iter().chain(ended.and_then(|running| running.safe)).collect()
            }
            Kind::Safe => match self.running.get_mut(&event.drive) {
                Some(running) => {
                    running.safe = Some(event);
                    Vec::new()
                }
                None => vec![event],
            },
            Kind::Recognised | Kind::Unknown | Kind::Refused | Kind::Pulled => vec![event],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_safe_event_follows_the_end_of_the_backup() {
        let mut sequence = Sequence::default();
        let mut of = |job: u128, kind, drive| {
            let job = Some(Uuid::from_u128(job)).filter(|job| !job.is_nil());
            let told = sequence.take(Event { job, ..Event::of(kind, drive, "") });
            told.iter().map(|event| event.kind).collect::<Vec<_>>()
        };
        assert_eq!(of(0, Kind::Safe, "a"), [Kind::Safe]);
        assert_eq!(of(1, Kind::BackupStarted, "a"), [Kind::BackupStarted]);
        assert_eq!(of(0, Kind::Safe, "b"), [Kind::Safe]);
        assert_eq!(of(0, Kind::Safe, "a"), []);
        assert_eq!(of(2, Kind::BackupCancelled, "a"), [Kind::BackupCancelled], "it never began");
        assert_eq!(of(1, Kind::BackupDone, "a"), [Kind::BackupDone, Kind::Safe]);
        assert_eq!(of(0, Kind::Safe, "a"), [Kind::Safe]);
    }
}
