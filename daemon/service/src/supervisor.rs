//! The tasks and threads that live as long as the service.
//!
//! None of them may end before the service, and none may hang: without the task that follows udev, for example, the service would
//! miss all drives. So the first end of one ends the service ([`Supervisor::ended`]), and the service manager restarts it. The
//! watchdog asks each of them ([`Supervisor::all_answer`]).
//!
//! A task answers between two rounds of its loop, and while it waits for the next message or for a disk; not while it waits for
//! another task. Work that may take longer than the watchdog interval runs in a task of its own.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use anyhow::{Error, anyhow};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

/// The tasks. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct Supervisor {
    tasks: Mutex<JoinSet<Error>>,
    questions: watch::Sender<u64>,
    answers: Mutex<Vec<watch::Receiver<u64>>>,
}

/// The means by which a task shows that it does not hang.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    asked: watch::Receiver<u64>,
    answered: watch::Sender<u64>,
}

/// A thread keeps it until its end.
#[derive(Debug)]
pub(crate) struct Alive(#[expect(dead_code, reason = "its drop is what matters")] oneshot::Sender<Infallible>);

impl Supervisor {
    /// Without tasks.
    pub(crate) fn new() -> Self {
        Self { tasks: Mutex::default(), questions: watch::Sender::new(0), answers: Mutex::default() }
    }

    /// Starts a task with this name in the journal. Its result is the reason for its end.
    pub(crate) fn start<F>(&self, name: &'static str, task: impl FnOnce(Heartbeat) -> F)
    where
        F: Future<Output = Error> + Send + 'static,
    {
        let answered = watch::Sender::new(0);
        lock(&self.answers).push(answered.subscribe());
        let task = task(Heartbeat { asked: self.questions.subscribe(), answered });
        lock(&self.tasks).spawn(async move { task.await.context(format!("the task that {name} has ended")) });
    }

    /// Watches a thread with this name in the journal.
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

    /// Waits for the first end of a task or a thread; the error names it and the reason.
    pub(crate) async fn ended(&self) -> Error {
        let ended = poll_fn(|context| match lock(&self.tasks).poll_join_next(context) {
            Poll::Ready(Some(ended)) => Poll::Ready(ended),
            // No task has ended.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        });
        ended.await.unwrap_or_else(|error| anyhow!(error).context("a task of the service crashed"))
    }

    /// Returns true when each task has answered, and false if one has ended.
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

impl Heartbeat {
    /// Waits for the next question and answers it. Cancel-safe.
    pub(crate) async fn answer(&mut self) {
        if self.asked.changed().await.is_err() {
            // The service ends, and this task with it.
            pending::<()>().await;
        }
        self.answered.send_replace(*self.asked.borrow_and_update());
    }

    /// Does work that may take long, and answers meanwhile.
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
    async fn idle(mut heartbeat: Heartbeat) -> Error {
        heartbeat.during(pending()).await
    }

    #[tokio::test(start_paused = true)]
    async fn every_task_is_asked_each_time() {
        let supervisor = Supervisor::new();
        supervisor.start("waits", idle);
        supervisor.start("waits too", idle);
        assert!(lives(&supervisor).await);
        assert!(lives(&supervisor).await);
        supervisor.start("hangs", |heartbeat| async move {
            let _heartbeat = heartbeat;
            pending().await
        });
        assert!(!lives(&supervisor).await, "one hangs");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_hangs_does_not_answer() {
        let supervisor = Supervisor::new();
        let (go_on, stopped) = oneshot::channel::<()>();
        supervisor.start("works", |mut heartbeat| async move {
            drop(stopped.await);
            heartbeat.during(pending()).await
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
        supervisor.start("follows udev", |_heartbeat| async move {
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
    async fn the_end_of_a_thread_is_reported() {
        let supervisor = Supervisor::new();
        let alive = supervisor.thread("starts workers");
        std::thread::spawn(move || drop(alive)).join().expect("it ends");
        assert_eq!(supervisor.ended().await.to_string(), "the thread that starts workers has ended");
    }
}
