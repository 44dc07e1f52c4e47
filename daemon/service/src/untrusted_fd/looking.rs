//! Threads that examine descriptors, and may block for ever.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::QuarantinedFd;

/// So many threads may look at descriptors of one user at the same time.
const MOST: usize = 4;
/// Timeout for an examination.
const TURN: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Lost {
    /// Too many of the user's descriptors are being looked at, and do not answer.
    Busy,
    /// It does not answer.
    Silent,
    /// There is no thread or no descriptor left.
    System(io::Error),
}

/// Runs a closure with a quarantined descriptor of this user on a dedicated thread, and quarantines it again.
///
/// # Errors
/// See [`Lost`]; whatever it was, the descriptor is gone.
pub(crate) async fn borrow<T, F>(
    quarantined: QuarantinedFd,
    uid: u32,
    patience: Duration,
    look: F,
) -> Result<(QuarantinedFd, T), Lost>
where
    T: Send + 'static,
    F: FnOnce(BorrowedFd<'_>) -> T + Send + 'static,
{
    // It is never closed.
    let Ok(Ok(place)) = timeout(TURN, places(uid).acquire_owned()).await else { return Err(Lost::Busy) };
    let (answer, answered) = oneshot::channel();
    let work = move || {
        let looked = quarantined.open().and_then(|(descriptor, share)| {
            let found = look(descriptor.as_fd());
            QuarantinedFd::new(descriptor, share).map(|quarantined| (quarantined, found))
        });
        drop(place);
        // The caller may no longer wait.
        drop(answer.send(looked));
    };
    Builder::new().name("looks".to_owned()).spawn(work).map_err(Lost::System)?;
    match timeout(patience, answered).await {
        Ok(Ok(looked)) => looked.map_err(Lost::System),
        // A thread that has panicked has no answer either.
        Ok(Err(_)) | Err(_) => Err(Lost::Silent),
    }
}

/// The places of each user who ever passed a descriptor: users are few.
static PLACES: Mutex<BTreeMap<u32, Arc<Semaphore>>> = Mutex::new(BTreeMap::new());

fn places(uid: u32) -> Arc<Semaphore> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(places.entry(uid).or_insert_with(|| Arc::new(Semaphore::new(MOST))))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    fn quarantined() -> QuarantinedFd {
        QuarantinedFd::new(std::fs::File::open("/dev/null").expect("null").into(), None).expect("parked")
    }

    #[tokio::test]
    async fn blocking_descriptors_are_limited_per_user() {
        let (wake, sleeping) = mpsc::channel::<()>();
        let sleeping = Arc::new(Mutex::new(sleeping));
        for _ in 0..MOST {
            let sleeping = Arc::clone(&sleeping);
            let lost =
                borrow(quarantined(), 7001, SHORT, move |_| sleeping.lock().expect("whole").recv().is_err()).await;
            assert!(matches!(lost, Err(Lost::Silent)), "{lost:?}");
        }
        let lost = borrow(quarantined(), 7001, LONG, |_| ()).await;
        assert!(matches!(lost, Err(Lost::Busy)), "{lost:?}");
        assert!(borrow(quarantined(), 7002, LONG, |_| ()).await.is_ok());
        drop(wake);
        while borrow(quarantined(), 7001, LONG, |_| ()).await.is_err() {}
    }
}
