//! The limit of threads that block for one owner.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinHandle, unconstrained};
use tokio::time::{Instant, timeout, timeout_at};

use super::Unanswered;

/// The calls that may block for one owner, such as a drive: some at the same time, each on a thread of its own. The others
/// wait in the order of asking, without a thread. Clones are the same queue.
#[derive(Debug, Clone)]
pub(crate) struct BlockingQueue {
    name: &'static str,
    free: Arc<Semaphore>,
}

/// The right to block, until it is dropped or its thread has ended.
#[derive(Debug)]
pub(crate) struct Turn {
    name: &'static str,
    _permit: OwnedSemaphorePermit,
}

impl BlockingQueue {
    /// A queue with `limit` threads of this name, of up to 15 bytes.
    pub(crate) fn new(name: &'static str, limit: usize) -> Self {
        Self { name, free: Arc::new(Semaphore::new(limit)) }
    }

    /// Waits for a turn up to `limit`; a turn that is free is given without a wait.
    ///
    /// # Errors
    /// [`Unanswered::Busy`].
    pub(crate) async fn turn(&self, limit: Duration) -> Result<Turn, Unanswered> {
        timeout(limit, self.wait()).await.unwrap_or(Err(Unanswered::Busy))
    }

    /// Waits up to `limit` for the turn and the end of `work`. After that the thread keeps its turn until `work` returns.
    ///
    /// # Errors
    /// No turn, no answer or no thread.
    pub(crate) async fn run<T, F>(&self, limit: Duration, work: F) -> Result<T, Unanswered>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let until = Instant::now() + limit;
        let turn = self.turn(limit).await?;
        timeout_at(until, turn.run(work)).await.unwrap_or(Err(Unanswered::Silent))
    }

    /// Waits for the turn and the end of `work` however long they take: for an operation whose caller has a timeout.
    ///
    /// # Errors
    /// No thread, or `work` panicked.
    pub(crate) async fn run_to_end<T, F>(&self, work: F) -> Result<T, Unanswered>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.wait().await?.run(work).await
    }

    /// Takes a place in the queue now, before all later calls, and does `work` without a caller that waits.
    pub(crate) fn spawn<F>(&self, work: F) -> JoinHandle<Result<(), Unanswered>>
    where
        F: FnOnce() + Send + 'static,
    {
        let queue = self.clone();
        let mut waiting = Box::pin(unconstrained(async move { queue.wait().await }));
        // The first poll takes the place.
        let first = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        tokio::spawn(async move {
            let turn = match first {
                Poll::Ready(turn) => turn?,
                Poll::Pending => waiting.await?,
            };
            turn.run(work).await
        })
    }

    async fn wait(&self) -> Result<Turn, Unanswered> {
        // It is never closed.
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_closed| Unanswered::Busy)?;
        Ok(Turn { name: self.name, _permit: permit })
    }
}

impl Turn {
    /// Does `work` on a thread of its own and waits for its end.
    ///
    /// # Errors
    /// No thread, or `work` panicked.
    pub(crate) async fn run<T, F>(self, work: F) -> Result<T, Unanswered>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        #[cfg(test)]
        let held = hold_paused_clock();
        let name = self.name.to_owned();
        let working = move || {
            let done = work();
            drop(self);
            // The caller may no longer wait.
            drop(answer.send(done));
            #[cfg(test)]
            drop(held);
        };
        Builder::new().name(name).spawn(working).map_err(|_no_thread| Unanswered::NoThread)?;
        answered.await.map_err(|_panicked| Unanswered::Silent)
    }
}

/// Keeps the paused clock of a test from advancing while a thread works, as the runtime does for threads of its pool. All
/// threads of a test together take one of the pool.
#[cfg(test)]
pub(super) fn hold_paused_clock() -> Arc<std::sync::mpsc::Sender<()>> {
    use std::cell::RefCell;
    use std::sync::{Weak, mpsc};
    thread_local!(static HELD: RefCell<Weak<mpsc::Sender<()>>> = const { RefCell::new(Weak::new()) });
    HELD.with_borrow_mut(|shared| {
        shared.upgrade().unwrap_or_else(|| {
            let (held, released) = mpsc::channel::<()>();
            drop(tokio::task::spawn_blocking(move || released.recv().is_err()));
            let held = Arc::new(held);
            *shared = Arc::downgrade(&held);
            held
        })
    })
}

/// The queues of many owners, each with the same limit.
#[derive(Debug)]
pub(crate) struct BlockingQueues<K> {
    name: &'static str,
    limit: usize,
    queues: Mutex<BTreeMap<K, BlockingQueue>>,
}

impl<K: Ord> BlockingQueues<K> {
    /// Each owner may block `limit` threads of this name, of up to 15 bytes.
    pub(crate) const fn new(name: &'static str, limit: usize) -> Self {
        Self { name, limit, queues: Mutex::new(BTreeMap::new()) }
    }

    /// The queue of this owner. Queues that are not in use are forgotten.
    pub(crate) fn of(&self, owner: K) -> BlockingQueue {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        // Each turn, and each caller that waits, has a copy.
        queues.retain(|_, queue| Arc::strong_count(&queue.free) > 1);
        queues.entry(owner).or_insert_with(|| BlockingQueue::new(self.name, self.limit)).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use tokio::task::JoinSet;

    use super::*;
    use crate::blocking::local;

    const SOON: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(20);

    /// Work that hangs until the sender is dropped.
    fn hanging() -> (mpsc::Sender<()>, impl Fn() + Clone + Send + 'static) {
        let (wake, sleeping) = mpsc::channel::<()>();
        let sleeping = Arc::new(Mutex::new(sleeping));
        let hangs = move || {
            let sleeping = sleeping.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(sleeping.recv().is_err(), "nothing is sent");
        };
        (wake, hangs)
    }

    #[tokio::test]
    async fn calls_on_a_hung_drive_use_one_thread() {
        let queue = BlockingQueue::new("test", 1);
        let (wake, hangs) = hanging();
        assert_eq!(queue.run(SHORT, hangs).await, Err(Unanswered::Silent));
        for _ in 0..600 {
            assert_eq!(queue.run(Duration::from_micros(10), || ()).await, Err(Unanswered::Busy));
        }
        assert_eq!(queue.turn(Duration::ZERO).await.map(drop), Err(Unanswered::Busy));
        drop(wake);
        assert_eq!(queue.run(SOON, || 7).await, Ok(7));
        assert!(queue.turn(Duration::ZERO).await.is_ok());
    }

    #[tokio::test]
    async fn hung_calls_use_up_to_the_limit_of_threads() {
        let queue = BlockingQueue::new("test", 4);
        let (wake, hangs) = hanging();
        let begun = Arc::new(AtomicUsize::new(0));
        let waiting: JoinSet<_> = (0..1000)
            .map(|_| {
                let (queue, hangs, begun) = (queue.clone(), hangs.clone(), Arc::clone(&begun));
                async move {
                    let work = move || {
                        begun.fetch_add(1, Ordering::Relaxed);
                        hangs();
                    };
                    queue.run(SOON, work).await
                }
            })
            .collect();
        while begun.load(Ordering::Relaxed) < 4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(timeout(SOON, local(|| 7)).await, Ok(Ok(7)));
        assert_eq!(begun.load(Ordering::Relaxed), 4);
        drop(wake);
        assert!(waiting.join_all().await.iter().all(Result::is_ok));
    }

    #[tokio::test]
    async fn hung_drives_leave_the_pool_to_local_work() {
        static QUEUES: BlockingQueues<usize> = BlockingQueues::new("test", 1);
        let (wake, hangs) = hanging();
        let begun = Arc::new(AtomicUsize::new(0));
        let hung: JoinSet<_> = (0..600)
            .map(|drive| {
                let (hangs, begun) = (hangs.clone(), Arc::clone(&begun));
                let work = move || {
                    begun.fetch_add(1, Ordering::Relaxed);
                    hangs();
                };
                async move { QUEUES.of(drive).run_to_end(work).await }
            })
            .collect();
        // The runtime's pool has 512 threads.
        while begun.load(Ordering::Relaxed) < 512 {
            tokio::task::yield_now().await;
        }
        assert_eq!(timeout(SOON, local(|| 7)).await, Ok(Ok(7)));
        assert_eq!(QUEUES.of(600).run(SOON, || 7).await, Ok(7), "another drive is served");
        drop(wake);
        assert!(hung.join_all().await.iter().all(Result::is_ok));
        drop(QUEUES.of(601));
        assert_eq!(QUEUES.queues.lock().expect("whole").len(), 1, "idle queues are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_waits_for_the_threads() {
        let slow = || (0..1000).for_each(|_| std::thread::yield_now());
        assert_eq!(BlockingQueue::new("test", 1).run(Duration::from_millis(1), slow).await, Ok(()));
    }

    #[tokio::test]
    async fn spawned_work_precedes_later_calls() {
        let queue = BlockingQueue::new("test", 1);
        let done = Arc::new(Mutex::new(Vec::new()));
        for is_free in [true, false] {
            let turn = if is_free { None } else { Some(queue.turn(SOON).await.expect("free")) };
            let note = |number| {
                let done = Arc::clone(&done);
                move || done.lock().expect("whole").push(number)
            };
            let spawned = queue.spawn(note(1));
            drop(turn);
            assert_eq!(queue.run(SOON, note(2)).await, Ok(()));
            assert_eq!(spawned.await.expect("whole"), Ok(()));
            assert_eq!(done.lock().expect("whole").split_off(0), [1, 2], "free: {is_free}");
        }
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_turn_back() {
        let queue = BlockingQueue::new("test", 1);
        let panics = || assert!(std::hint::black_box(false), "the test wants it");
        assert_eq!(queue.run(SOON, panics).await, Err(Unanswered::Silent));
        assert_eq!(queue.run(SOON, || 7).await, Ok(7));
    }
}
