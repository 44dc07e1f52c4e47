//! Counts the descriptors of each user that the service holds: in current calls, in queued jobs, and until they are
//! closed, which a filesystem in user space can delay without limit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::resource::{Resource, getrlimit};

/// One descriptor of a user. It counts until the last clone is dropped: each copy of the descriptor holds one until the copy is
/// closed. Descriptors of root do not count.
#[derive(Debug, Clone)]
pub struct FdCount(#[expect(dead_code, reason = "its drop is what matters")] Arc<Counted>);

#[derive(Debug)]
struct Counted {
    uid: u32,
}

impl FdCount {
    /// None if the user, or all users together, have reached the limit.
    pub fn take(uid: u32) -> Option<Self> {
        if uid == 0 {
            return Some(Self(Arc::new(Counted { uid })));
        }
        let (each, all) = most(open_files());
        let mut held = lock();
        let count = held.get(&uid).copied().unwrap_or(0);
        if count >= each || held.values().sum::<usize>() >= all {
            return None;
        }
        held.insert(uid, count.saturating_add(1));
        Some(Self(Arc::new(Counted { uid })))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut held = lock();
        if let Some(count) = held.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.remove(&self.uid);
            }
        }
    }
}

/// The limits for one user and for all users, from the limit of the process. Each descriptor may need a second one while it is
/// used, and root, jobs and drives need some too.
fn most(limit: usize) -> (usize, usize) {
    let count = |part: usize, most: usize| limit.checked_div(part).unwrap_or(0).clamp(1, most);
    (count(8, 512), count(4, 4096))
}

/// Read each time, because another process may change it (prlimit(2)).
fn open_files() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Only users who hold some.
static HELD: Mutex<BTreeMap<u32, usize>> = Mutex::new(BTreeMap::new());

fn lock() -> MutexGuard<'static, BTreeMap<u32, usize>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_is_limited_and_root_is_not() {
        let (each, _) = most(open_files());
        let held: Vec<_> = std::iter::from_fn(|| FdCount::take(7101)).take(100_000).collect();
        assert_eq!(held.len(), each);
        assert!(FdCount::take(7102).is_some() && FdCount::take(0).is_some());
        drop(held);
        assert!(FdCount::take(7101).is_some());
        assert!(!lock().contains_key(&7101) && !lock().contains_key(&0));
    }

    #[test]
    fn a_descriptor_counts_until_its_last_copy_is_closed() {
        let count = FdCount::take(7103).expect("the first");
        let copy = count.clone();
        drop(count);
        assert_eq!(lock().get(&7103), Some(&1));
        drop(copy);
        assert!(!lock().contains_key(&7103));
    }

    #[test]
    fn users_get_a_quarter_of_the_descriptors() {
        assert_eq!(most(1024), (128, 256));
        assert_eq!(most(0), (1, 1));
        assert_eq!(most(524_288), (512, 4096));
    }
}
