//! What the simulated workers of the scenarios do.

use super::*;

/// Plays the workers.
#[derive(Debug, Clone)]
pub(super) struct Player {
    pub(super) devices: SimulatedDevices,
    pub(super) work: Arc<Mutex<Work>>,
    pub(super) work_of: Arc<Mutex<BTreeMap<String, Work>>>,
    pub(super) written: Arc<Mutex<Vec<(SimulatedDrive, String)>>>,
    pub(super) tasks: Arc<Mutex<Vec<Task>>>,
    pub(super) found: Arc<Mutex<Found>>,
    pub(super) rates: Arc<Mutex<Vec<Option<u64>>>>,
    pub(super) clock: Clock,
}

impl Player {
    pub(super) async fn play(self, worker: SimulatedWorker) {
        worker.report(&Report::Confined { landlock: true, lacking: None });
        if let Order::Backup(task) | Order::Prune(task) = &worker.order {
            lock(&self.tasks).push(task.clone());
        }
        let error = match &worker.order {
            Order::Prune(task) if task.measure => {
                worker.report(&Report::Backup(BackupEvent::Freeable { snapshots: 2, bytes: Some(300) }));
                None
            }
            Order::Backup(task) if !task.dry_run => self.back_up(&worker).await.err(),
            Order::Verify => {
                let done = self.work(&worker).await;
                if done.is_ok() {
                    worker.report(&Report::Verify(VerifyEvent::Found(*lock(&self.found))));
                }
                done.err()
            }
            Order::Files(FilesOrder { task: FilesTask::Read { .. }, .. }) => self.work(&worker).await.err(),
            Order::Backup(_)
            | Order::Files(_)
            | Order::Receive { .. }
            | Order::Prune(_)
            | Order::Delete { .. }
            | Order::Restore { .. }
            | Order::Import { .. }
            | Order::Streams
            | Order::Sweep
            | Order::MaxRate(_)
            | Order::Cancel => None,
        };
        let error = error.map(|kind| WorkerError {
            kind,
            message: format!("{kind:?}"),
            command: None,
            byte: None,
            hidden: false,
            unconfirmed: false,
            cause: None,
            files: None,
            file: None,
            space: None,
        });
        worker.report(&Report::Ended { counts: Counts::default(), error });
    }

    async fn back_up(&self, worker: &SimulatedWorker) -> Result<(), ErrorKind> {
        let lineage = Lineage { sources: vec![Identity([7; 16])], ..Lineage::default() };
        worker.report(&Report::Backup(BackupEvent::Lineage(lineage)));
        let begun = self.clock.read().wall;
        lock(&self.rates).push(worker.order.max_rate());
        let drive = self.work(worker).await?;
        let name = Uuid::new_v4().to_string();
        // From here to the report nothing is waited for.
        if !self.devices.save(&drive, &name) {
            return Err(ErrorKind::DeviceGone);
        }
        let shared = SharedSnapshot { here: SubvolumeState::default(), there: SubvolumeState::default(), time: begun };
        let learned = RecordUpdate { shared, nested: Vec::new(), sources: Vec::new(), lost: Vec::new() };
        worker.report(&Report::Backup(BackupEvent::Pinned { learned }));
        lock(&self.written).push((drive, name));
        Ok(())
    }

    /// Works on the drive of the last directory, which cannot be unmounted meanwhile.
    async fn work(&self, worker: &SimulatedWorker) -> Result<SimulatedDrive, ErrorKind> {
        let place = worker.directories.last().expect("a directory");
        let usage = self.devices.begin_use(place.as_fd()).ok_or(ErrorKind::DeviceGone)?;
        let name = if let Order::Backup(task) = &worker.order { &task.name[..] } else { b"" };
        let name = String::from_utf8_lossy(name).into_owned();
        let work = lock(&self.work_of).get(&name).copied().unwrap_or(*lock(&self.work));
        let ends = async {
            match work {
                Work::Takes(seconds) | Work::Fills(seconds) => sleep(Duration::from_secs(seconds)).await,
                Work::Waits | Work::Hangs => std::future::pending().await,
            }
        };
        let limited = async {
            let mut rate = worker.max_rate.clone();
            while rate.changed().await.is_ok() {
                lock(&self.rates).push(*rate.borrow());
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = ends => {}
            () = limited => {}
            () = worker.cancelled(), if work != Work::Hangs => return Err(ErrorKind::Cancelled),
        }
        if !usage.is_attached() {
            return Err(ErrorKind::DeviceGone);
        }
        if matches!(work, Work::Fills(_)) { Err(ErrorKind::NoSpace) } else { Ok(usage.drive()) }
    }
}
