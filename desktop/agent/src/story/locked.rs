//! A drive that waits for its passphrase.
//!
//! That it is locked is its state and no problem of the service: the service does not know whether a person wants to use it.

use std::time::Duration;

use butterdock_dbus::{DriveProperties, DriveState, Problem, ProblemParams};

use super::problem::{Subject, action};
use super::{Action, Key, Now, Output, Story, Topic};

/// The service unlocks a drive within this time if it has a key: deriving it takes seconds.
const BY_KEY: Duration = Duration::from_secs(5);

impl Subject<'_> {
    /// Whether a problem of the drive is that it could not be unlocked.
    pub(super) fn asks_to_unlock(&self) -> bool {
        self.problems.iter().any(|problem| matches!(action(self, problem), Some(Action::Unlock { .. })))
    }
}

impl Story {
    /// Shows that the drive is locked, with a button that asks for its passphrase; whether that is so.
    pub(super) fn show_locked(
        &mut self,
        key: &Key,
        path: &str,
        drive: &DriveProperties,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(memory) = self.drives.get_mut(path) else { return false };
        if !drive.enrolled || drive.state != DriveState::Locked {
            memory.locked_since = None;
            return false;
        }
        let since = *memory.locked_since.get_or_insert_with(|| {
            out.push(Output::LookAgain(BY_KEY));
            now.monotonic
        });
        if now.monotonic.saturating_sub(since) < BY_KEY {
            return false;
        }
        let english = String::new();
        let locked = Problem { code: "drive-locked".to_owned(), params: ProblemParams::default(), english };
        let subject = Subject { path, name: "", drive: Some(drive), problems: vec![&locked], is_there: true };
        let message = self.wording.problem(key.clone(), &memory.title, &subject, &locked);
        self.show(Topic::Locked, message, out);
        true
    }
}
