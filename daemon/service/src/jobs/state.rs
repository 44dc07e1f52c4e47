//! The allowed state transitions of a job.

use crate::types::{JobResult, JobState};

/// What happens to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// It starts.
    Begins,
    /// A subvolume has come whole and is made durable.
    Flushes,
    /// Another subvolume follows in the same stream.
    GoesOn,
    /// It is over.
    Ends(JobResult),
}

/// Where the job stands after the event; none where the event cannot happen there. A job that is over stays so: this is
/// what makes its end be told once.
pub(super) fn after(state: &JobState, event: &Event) -> Option<JobState> {
    use JobState::{Cancelled, Failed, Flushing, Queued, Running, Succeeded};
    match (state, event) {
        (Queued, Event::Begins) | (Flushing, Event::GoesOn) => Some(Running),
        (Running, Event::Flushes) => Some(Flushing),
        // Only what was made durable has succeeded.
        (Flushing, Event::Ends(JobResult::Succeeded)) => Some(Succeeded),
        (Queued | Running | Flushing, Event::Ends(JobResult::Failed)) => Some(Failed),
        (Queued | Running | Flushing, Event::Ends(JobResult::Cancelled)) => Some(Cancelled),
        (Queued, Event::Flushes | Event::GoesOn | Event::Ends(JobResult::Succeeded))
        | (Running, Event::Begins | Event::GoesOn | Event::Ends(JobResult::Succeeded))
        | (Flushing, Event::Begins | Event::Flushes)
        | (Succeeded | Failed | Cancelled, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::JobState::{Cancelled, Failed, Flushing, Queued, Running, Succeeded};

    #[test]
    fn every_state_transition_matches_the_table() {
        let events = [
            Event::Begins,
            Event::Flushes,
            Event::GoesOn,
            Event::Ends(JobResult::Succeeded),
            Event::Ends(JobResult::Failed),
            Event::Ends(JobResult::Cancelled),
        ];
        let table = [
            (Queued, [Some(Running), None, None, None, Some(Failed), Some(Cancelled)]),
            (Running, [None, Some(Flushing), None, None, Some(Failed), Some(Cancelled)]),
            (Flushing, [None, None, Some(Running), Some(Succeeded), Some(Failed), Some(Cancelled)]),
            (Succeeded, [None, None, None, None, None, None]),
            (Failed, [None, None, None, None, None, None]),
            (Cancelled, [None, None, None, None, None, None]),
        ];
        for (state, row) in table {
            for (event, expected) in events.iter().zip(row) {
                assert_eq!(after(&state, event), expected, "{state} {event:?}");
            }
        }
    }
}
