//! Runs one job: opens its volume, follows its worker, ends it when asked, and sweeps after one that left things behind.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use butterdock_dbus::ErrorName;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use uuid::Uuid;

use super::entry::{Ending, Why};
use super::follow::{Followed, other_than};
use super::handle::Order;
use super::job::Trouble;
use super::left::Left;
use crate::volumes::{Destination, Place, Unanswered, Volume};
use crate::worker::{self, Priority, Report, Spawner, Worker};

/// A drive has so long to answer when its directory is opened: longer than a list of subvolumes takes at most, so that
/// whoever lists again and again holds up no job.
const OPENING: Duration = Duration::from_secs(30);
/// A worker that was killed, or that closed its socket, has so long to be gone;
const GOING: Duration = Duration::from_secs(3);
/// killed then in any case, so long again, after which it counts as stuck.
const KILLED: Duration = Duration::from_secs(1);
/// A sweep has so long; then its worker is killed, and the next receive sweeps.
const SWEEPING: Duration = Duration::from_secs(3);

/// What a runner tells the desk.
#[derive(Debug)]
pub(super) enum Told {
    /// The volume is open; it was reached through this mount.
    Opened(u64),
    Report(Report),
    /// Nothing came for a while.
    Stalled,
    /// Nothing came for a long while: others need not wait for it.
    Quiet,
    /// It was asked to end, and cannot before the kernel has written out.
    Writing,
    /// It is over. Unless it is stuck, no process is left of it.
    Over(Ending, Left),
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
    /// Why it shall end, once it shall.
    pub(super) stop: watch::Receiver<Option<Why>>,
}

impl Run {
    /// Runs it to its end; tells [`Told::Over`] once.
    pub(super) async fn run(mut self) {
        let opened = tokio::select! {
            opened = open(&self.volume) => opened,
            // A drive that does not answer is not waited for when nobody wants the job any more.
            _why = other_than(&mut self.stop, None) => return self.over(Ending::Killed, Left::default()).await,
        };
        let destination = match opened {
            Ok(destination) if destination.place == self.place => destination,
            Ok(_another) => {
                let trouble = another(&self.volume);
                return self.over(Ending::Trouble(trouble), Left::default()).await;
            }
            Err(trouble) => return self.over(Ending::Trouble(trouble), Left::default()).await,
        };
        self.tell(Told::Opened(destination.mount)).await;
        let mut worker = match self.start(&destination).await {
            Ok(worker) => worker,
            Err(error) => {
                let text = format!("no worker could be started ({error}); see the journal and start the job again");
                return self.over(Ending::Trouble(Trouble::plain(ErrorName::Failed, text)), Left::default()).await;
            }
        };
        tracing::info!(butterdock_job = %self.id, "worker {} receives into \"{}\"", worker.pid(), self.volume.rule.name);
        let followed = self.follow(&mut worker).await;
        let Ok(status) = timeout(GOING, worker.gone()).await else {
            return self.outlast(worker, &destination, followed).await;
        };
        match followed.told {
            // It cleaned up after itself, unless it was killed over it.
            Some(error) => {
                let hidden = !status.success() && !self.sweep(&destination).await;
                self.over(Ending::Told(error), Left { named: false, hidden }).await;
            }
            None => {
                tracing::warn!(butterdock_job = %self.id, "the worker ended without a result ({status})");
                let hidden = !self.sweep(&destination).await;
                self.over(Ending::Killed, Left { named: followed.naming, hidden }).await;
            }
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

    /// The kernel holds the worker: the job is over, and the volume is given back when the worker is gone.
    /// What it told of its end stands: a subvolume that is durable is not made undone by a process that lingers.
    async fn outlast(self, mut worker: Worker, destination: &Destination, followed: Followed) {
        worker.kill();
        if let Some(error) = followed.told {
            worker.gone().await;
            let hidden = !self.sweep(destination).await;
            return self.over(Ending::Told(error), Left { named: false, hidden }).await;
        }
        if timeout(KILLED, worker.gone()).await.is_ok() {
            let hidden = !self.sweep(destination).await;
            return self.over(Ending::Killed, Left { named: followed.naming, hidden }).await;
        }
        let Followed { writing, naming, .. } = followed;
        let what = if writing { "waits for the drive to write out" } else { "hangs in the kernel" };
        tracing::error!(butterdock_job = %self.id, "worker {} {what} and cannot be killed", worker.pid());
        self.tell(Told::Over(Ending::Stuck { writing }, Left { named: naming, hidden: true })).await;
        worker.gone().await;
        self.sweep(destination).await;
        self.tell(Told::Gone).await;
    }

    /// Answers whether nothing hidden is left.
    async fn sweep(&self, destination: &Destination) -> bool {
        let swept = sweep_open(&self.spawner, destination, self.priority).await;
        if let Err(error) = &swept {
            tracing::warn!(butterdock_job = %self.id, "cannot sweep after the worker: {error}; the next receive does");
        }
        swept.is_ok()
    }

    async fn over(self, ending: Ending, left: Left) {
        self.tell(Told::Over(ending, left)).await;
    }

    /// The desk ends with the service; then there is nobody to tell.
    pub(super) async fn tell(&self, told: Told) {
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

async fn open(volume: &Volume) -> Result<Destination, Trouble> {
    let trouble = |error: ErrorName, why: &dyn std::fmt::Display| {
        Trouble::plain(error, format!("the volume \"{}\" cannot be received into: {why}", volume.rule.name))
    };
    match volume.open(OPENING).await {
        Ok(Ok(destination)) => Ok(destination),
        Ok(Err(unusable)) => Err(trouble(ErrorName::DeviceGone, &unusable)),
        Err(unanswered @ Unanswered::Busy) => Err(trouble(ErrorName::Busy, &unanswered)),
        Err(unanswered @ Unanswered::Silent) => Err(trouble(ErrorName::DeviceGone, &unanswered)),
    }
}
