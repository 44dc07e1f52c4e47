//! A shell plays the worker: each `echo` to descriptor 0 is one message, and each [`READ`] reads one.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use butterdock_receive::Counts;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::*;
use butterdock_worker::protocol::Report;

const SOON: Duration = Duration::from_secs(20);

/// Reads one message. The shell's own `read` takes a byte at a time, and the kernel drops the rest of the packet.
const READ: &str = "dd bs=65536 count=1 2>/dev/null";

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn worker(spawner: &Spawner) -> Worker {
    let null = OwnedFd::from(File::open("/dev/null").expect("null"));
    spawner.worker(Order::Sweep, [null.into()].into(), Priority::default()).await.expect("a worker")
}

const ENDED: &str = r#"{"ended":{"counts":{"commands":0,"bytes":0,"bytes_written":0,"encoded_writes":0,"fallback_writes":0,"plain_writes":0,"clones":0,"files":0},"error":null}}"#;

#[test]
fn all_reports_arrive_before_the_exit_status() {
    runtime().block_on(async {
        let spawner = Spawner::playing(&format!("echo '{{\"warning\":\"x\"}}' >&0; echo '{ENDED}' >&0; exit 3"));
        let mut worker = worker(&spawner).await;
        assert_eq!(worker.next().await, Some(Report::Warning("x".to_owned())));
        assert_eq!(worker.next().await, Some(Report::Ended { counts: Counts::default(), error: None }));
        assert_eq!(worker.next().await, None);
        assert_eq!(worker.gone().await.code(), Some(3));
        assert_eq!(worker.gone().await.code(), Some(3));
    });
}

#[test]
fn the_order_waits_for_the_worker_and_cancel_follows() {
    runtime().block_on(async {
        let spawner = Spawner::playing(&format!(
            r#"a=$({READ}); b=$({READ}); [ "$b" = '"cancel"' ] && case $a in *sweep*) exit 5;; esac"#
        ));
        let mut worker = worker(&spawner).await;
        worker.cancel().expect("sent");
        assert_eq!(timeout(SOON, worker.gone()).await.expect("soon").code(), Some(5));
    });
}

#[test]
fn a_killed_worker_differs_from_one_that_exited() {
    runtime().block_on(async {
        let spawner = Spawner::playing("exec sleep 1000");
        let mut worker = worker(&spawner).await;
        worker.kill();
        assert_eq!(timeout(SOON, worker.gone()).await.expect("soon").signal(), Some(9));
        assert_eq!(worker.next().await, None);
        worker.kill();
        assert!(worker.cancel().is_err());
    });
}

#[test]
fn a_dropped_worker_is_killed_and_leaves_no_zombie() {
    runtime().block_on(async {
        let spawner = Spawner::playing("exec sleep 1000");
        let worker = worker(&spawner).await;
        let process = format!("/proc/{}", worker.pid());
        drop(worker);
        let vanished = async {
            while std::fs::exists(&process).expect("proc") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, vanished).await.expect("it is gone");
    });
}

#[test]
fn a_worker_that_talks_nonsense_is_killed() {
    runtime().block_on(async {
        let long = "dd if=/dev/zero bs=70000 count=1 >&0";
        for nonsense in ["echo '{\"begun\":1}' >&0", "cat /dev/zero >&0", long] {
            let spawner = Spawner::playing(&format!("{nonsense}; exec sleep 1000"));
            let mut worker = worker(&spawner).await;
            assert_eq!(timeout(SOON, worker.next()).await.expect("soon"), None, "{nonsense}");
            assert_eq!(timeout(SOON, worker.gone()).await.expect("soon").signal(), Some(9), "{nonsense}");
        }
    });
}

#[test]
fn a_program_that_cannot_be_started_is_an_error() {
    runtime().block_on(async {
        let missing = Program { file: "/nonexistent".into(), arguments: Vec::new() };
        let spawner = Spawner::of(missing, ()).expect("a thread");
        assert!(spawner.worker(Order::Sweep, WorkerFds::default(), Priority::default()).await.is_err());
    });
}

#[test]
fn a_cancelled_wait_loses_no_report() {
    runtime().block_on(async {
        let spawner =
            Spawner::playing(&format!("{READ}; {READ}; echo '{{\"warning\":\"x\"}}' >&0; echo '{ENDED}' >&0"));
        let mut worker = worker(&spawner).await;
        assert!(timeout(Duration::from_millis(100), worker.next()).await.is_err());
        worker.cancel().expect("sent");
        assert_eq!(timeout(SOON, worker.next()).await.expect("soon"), Some(Report::Warning("x".to_owned())));
    });
}

#[test]
fn an_unreachable_worker_is_killed_and_reaped() {
    let child = Command::new("/bin/sleep").arg("1000").spawn().expect("a child");
    let process = format!("/proc/{}", child.id());
    assert!(watched(child, |_waiting| Err(io::ErrorKind::OutOfMemory.into())).is_err());
    assert!(!std::fs::exists(&process).expect("proc"), "it lives, or it is a zombie");
}
