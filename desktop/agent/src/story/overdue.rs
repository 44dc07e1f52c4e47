//! Backups: overdue ones, and problems that do not depend on a destination.

use butterdock_dbus::BackupProperties;

use butterdock_desktop::objects::Objects;

use super::problem::Subject;
use super::{Key, Now, Output, Story, Topic};

/// How often an overdue backup is shown at most, in microseconds.
const DAY: u64 = 24 * 3600 * 1_000_000;

impl Story {
    pub(super) fn look_at_backups(&mut self, objects: &Objects, now: Now, out: &mut Vec<Output>) {
        for (path, backup) in &objects.backups {
            let problems = backup.problems.iter().filter(|problem| problem.params.destination.is_none()).collect();
            let subject = Subject { path, name: &backup.name, drive: None, problems, is_there: true };
            self.show_or_close(&Key::Backup(path.clone()), &subject, out);
            self.look_at_overdue(path, backup, objects, now, out);
        }
        let gone = |key: &&Key| match key {
            Key::Backup(path) | Key::Overdue(path) => !objects.backups.contains_key(path),
            Key::Drive(_) | Key::Destination(_) | Key::Question(_) | Key::Answer(_) => false,
        };
        let gone: Vec<_> = self.shown.keys().filter(gone).cloned().collect();
        gone.iter().for_each(|key| self.close(key, out));
        self.settings.overdue.retain(|path, _| objects.backups.contains_key(path));
    }

    fn look_at_overdue(
        &mut self,
        path: &str,
        backup: &BackupProperties,
        objects: &Objects,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let key = Key::Overdue(path.to_owned());
        if !backup.overdue || !backup.enabled {
            self.close(&key, out);
            return;
        }
        let last = self.settings.overdue.get(path).copied().unwrap_or_default();
        // A clock that was set back must not silence it for good.
        if last <= now.wall && now.wall.saturating_sub(last) < DAY {
            return;
        }
        self.settings.overdue.insert(path.to_owned(), now.wall);
        self.shown.remove(&key);
        let message = self.wording.overdue(key, path, backup, objects, now.wall);
        self.show(Topic::Overdue, message, out);
    }
}
