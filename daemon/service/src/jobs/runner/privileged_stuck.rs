//! A worker that has reported its end but hangs in the kernel.

use std::fs::File;
use std::os::fd::OwnedFd;

use butterdock_fixtures::Sandbox;
use butterdock_fixtures::{Asks, Fuse};
use tokio::runtime::Builder;

use super::*;
use crate::destinations::DriveDestination;
use crate::dir_handle::DirHandle;

const SOON: Duration = Duration::from_secs(30);
const ENDED: &str = r#"{"ended":{"counts":{"commands":0,"bytes":0,"bytes_written":0,"encoded_writes":0,"fallback_writes":0,"plain_writes":0,"clones":0,"files":0},"error":null}}"#;

/// The next event that is no report.
async fn next(told: &mut mpsc::Receiver<(Uuid, RunnerEvent)>) -> RunnerEvent {
    loop {
        match timeout(SOON, told.recv()).await.expect("soon") {
            Some((_, RunnerEvent::Report(_))) => {}
            Some((_, told)) => return told,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn privileged_a_cancelled_job_ends_without_its_worker() {
    let sandbox = Sandbox::new().expect("a sandbox");
    let fuse = Fuse::new(&sandbox.join("fuse"), &[Asks::Flush]).expect("a filesystem");
    // It ends with a file open that is never closed; no signal changes that.
    let ends = format!("echo '{ENDED}' >&0; exit 0");
    let file = sandbox.join("fuse/file");
    let script = format!(
        "order=$(dd bs=65536 count=1 2>/dev/null); case $order in *sweep*) {ends};; esac; exec 3<{}; {ends}",
        file.display()
    );
    Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
        let (scheduler, mut told) = mpsc::channel(64);
        let (_end, stop) = watch::channel(None);
        let spawner = Arc::new(Spawner::playing(&script));
        let (id, limit, priority) = (Uuid::new_v4(), None, Priority::default());
        let (lineage, max_rate) = (watch::Sender::default(), watch::Sender::default());
        let mut runner = Runner { id, limit, priority, spawner, scheduler, stop, lineage, max_rate };
        let folder = || DirHandle::from(OwnedFd::from(File::open("/").expect("the root")));
        let place = || -> Box<dyn Destination> { Box::new(DriveDestination::new(folder())) };
        let outcome = timeout(SOON, runner.work(worker::Order::Verify, WorkerFds::default(), &*place())).await;
        let outcome = outcome.expect("the wait for a worker that has reported its result is bounded");
        assert!(outcome.is_stuck(), "{outcome:?}");
        let ending = tokio::spawn(runner.end(outcome, place()));
        let over = next(&mut told).await;
        let RunnerEvent::Ended { ending: Ending::Reported(None), left, stuck: true } = over else { panic!("{over:?}") };
        assert_eq!(left, Leftovers::default());
        drop(fuse);
        let gone = next(&mut told).await;
        assert!(matches!(gone, RunnerEvent::WorkerGone), "{gone:?}");
        ending.await.expect("no panic");
    });
}
