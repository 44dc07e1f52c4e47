//! Files on a filesystem that does not respond.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_dbus::{Error, ErrorName, JobState, ReceiveOptions};
use butterdock_tests::{Asks, Client, Fuse, Load, Service, descriptors, under_load, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zbus::Fd;

/// Timeout for answers to other calls in the meantime.
const AT_ONCE: Duration = Duration::from_secs(1);

pub(crate) fn answers_at_once(client: &Client) -> Result<()> {
    let began = Instant::now();
    client.objects()?;
    ensure!(began.elapsed() < under_load(AT_ONCE), "everything was held up for {:?}", began.elapsed());
    Ok(())
}

fn refusal(client: &Client, file: &File) -> Result<Error> {
    let answer = client.try_receive("tank", file, &ReceiveOptions::default());
    answer.err().ok_or_else(|| anyhow::anyhow!("a job came of it"))
}

/// Each copy of a descriptor that a process closes, of itself or where it becomes another program, asks such a filesystem.
#[test]
fn a_file_that_cannot_be_closed_blocks_no_client() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let before = descriptors(fixture.pid())?;
    let fuse = Fuse::new(&fixture.join("fuse"), &[Asks::Flush])?;
    for round in 0..100 {
        let error = refusal(&client, &fuse.file()?)?.to_string();
        ensure!(error.contains("FUSE") && error.contains("cat FILE |"), "{error}");
        // What no method takes comes and goes as well.
        let file = fuse.file()?;
        let (peer, body) = (Some("org.freedesktop.DBus.Peer"), Fd::from(&file));
        // It may be refused; that it is answered is what matters.
        drop(client.block_on(client.connection().call_method(Some(BUS_NAME), ROOT, peer, "Ping", &body)));
        answers_at_once(&client)?;
        if round % 25 == 0 {
            let load = Load::new(&format!("s{round}"), 5, round);
            let job = client.receive("tank", load.file(&fixture.join("stream"))?)?;
            client.ends_as(&job, &JobState::Succeeded)?;
        }
    }
    ensure!(fuse.unanswered() > 0, "nobody closed anything: this shows nothing");
    let threads = std::fs::read_dir(format!("/proc/{}/task", fixture.pid()))?.count();
    ensure!(threads < 100, "{threads} threads for two hundred descriptors");
    let (reader, writer) = std::io::pipe()?;
    let job = client.receive("tank", &reader)?;
    client.until_job(&job, "runs", |job| job.state == JobState::Running)?;
    client.cancel(&job)?;
    drop((reader, writer));
    drop(fuse);
    wait_until("all are closed", || Ok(descriptors(fixture.pid())? <= before + 4))?;
    fixture.is_tidy(&client, "tank", &["s0", "s25", "s50", "s75"])
}

#[test]
fn blocking_files_are_refused_in_time_and_limited() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let fuse = Fuse::new(&fixture.join("fuse"), &[Asks::Flush, Asks::Statfs])?;
    for _ in 0..4 {
        let error = refusal(&client, &fuse.file()?)?;
        ensure!(error.to_string().contains("does not respond"), "{error}");
        answers_at_once(&client)?;
    }
    let error = refusal(&client, &fuse.file()?)?;
    ensure!(matches!(error, Error::Named(ErrorName::Busy, _)), "{error}");
    answers_at_once(&client)?;
    drop(fuse);
    let load = Load::new("s0", 5, 1);
    let job = client.receive("tank", load.file(&fixture.join("stream"))?)?;
    client.ends_as(&job, &JobState::Succeeded)?;
    fixture.is_tidy(&client, "tank", &["s0"])
}

/// No signal ends a thread that closes such a file. The bus and the service manager need not wait for it.
#[test]
fn a_daemon_with_a_hung_thread_gives_up_its_name() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let fuse = Fuse::new(&fixture.join("fuse"), &[Asks::Flush])?;
    drop(refusal(&client, &fuse.file()?)?);
    wait_until("a thread is held", || Ok(fuse.unanswered() > 0))?;
    kill(Pid::from_raw(fixture.pid().try_into()?), Signal::SIGTERM)?;
    let began = Instant::now();
    wait_until("nobody has the name", || Ok(!client.has_owner(BUS_NAME)?))?;
    // Its own thread has ended: what is left waits for the filesystem, and no signal changes that.
    wait_until("it has ended", || Ok(state(fixture.pid(), fixture.pid())? == 'Z'))?;
    ensure!(began.elapsed() < under_load(Duration::from_secs(10)), "it took {:?}", began.elapsed());
    wait_until("the kernel alone holds what is left", || {
        let left = std::fs::read_dir(format!("/proc/{}/task", fixture.pid()))?.flatten();
        let mut left = left.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
        Ok(left.all(|thread: u32| thread == fixture.pid() || state(fixture.pid(), thread).unwrap_or('X') == 'D'))
    })?;
    drop(fuse);
    let finished = fixture.stop()?;
    ensure!(finished.code() == 0, "ended with {}: {}", finished.code(), finished.err());
    Ok(())
}

/// A letter of `proc_pid_stat(5)`.
fn state(process: u32, thread: u32) -> Result<char> {
    let text = std::fs::read_to_string(format!("/proc/{process}/task/{thread}/stat"))?;
    let state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.ok_or_else(|| anyhow::anyhow!("no state in {text}"))
}
