//! Workers without a process: a task of the test plays each, with the messages of the protocol.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::handle::{Connection, Waiting, Worker};
use super::spawner::{Spawner, StartWorker, WorkerFds};
use butterdock_worker::Priority;
use butterdock_worker::protocol::{Order, Report};

/// What a worker that was killed ends with.
const KILLED: i32 = 9;

/// The worker's end: what it was started with, and how it reports.
#[derive(Debug)]
pub(crate) struct SimulatedWorker {
    /// What it is to do.
    pub order: Order,
    /// The descriptors that it was handed, open until this is dropped.
    pub directories: Vec<OwnedFd>,
    reports: mpsc::UnboundedSender<Vec<u8>>,
    cancelled: watch::Receiver<bool>,
    /// The rate limits that it was given after its start.
    pub max_rate: watch::Receiver<Option<u64>>,
}

type Play = dyn Fn(SimulatedWorker) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

impl Spawner {
    /// Has this function play every worker. One whose function returns has ended.
    pub(crate) fn simulated<F>(play: impl Fn(SimulatedWorker) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with(SimulatedWorkers(Arc::new(move |worker| Box::pin(play(worker)))))
    }
}

impl SimulatedWorker {
    /// Sends a report. The service may not listen any more.
    pub(crate) fn report(&self, report: &Report) {
        drop(self.reports.send(serde_json::to_vec(report).expect("written")));
    }

    /// Waits until the worker is asked to end.
    pub(crate) async fn cancelled(&self) {
        drop(self.cancelled.clone().wait_for(|is_cancelled| *is_cancelled).await);
    }
}

struct SimulatedWorkers(Arc<Play>);

impl StartWorker for SimulatedWorkers {
    fn start<'a>(
        &'a self,
        order: Order,
        handed: WorkerFds<'a>,
        _priority: Priority,
    ) -> Waiting<'a, io::Result<Worker>> {
        let (reports, received) = mpsc::unbounded_channel();
        let (cancel, cancelled) = watch::channel(false);
        let (rate, max_rate) = watch::channel(None);
        let (kill, mut killed) = watch::channel(false);
        let (end, ended) = watch::channel(None);
        let directories: io::Result<_> = handed.borrowed().into_iter().map(|one| one.try_clone_to_owned()).collect();
        drop(handed);
        let directories = match directories {
            Ok(directories) => directories,
            Err(error) => return Box::pin(async { Err(error) }),
        };
        let played = (self.0)(SimulatedWorker { order, directories, reports, cancelled, max_rate });
        tokio::spawn(async move {
            let status = tokio::select! {
                () = played => 0,
                _killed = killed.wait_for(|is_killed| *is_killed) => KILLED,
            };
            end.send_replace(Some(ExitStatus::from_raw(status)));
        });
        let connection = SimulatedConnection { received, cancel, rate, kill };
        Box::pin(async { Ok(Worker::new(connection, ended)) })
    }
}

impl fmt::Debug for SimulatedWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedWorkers")
    }
}

#[derive(Debug)]
struct SimulatedConnection {
    received: mpsc::UnboundedReceiver<Vec<u8>>,
    cancel: watch::Sender<bool>,
    rate: watch::Sender<Option<u64>>,
    kill: watch::Sender<bool>,
}

impl Connection for SimulatedConnection {
    fn pid(&self) -> u32 {
        0
    }

    fn receive(&mut self) -> Waiting<'_, io::Result<Option<Vec<u8>>>> {
        Box::pin(async { Ok(self.received.recv().await) })
    }

    fn send(&self, order: &Order) -> io::Result<()> {
        if let Order::MaxRate(rate) = order {
            self.rate.send_replace(*rate);
        } else {
            self.cancel.send_replace(true);
        }
        Ok(())
    }

    fn kill(&self) {
        self.kill.send_replace(true);
    }
}

impl Drop for SimulatedConnection {
    fn drop(&mut self) {
        self.kill();
    }
}
