//! Which job may prune beside a source.
//!
//! Backups of one source to several drives run at the same time, and each job makes a snapshot beside the same source.
//! Which of these snapshots a drive needs is known for certain only while no job is between reading the pins and
//! recording its own. In between, a snapshot that another drive needs can look unused: a snapshot that was just
//! shared, one whose job has just ended, the parent of one that is being sent, or the shared snapshot of an unchanged
//! source. Locks of the worker end too early, and lists of what other jobs have reported are never complete.
//!
//! So every job holds the source shared from before it reads the pins until after it has recorded its own, and deletes
//! nothing beside it. The last job to finish takes the source exclusively, reads the pins again, which are complete
//! then, and prunes; a job that starts meanwhile waits. If jobs overlap without end, snapshots are kept longer, and
//! none is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The sources of all backups, by the backups' names. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct PruneLocks(Arc<Mutex<HashMap<String, Arc<RwLock<()>>>>>);

/// A job's share of a source.
#[derive(Debug)]
pub struct Share {
    source: Arc<RwLock<()>>,
    held: OwnedRwLockReadGuard<()>,
}

/// Exclusive use of the source while this value lives.
#[derive(Debug)]
pub struct Exclusive(#[expect(dead_code, reason = "held until dropped")] OwnedRwLockWriteGuard<()>);

impl PruneLocks {
    /// Takes the source of a backup shared; waits while another job prunes.
    pub async fn join(&self, backup: &str) -> Share {
        let source = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(backup.to_owned()).or_default())
        };
        let held = Arc::clone(&source).read_owned().await;
        Share { source, held }
    }
}

impl Share {
    /// Gives it up; the last one to do so gets the source alone.
    pub fn release(self) -> Option<Exclusive> {
        let Self { source, held } = self;
        drop(held);
        source.try_write_owned().ok().map(Exclusive)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn the_last_job_prunes_alone_and_new_jobs_wait() {
        let prune_locks = PruneLocks::default();
        let (blue, red) = (prune_locks.join("home").await, prune_locks.clone().join("home").await);
        let other = prune_locks.join("etc").await;
        assert!(blue.release().is_none(), "the other drive's job is not done");
        let alone = red.release().expect("the last");
        assert!(other.release().is_some(), "another source is another matter");
        let mut next = pin!(prune_locks.join("home"));
        let waits = std::future::poll_fn(|task| Poll::Ready(next.as_mut().poll(task).is_pending()));
        assert!(waits.await, "begun while the source is pruned");
        drop(alone);
        assert!(next.await.release().is_some());
    }
}
