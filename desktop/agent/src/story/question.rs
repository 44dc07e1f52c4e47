//! Whether a new drive is to be used for backups.

use butterdock_dbus::{DriveProperties, DriveState};

use super::{Action, Key, Output, Story, Topic};

/// What a drive is remembered by, for a person who never wants to be asked: what stays the same on another port and machine. `None`
/// if it has nothing of that kind.
fn identity(drive: &DriveProperties) -> Option<&str> {
    [&drive.filesystem_uuid, &drive.serial].into_iter().map(String::as_str).find(|known| !known.is_empty())
}

/// Whether a drive can be used for backups, as it is or after it is erased: it has btrfs, or nothing. What else is on a drive is
/// wanted for something else.
fn is_usable(drive: &DriveProperties) -> bool {
    let has_nothing = drive.filesystem_type.is_empty() && !drive.encrypted && !drive.mounted_by_others;
    !drive.enrolled
        && drive.state == DriveState::Present
        && drive.problems.is_empty()
        && (drive.filesystem_type == "btrfs" || has_nothing)
}

impl Story {
    /// Asks about a drive that was plugged in, until it is enrolled, answered or gone.
    pub(super) fn look_at_question(&mut self, path: &str, drive: &DriveProperties, out: &mut Vec<Output>) {
        let key = Key::Question(path.to_owned());
        let identity = identity(drive);
        let asks = self.drives.get(path).is_some_and(|memory| memory.asks);
        let is_refused = identity.is_some_and(|identity| self.settings.never.contains(identity));
        if asks && !is_refused && is_usable(drive) {
            if let Some(memory) = self.drives.get_mut(path) {
                memory.identity = identity.map(str::to_owned);
            }
            let message = self.wording.question(key, path, drive, identity.is_some());
            self.show(Topic::Question, message, out);
        } else {
            self.close(&key, out);
        }
    }

    /// A person has answered; whether the action is such an answer.
    pub(crate) fn answer(&mut self, action: &Action) -> bool {
        let (Action::NotNow { drive } | Action::Never { drive }) = action else { return false };
        if let Some(memory) = self.drives.get_mut(drive) {
            memory.asks = false;
            if let (Action::Never { .. }, Some(identity)) = (action, memory.identity.take()) {
                self.settings.never.insert(identity);
            }
        }
        true
    }
}
