//! The tasks and threads that live as long as the service.
//!
//! None of them may end before the service does, and none may hang: without the one that follows udev, say, the service would
//! be blind and not know it. So the first end of one is the end of the service ([`Supervisor::ended`]), after which the service
//! manager starts it again, and the watchdog asks each of them ([`Supervisor::all_answer`]).
//!
//! A task answers between two turns of its loop, and while it waits for what comes next or for a disk; not while it waits for
//! another task. What may take longer than the watchdog waits is done in tasks of its own.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use anyhow::{Error, anyhow};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// Has the tasks. Dropped, they end.
#[derive(Debug)]
pub(crate) struct Supervisor {
    tasks: Mutex<JoinSet<Error>>,
    questions: watch::Sender<u64>,
    answers: Mutex<Vec<watch::Receiver<u64>>>,
}

/// By which a task shows that it does not hang.
#[derive(Debug)]
pub(crate) struct Pulse {
    asked: watch::Receiver<u64>,
    answered: watch::Sender<u64>,
}

/// A thread keeps it as long as it runs.
#[derive(Debug)]
pub(crate) struct Alive(#[expect(dead_code, reason = "its drop is what matters")] oneshot::Sender<Infallible>);

impl Supervisor {
    /// Nothing is to be watched yet.
    pub(crate) fn new() -> Self {
        Self { tasks: Mutex::default(), questions: watch::Sender::new(0), answers: Mutex::default() }
    }

    /// Starts a task, which is called so in the journal. It ends with the reason why it cannot go on.
    pub(crate) fn start<F>(&self, name: &'static str, task: impl FnOnce(Pulse) -> F)
    where
        F: Future<Output = Error> + Send + 'static,
    {
        let answered = watch::Sender::new(0);
        lock(&self.answers).push(answered.subscribe());
        let task = task(Pulse { asked: self.questions.subscribe(), answered });
        lock(&self.tasks).spawn(async move { task.await.context(format!("the task that {name} has ended")) });
    }

    /// For a thread, which is called so in the journal.
    pub(crate) fn thread(&self, name: &'static str) -> Alive {
        let (alive, gone) = oneshot::channel();
        lock(&self.tasks).spawn(async move {
            match gone.await {
                Ok(never) => match never {},
                Err(_gone) => anyhow!("the thread that {name} has ended"),
            }
        });
        Alive(alive)
    }

    /// Waits for the first end of a task or a thread; which, and why.
    pub(crate) async fn ended(&self) -> Error {
        let ended = poll_fn(|context| match lock(&self.tasks).poll_join_next(context) {
            Poll::Ready(Some(ended)) => Poll::Ready(ended),
            // There is none yet.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        });
        ended.await.unwrap_or_else(|error| anyhow!(error).context("a task of the service has a defect"))
    }

    /// Returns when each task has answered; false when one cannot, because it has ended.
    pub(crate) async fn all_answer(&self) -> bool {
        let question = self.questions.borrow().wrapping_add(1);
        self.questions.send_replace(question);
        let answers = lock(&self.answers).clone();
        for mut answer in answers {
            if answer.wait_for(|answered| *answered >= question).await.is_err() {
                return false;
            }
        }
        true
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pulse {
    /// Waits for the next question, and answers it. It loses nothing when it is dropped before.
    pub(crate) async fn answer(&mut self) {
        if self.asked.changed().await.is_err() {
            // The service ends, and this task with it.
            pending::<()>().await;
        }
        self.answered.send_replace(*self.asked.borrow_and_update());
    }

    /// Does something that may take long, and answers meanwhile.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.answer() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(60);

    async fn lives(supervisor: &Supervisor) -> bool {
        timeout(INTERVAL, supervisor.all_answer()).await.unwrap_or(false)
    }

    /// Waits for work that never comes.
    async fn idle(mut pulse: Pulse) -> Error {
        pulse.during(pending()).await
    }

    #[tokio::test(start_paused = true)]
    async fn every_task_is_asked_each_time() {
        let supervisor = Supervisor::new();
        supervisor.start("waits", idle);
        supervisor.start("waits too", idle);
        assert!(lives(&supervisor).await);
        assert!(lives(&supervisor).await);
        supervisor.start("hangs", |pulse| async move {
            let _pulse = pulse;
            pending().await
        });
        assert!(!lives(&supervisor).await, "one hangs");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_hangs_does_not_answer() {
        let supervisor = Supervisor::new();
        let (go_on, stopped) = oneshot::channel::<()>();
        supervisor.start("works", |mut pulse| async move {
            drop(stopped.await);
            pulse.during(pending()).await
        });
        assert!(!lives(&supervisor).await);
        drop(go_on);
        assert!(lives(&supervisor).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_end_names_its_task_and_cause() {
        let supervisor = Supervisor::new();
        supervisor.start("waits", idle);
        let (end, ended) = oneshot::channel::<()>();
        supervisor.start("follows udev", |_pulse| async move {
            drop(ended.await);
            anyhow!("the socket is closed")
        });
        assert!(timeout(INTERVAL, supervisor.ended()).await.is_err(), "none has ended");
        drop(end);
        let error = timeout(INTERVAL, supervisor.ended()).await.expect("ended");
        assert_eq!(format!("{error:#}"), "the task that follows udev has ended: the socket is closed");
        assert!(!lives(&supervisor).await);
    }

    #[tokio::test]
    async fn a_thread_that_ends_is_told() {
        let supervisor = Supervisor::new();
        let alive = supervisor.thread("starts workers");
        std::thread::spawn(move || drop(alive)).join().expect("it ends");
        assert_eq!(supervisor.ended().await.to_string(), "the thread that starts workers has ended");
    }
}
