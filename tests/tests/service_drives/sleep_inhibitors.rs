//! The machine stays awake while a job runs: a fake logind counts the inhibitors.

use std::io::{ErrorKind, PipeReader, Read as _, pipe};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::JOB;
use butterdock_tests::{Scenario, Stalled, TIMEOUT, no_options};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use zbus::interface;

/// The requested inhibitors, and for each the end of a pipe that is closed when the caller releases it.
type Asked = Arc<Mutex<Vec<([String; 4], PipeReader)>>>;

struct Logind(Asked);

#[interface(name = "org.freedesktop.login1.Manager")]
impl Logind {
    fn inhibit(&self, what: String, who: String, why: String, mode: String) -> zbus::fdo::Result<zbus::OwnedFd> {
        let (seen, held) = pipe().map_err(|error| zbus::fdo::Error::Failed(error.to_string()))?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(([what, who, why, mode], seen));
        Ok(OwnedFd::from(held).into())
    }
}

#[test]
fn sleep_and_shutdown_wait_only_during_jobs() -> Result<()> {
    let scenario = Scenario::begin()?;
    let asked = Asked::default();
    let (address, logind) = (scenario.fixture.bus.address().to_owned(), Logind(Arc::clone(&asked)));
    let (ready, is_ready) = std::sync::mpsc::channel();
    spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let builder = zbus::connection::Builder::address(address.as_str()).name("org.freedesktop.login1");
            let builder = builder.serve_at("/org/freedesktop/login1", logind);
            let _serving = builder.build().await.expect("logind is played");
            ready.send(()).expect("it is waited for");
            std::future::pending::<()>().await;
        });
    });
    is_ready.recv().context("logind is not played")?;

    let stalled = Stalled::start(&scenario.fixture.client, "sub")?;
    let began = Instant::now();
    while asked.lock().expect("no thread panicked").is_empty() && began.elapsed() < TIMEOUT {
        sleep(Duration::from_millis(10));
    }
    let mut all = std::mem::take(&mut *asked.lock().expect("no thread panicked"));
    ensure!(all.len() == 1, "asked {} times", all.len());
    let (words, seen) = all.first_mut().context("one")?;
    ensure!([&words[0], &words[1], &words[3]] == ["sleep:shutdown", "butterdock", "block"], "{words:?}");
    ensure!(!is_let_go(seen)?, "it is let go while the job runs");
    scenario.fixture.client.call(stalled.job.as_str(), (JOB, "Cancel"), &no_options())?;
    while !is_let_go(seen)? {
        ensure!(began.elapsed() < TIMEOUT, "it is held after the job");
        sleep(Duration::from_millis(10));
    }
    ensure!(asked.lock().expect("no thread panicked").is_empty(), "it is asked for again without a job");
    Ok(())
}

fn is_let_go(seen: &mut PipeReader) -> Result<bool> {
    fcntl(&*seen, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    match seen.read(&mut [0]) {
        Ok(count) => Ok(count == 0),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}
