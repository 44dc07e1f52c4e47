//! Runs one job: opens its volume, follows its worker, ends it when asked, and sweeps after one that left things behind.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use butterdock_dbus::ErrorName;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::entry::Ending;
use super::handle::Order;
use super::job::Trouble;
use crate::volumes::{self, Destination, Place, Volume};
use crate::worker::{self, Priority, Report, Spawner, Worker};

/// A drive has so long to answer when its directory is opened.
const OPENING: Duration = Duration::from_secs(10);
/// A worker that was asked to end has so long for it; then it is killed.
const POLITE: Duration = Duration::from_secs(2);
/// A worker that was killed, or that closed its socket, has so long to be gone;
const GOING: Duration = Duration::from_secs(3);
/// killed then in any case, so long again, after which it counts as stuck.
const KILLED: Duration = Duration::from_secs(1);
/// A sweep has so long; then its worker is killed, and the next receive sweeps.
const SWEEPING: Duration = Duration::from_secs(3);
/// After so long without news the rate is that of nothing.
const STALLED: Duration = Duration::from_secs(3);

/// What a runner tells the desk.
#[derive(Debug)]
pub(super) enum Told {
    /// The volume is open; it was reached through this mount.
    Opened(u64),
    Report(Report),
    /// Nothing came for a while.
    Stalled,
    /// It is over. Unless it is stuck, nothing is left of it.
    Over(Ending),
    /// A worker that was stuck is gone.
    Gone,
}

/// One job to run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: Uuid,
    pub(super) volume: Arc<Volume>,
    /// The directory that it was asked for.
    pub(super) place: Place,
    pub(super) input: OwnedFd,
    pub(super) order: worker::Order,
    pub(super) priority: Priority,
    pub(super) spawner: Arc<Spawner>,
    pub(super) desk: mpsc::Sender<Order>,
    pub(super) stop: oneshot::Receiver<()>,
}

impl Run {
    /// Runs it to its end; tells [`Told::Over`] once.
    pub(super) async fn run(mut self) {
        let opened = tokio::select! {
            opened = open(&self.volume) => opened,
            // A drive that does not answer is not waited for when nobody wants the job any more.
            _ = &mut self.stop => return self.over(Ending::Killed).await,
        };
        let destination = match opened {
            Ok(destination) if destination.place == self.place => destination,
            Ok(_another) => {
                let trouble = another(&self.volume);
                return self.over(Ending::Trouble(trouble)).await;
            }
            Err(trouble) => return self.over(Ending::Trouble(trouble)).await,
        };
        self.tell(Told::Opened(destination.mount)).await;
        let mut worker = match self.start(&destination).await {
            Ok(worker) => worker,
            Err(error) => {
                let text = format!("no worker could be started ({error}); see the journal and start the job again");
                return self.over(Ending::Trouble(Trouble::plain(ErrorName::Failed, text))).await;
            }
        };
        tracing::info!(butterdock_job = %self.id, "worker {} receives into \"{}\"", worker.pid(), self.volume.rule.name);
        let told = self.follow(&mut worker).await;
        match (timeout(GOING, worker.gone()).await, told) {
            // It said how it ended, and cleaned up after itself unless it was killed over it.
            (Ok(status), Some(error)) => {
                if !status.success() {
                    self.sweep(&destination).await;
                }
                self.over(Ending::Told(error)).await;
            }
            (Ok(status), None) => {
                tracing::warn!(butterdock_job = %self.id, "the worker ended without a result ({status})");
                self.sweep(&destination).await;
                self.over(Ending::Killed).await;
            }
            (Err(_), told) => self.outlast(worker, &destination, told).await,
        }
    }

    async fn start(&mut self, destination: &Destination) -> std::io::Result<Worker> {
        let copies = [self.input.as_fd(), destination.as_fd()];
        let fds = copies.iter().map(|fd| fd.try_clone_to_owned()).collect::<Result<_, _>>()?;
        let worker = self.spawner.worker(self.order.clone(), fds, self.priority).await;
        // The writer of a pipe has to see that nobody reads any more as soon as the worker does not.
        self.input = std::fs::File::open("/dev/null")?.into();
        worker
    }

    /// Tells what the worker tells, until it says how it ended (with an error or not) or says no more.
    async fn follow(&mut self, worker: &mut Worker) -> Option<Option<worker::JobError>> {
        let mut asked = false;
        let mut kill = None;
        let mut lively = false;
        loop {
            let deadline = kill.or_else(|| lively.then(|| Instant::now() + STALLED));
            tokio::select! {
                report = worker.next() => match report {
                    Some(Report::Ended { counts, error }) => {
                        self.tell(Told::Report(Report::Progress { counts })).await;
                        return Some(error);
                    }
                    Some(report) => {
                        lively |= matches!(report, Report::Progress { .. });
                        self.tell(Told::Report(report)).await;
                    }
                    None => return None,
                },
                _ = &mut self.stop, if !asked => {
                    asked = true;
                    // One that cannot be asked is killed in a moment.
                    worker.cancel().unwrap_or_default();
                    kill = Some(Instant::now() + POLITE);
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    if kill.is_some() {
                        worker.kill();
                        return None;
                    }
                    lively = false;
                    self.tell(Told::Stalled).await;
                }
            }
        }
    }

    /// The kernel holds the worker: the job is over, and the volume is given back when the worker is gone.
    /// What it told of its end stands: a subvolume that is durable is not made undone by a process that lingers.
    async fn outlast(self, mut worker: Worker, destination: &Destination, told: Option<Option<worker::JobError>>) {
        worker.kill();
        if let Some(error) = told {
            worker.gone().await;
            self.sweep(destination).await;
            return self.over(Ending::Told(error)).await;
        }
        if timeout(KILLED, worker.gone()).await.is_ok() {
            self.sweep(destination).await;
            return self.over(Ending::Killed).await;
        }
        tracing::error!(butterdock_job = %self.id, "worker {} hangs in the kernel and cannot be killed", worker.pid());
        self.tell(Told::Over(Ending::Stuck)).await;
        worker.gone().await;
        self.sweep(destination).await;
        self.tell(Told::Gone).await;
    }

    async fn sweep(&self, destination: &Destination) {
        if let Err(error) = sweep_open(&self.spawner, destination, self.priority).await {
            tracing::warn!(butterdock_job = %self.id, "cannot sweep after the worker: {error}; the next receive does");
        }
    }

    async fn over(self, ending: Ending) {
        self.tell(Told::Over(ending)).await;
    }

    /// The desk ends with the service; then there is nobody to tell.
    async fn tell(&self, told: Told) {
        self.desk.send(Order::Told(self.id, told)).await.unwrap_or_default();
    }
}

/// Sweeps what a killed service left in a volume, if it is mounted.
///
/// # Errors
/// A sentence for the log.
pub(crate) async fn sweep(spawner: &Spawner, volume: &Arc<Volume>) -> Result<(), String> {
    let destination = open(volume).await.map_err(|trouble| trouble.message)?;
    sweep_open(spawner, &destination, Priority::default()).await
}

async fn sweep_open(spawner: &Spawner, destination: &Destination, priority: Priority) -> Result<(), String> {
    let fd = destination.as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let mut worker =
        spawner.worker(worker::Order::Sweep, vec![fd], priority).await.map_err(|error| error.to_string())?;
    let sweep = async {
        while let Some(report) = worker.next().await {
            if let Report::Ended { error, .. } = report {
                // Whoever is told that nothing is left finds no process either.
                worker.gone().await;
                return error.map_or(Ok(()), |error| Err(error.message));
            }
        }
        Err("the worker ended without a result".to_owned())
    };
    timeout(SWEEPING, sweep).await.unwrap_or_else(|_| Err("it takes too long".to_owned()))
}

/// What is there now was not there when the job was asked for: most often the drive was unmounted, and what lies below its
/// mount point is seen.
fn another(volume: &Volume) -> Trouble {
    let text = format!(
        "another filesystem or directory is at the volume \"{}\" than when the job was asked for; \
         mount the drive that belongs there and start the job again",
        volume.rule.name
    );
    Trouble::plain(ErrorName::DeviceGone, text)
}

/// Opens the volume's directory on a thread of its own, which may hang as long as the drive does.
async fn open(volume: &Arc<Volume>) -> Result<Destination, Trouble> {
    let name = &volume.rule.name;
    let rule = volume.rule.clone();
    let gone = |why: &dyn std::fmt::Display| {
        Trouble::plain(ErrorName::DeviceGone, format!("the volume \"{name}\" cannot be received into: {why}"))
    };
    match timeout(OPENING, tokio::task::spawn_blocking(move || volumes::open(&rule))).await {
        Ok(Ok(Ok(destination))) => Ok(destination),
        Ok(Ok(Err(unusable))) => Err(gone(&unusable)),
        Ok(Err(error)) => Err(gone(&error)),
        Err(_) => Err(gone(&"the drive does not answer; check it and its cable")),
    }
}
