//! Exit codes.

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::JobState;
use butterdock_tests::{Load, Service, TIMEOUT, run, start, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cli::{lines, ran};
use butterdock_tests::as_nobody;

#[test]
fn success_exits_with_0_and_a_failed_job_with_1() -> Result<()> {
    let fixture = Service::start()?;
    let load = Load::new("s0", 5, 1);
    drop(load.file(&fixture.join("stream"))?);
    let file = fixture.join("stream");
    let file = file.to_str().context("a path")?;
    ensure!(ran(&fixture, &["receive", "tank", file])?.code() == 0);
    let again = ran(&fixture, &["receive", "tank", file, "--json"])?;
    ensure!(again.code() == 1, "{again:?}");
    let last = lines(&again)?.pop().context("a last line")?;
    ensure!(last["result"] == "failed" && last["error"]["message"].as_str().is_some_and(|text| text.contains("s0")));
    Ok(())
}

#[test]
fn a_usage_error_exits_with_64() -> Result<()> {
    let fixture = Service::start()?;
    for words in [&["nonsense"][..], &["receive"], &["cancel", "ffffffff"], &["jobs", "--nonsense"]] {
        let finished = ran(&fixture, words)?;
        ensure!(finished.code() == 64 && !finished.stderr.is_empty(), "{words:?}: {finished:?}");
    }
    let refused = ran(&fixture, &["receive", "tank", "/proc"])?;
    ensure!(refused.code() == 64 && refused.err().contains("directory"), "{refused:?}");
    Ok(())
}

#[test]
fn without_a_daemon_or_bus_it_exits_with_69() -> Result<()> {
    let mut fixture = Service::start()?;
    fixture.stop()?;
    let finished = ran(&fixture, &["status"])?;
    ensure!(finished.code() == 69 && finished.err().lines().count() == 1, "{finished:?}");
    let finished = ran(&fixture, &["status", "--json"])?;
    ensure!(finished.code() == 69, "{finished:?}");
    let refused: Value = serde_json::from_slice(&finished.stdout)?;
    ensure!(refused["error"]["message"].is_string(), "{refused}");
    let mut command = fixture.butterdock(&["status"])?;
    let finished = run(command.env("BUTTERDOCK_BUS_ADDRESS", "unix:path=/nonexistent"), TIMEOUT)?;
    ensure!(finished.code() == 69, "{finished:?}");
    Ok(())
}

#[test]
fn an_unauthorized_call_exits_with_77() -> Result<()> {
    let fixture = Service::start()?;
    // Everybody may reach the socket and read the stream; that they may do nothing is up to the daemon.
    let load = Load::new("s0", 5, 1);
    drop(load.file(&fixture.join("stream"))?);
    let file = fixture.join("stream");
    let folder = file.parent().context("a folder")?;
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let file = file.to_str().context("a path")?;
    let program = fixture.join("butterdock");
    std::fs::copy(butterdock_tests::butterdock()?, &program)?;
    let asked = |words: &[&str]| -> Result<_> {
        let mut command = std::process::Command::new(&program);
        for (name, value) in fixture.butterdock(words)?.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        run(&mut as_nobody(command.args(words)), TIMEOUT)
    };
    let refused = asked(&["receive", "tank", file])?;
    ensure!(refused.code() == 77, "{refused:?}");
    ensure!(refused.err().contains("sudo") && refused.stdout.is_empty(), "{refused:?}");
    ensure!(asked(&["snapshots", "tank"])?.code() == 77, "names are everybody's");
    ensure!(asked(&["status"])?.code() == 0, "the status is not everybody's");
    ensure!(asked(&["history"])?.code() == 0, "the history is not everybody's");
    Ok(())
}

#[test]
fn ctrl_c_detaches_and_the_job_continues() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 30, 1);
    let (stream, feed) = load.pipe()?;
    let mut command = fixture.butterdock(&["receive", "tank", "-"])?;
    let mut program = start(command.stdin(stream))?;
    drop(command);
    feed.up_to(load.bytes().len() / 2);
    wait_until("the job reads", || Ok(client.jobs()?.values().any(|job| job.bytes_received > 0)))?;
    let job = client.jobs()?.into_keys().next().context("a job")?;
    program.handles(Signal::SIGINT)?;
    program.signal(Signal::SIGINT)?;
    let finished = program.finish(TIMEOUT)?;
    ensure!(finished.code() == 130, "{finished:?}");
    ensure!(finished.err().contains("butterdock watch") && finished.err().contains("continues"), "{finished:?}");
    ensure!(client.job(&job)?.state == JobState::Running, "it was ended");
    feed.finish();
    client.ends_as(&job, &JobState::Succeeded)?;
    load.is_whole_in(&fixture.path("tank"))?;
    fixture.is_tidy(&client, "tank", &["s0"])
}

#[test]
fn cancel_ends_a_detached_job_for_its_watchers() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 30, 1);
    let (stream, feed) = load.pipe()?;
    let mut command = fixture.butterdock(&["receive", "tank", "-", "--detach"])?;
    let detached = run(command.stdin(stream), TIMEOUT)?.success()?;
    drop(command);
    let id = detached.out().trim().to_owned();
    feed.up_to(load.bytes().len() / 2);
    let mut watcher = start(&mut fixture.butterdock(&["watch", &id, "--json"])?)?;
    // It handles Ctrl-C as soon as it watches.
    watcher.handles(Signal::SIGINT)?;
    ran(&fixture, &["cancel", &id])?.success()?;
    let finished = watcher.finish(TIMEOUT)?;
    ensure!(finished.code() == 1, "{finished:?}");
    ensure!(lines(&finished)?.last().is_some_and(|line| line["result"] == "cancelled"), "{finished:?}");
    let again = ran(&fixture, &["cancel", &id])?;
    ensure!(again.code() == 1, "cancelled twice: {again:?}");
    fixture.is_tidy(&client, "tank", &[])
}
