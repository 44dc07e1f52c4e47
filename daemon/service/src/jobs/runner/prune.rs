//! Runs a worker that prunes beside the source of a finished backup.

use std::time::Duration;

use tokio::time::timeout;

use super::{KILLED, Runner, RunnerEvent, other_than};
use crate::backups::{self, Listings, Task};
use crate::dir_handle::DirHandle;
use crate::source_locks::Exclusive;
use crate::worker::{Order, Report, Worker};

/// Timeout; the next backup deletes what is left.
const THINNING: Duration = Duration::from_secs(60);

impl Runner {
    /// Thins in `folder` while nobody else is at the source. The job has ended in all but name: what goes wrong is logged.
    /// What is there is heard into `listings`.
    pub(in crate::jobs) async fn prune(
        &mut self,
        task: Task,
        folder: DirHandle,
        alone: Exclusive,
        listings: &mut Listings,
    ) {
        let mut worker = match self.spawner.worker(Order::Prune(task), [folder].into(), self.priority).await {
            Ok(worker) => worker,
            Err(error) => return self.not_thinned(&format!("cannot start a worker ({error})")),
        };
        let mut stop = self.stop.clone();
        let ended = tokio::select! {
            ended = timeout(THINNING, self.hear_out(&mut worker, listings)) => ended.unwrap_or(Some("it takes too long".to_owned())),
            _why = other_than(&mut stop, None) => Some("the job was cancelled".to_owned()),
        };
        let Some(text) = ended else { return };
        self.not_thinned(&text);
        worker.kill();
        if timeout(KILLED, worker.gone()).await.is_err() {
            // It hangs in the kernel. While it may still delete, no other job reads the snapshots.
            tokio::spawn(async move {
                worker.gone().await;
                drop(alone);
            });
        }
    }

    /// Answers what went wrong.
    async fn hear_out(&self, worker: &mut Worker, listings: &mut Listings) -> Option<String> {
        while let Some(report) = worker.next().await {
            #[expect(clippy::wildcard_enum_match_arm, reason = "other messages are not needed here")]
            match report {
                Report::Ended { error, .. } => {
                    worker.gone().await;
                    return error.map(|error| error.message);
                }
                Report::Backup(backups::BackupEvent::Seen { drive, snapshots, last }) => {
                    listings.hear(drive, &snapshots, last)
                }
                Report::Warning(_) => self.tell(RunnerEvent::Report(report)).await,
                _told => {}
            }
        }
        Some("the worker ended without a result".to_owned())
    }

    fn not_thinned(&self, why: &str) {
        let text = "the backup is done, but old snapshots beside the source may remain";
        tracing::warn!(butterdock_job = %self.id, "{text}: {why}; the next backup tries again");
    }
}
