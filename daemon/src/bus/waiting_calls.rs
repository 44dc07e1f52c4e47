//! How many calls wait for polkit or a password, in all and for each user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use butterdock_dbus::{Error, ErrorName};

/// Limit of calls of one user that wait for polkit or a password.
const WAITING: usize = 16;
/// Limit for all users. The bus refuses a call of the service while 128 have no answer (`max_replies_per_connection`).
const WAITING_IN_ALL: usize = 64;

/// A place among the waiting calls, until it is dropped.
#[derive(Debug)]
pub(super) struct WaitingCall {
    waiting: Arc<Mutex<HashMap<u32, usize>>>,
    uid: u32,
}

impl WaitingCall {
    pub(super) fn take(waiting: &Arc<Mutex<HashMap<u32, usize>>>, uid: u32) -> Result<Self, Error> {
        let mut counts = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&uid).copied().unwrap_or(0);
        if count >= WAITING {
            let text = format!(
                "{WAITING} of your calls wait for polkit, which is the limit; wait for some answers, \
                                then call again"
            );
            return Err(Error::new(ErrorName::Busy, text));
        }
        if counts.values().sum::<usize>() >= WAITING_IN_ALL {
            let text = "too many calls of all users wait for polkit, which does not answer; try again later, or run \
                        it as root";
            return Err(Error::new(ErrorName::Busy, text));
        }
        counts.insert(uid, count.saturating_add(1));
        Ok(Self { waiting: Arc::clone(waiting), uid })
    }
}

impl Drop for WaitingCall {
    fn drop(&mut self) {
        let mut counts = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.uid) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_calls_are_limited_per_user() {
        let waiting = Arc::default();
        let places: Vec<WaitingCall> = (0..WAITING).map(|_| WaitingCall::take(&waiting, 1).expect("a place")).collect();
        assert!(WaitingCall::take(&waiting, 1).is_err());
        assert!(WaitingCall::take(&waiting, 2).is_ok());
        drop(places);
        assert!(waiting.lock().expect("whole").is_empty());
    }

    #[test]
    fn all_waiting_calls_stay_below_the_limit_of_the_bus() {
        let waiting = Arc::default();
        let places: Vec<WaitingCall> = (0..1000).filter_map(|uid| WaitingCall::take(&waiting, uid).ok()).collect();
        assert_eq!(places.len(), WAITING_IN_ALL);
        // `max_replies_per_connection` of system.conf.
        assert!(places.len() < 128);
    }
}
