//! The configured backups as a front end shows them: each with a channel that follows its state, and closes when the
//! configuration has it no more.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::types::BackupProperties;

/// The backups, in the order of the configuration.
#[derive(Debug, Default)]
pub(crate) struct BackupList {
    all: Mutex<Vec<watch::Sender<BackupProperties>>>,
    /// Changes when the list has other backups.
    changed: watch::Sender<()>,
}

impl BackupList {
    /// The backups; the channel of each closes when it is not configured any more.
    pub(crate) fn channels(&self) -> Vec<watch::Receiver<BackupProperties>> {
        self.lock().iter().map(watch::Sender::subscribe).collect()
    }

    /// Changes whenever [`Self::channels`] has others.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Takes in the configured backups with their states now.
    pub(crate) fn update(&self, now: Vec<BackupProperties>) {
        let mut all = self.lock();
        let mut known = std::mem::take(&mut *all);
        let mut is_new = false;
        for backup in now {
            let channel = match known.iter().position(|channel| channel.borrow().name == backup.name) {
                Some(at) => known.swap_remove(at),
                None => {
                    is_new = true;
                    watch::Sender::new(backup.clone())
                }
            };
            channel.send_if_modified(|before| {
                let is_other = *before != backup;
                if is_other {
                    *before = backup;
                }
                is_other
            });
            all.push(channel);
        }
        drop(all);
        if is_new || !known.is_empty() {
            // The channels of the removed ones close before a follower looks.
            drop(known);
            self.changed.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<watch::Sender<BackupProperties>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backups(names: &[&str]) -> Vec<BackupProperties> {
        let backup = |name: &&str| BackupProperties { name: (*name).to_owned(), ..BackupProperties::default() };
        names.iter().map(backup).collect()
    }

    #[test]
    fn a_removed_backup_closes_its_channel_and_others_stay() {
        let list = BackupList::default();
        list.update(backups(&["home", "etc"]));
        let [mut home, etc] = [0, 1].map(|at: usize| list.lock()[at].subscribe());
        let mut changed = list.changed();
        let due = BackupProperties { due: true, ..backups(&["home"]).remove(0) };
        list.update(vec![due]);
        assert!(changed.has_changed().expect("open"), "one is gone");
        changed.mark_unchanged();
        assert!(etc.has_changed().is_err() && home.has_changed().expect("open") && home.borrow_and_update().due);
        list.update(vec![BackupProperties { due: true, ..backups(&["home"]).remove(0) }]);
        assert!(!home.has_changed().expect("open") && !changed.has_changed().expect("open"), "nothing is new");
        list.update(backups(&["etc", "home"]));
        assert!(changed.has_changed().expect("open") && etc.has_changed().is_err(), "a new one has a new channel");
        changed.mark_unchanged();
        let names: Vec<String> = list.lock().iter().map(|channel| channel.borrow().name.clone()).collect();
        assert_eq!(names, ["etc", "home"]);
    }
}
