//! A clock that is not trusted: no snapshot is deleted, the service reports it, and root resumes pruning. A fake
//! systemd-timedated says whether the clock is synchronised.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::spawn;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{JOB, MANAGER};
use butterdock_dbus::{BackupRow, DriveState, Warning};
use butterdock_tests::{Daemon, Scenario, TIMEOUT, butterdock, no_options, run};
use nix::libc;
use serde_json::{Value, json};
use zbus::{Variant, interface};

/// Keeps one, and protects nothing.
const RULE: &str = "keep = { last = 1 }\nprotect = \"0h\"";

fn begin() -> Result<Scenario> {
    Scenario::on(&["home"], RULE, |fixture| fixture.image("a", "Blue"))
}

fn record(scenario: &Scenario) -> PathBuf {
    scenario.fixture.sandbox.join("state/clock.json")
}

/// What is warned of; with `estimate` as a dry run has it.
fn warnings(scenario: &Scenario, estimate: bool) -> Result<Vec<Warning>> {
    let mut options = no_options();
    options.insert("estimate", Variant::from(estimate));
    let body = scenario.fixture.client.call(ROOT, (MANAGER, "ListBackups"), &options)?.body();
    let rows: Vec<BackupRow> = body.deserialize()?;
    Ok(rows.into_iter().next().context("a row")?.warnings.unwrap_or_default())
}

fn codes(scenario: &Scenario, estimate: bool) -> Result<Vec<String>> {
    Ok(warnings(scenario, estimate)?.into_iter().map(|warning| warning.code).collect())
}

/// Backs up something new. Answers with the job's note, and how many snapshots are on the drive then.
fn back_up(scenario: &Scenario, content: &str) -> Result<(String, usize)> {
    fs::write(scenario.source.join("changed"), content)?;
    let job = scenario.job("Backup", &no_options())?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    scenario.drive("safe", &DriveState::Safe)?;
    Ok((note, scenario.on_drive(|all| Ok(all.len()))?))
}

fn typed(scenario: &Scenario, words: &[&str]) -> Result<String> {
    let mut command = Command::new(butterdock()?);
    command.args(words).env("BUTTERDOCK_BUS_ADDRESS", scenario.fixture.bus.address()).stdin(Stdio::null());
    Ok(run(&mut command, TIMEOUT)?.success()?.out())
}

/// Kills the service as the kernel does, changes what it wrote, and starts it again.
fn killed(scenario: &mut Scenario, change: impl FnOnce(Vec<u8>) -> Result<Vec<u8>>) -> Result<()> {
    changed(scenario, change)?;
    scenario.fixture.start()?;
    // The drive is there: what changed is backed up by itself.
    scenario.drive("safe after the start", &DriveState::Safe).map(drop)
}

/// The same; then the kernel refuses to say whether the clock is synchronised, as under the unit.
fn killed_and_refused(scenario: &mut Scenario, change: impl FnOnce(Vec<u8>) -> Result<Vec<u8>>) -> Result<()> {
    changed(scenario, change)?;
    // The C library calls one or the other.
    let calls = [libc::SYS_adjtimex, libc::SYS_clock_adjtime];
    scenario.fixture.daemon = Some(Daemon::refused(&scenario.fixture.bus, &scenario.fixture.configuration, &calls)?);
    scenario.drive("safe after the start", &DriveState::Safe).map(drop)
}

fn changed(scenario: &mut Scenario, change: impl FnOnce(Vec<u8>) -> Result<Vec<u8>>) -> Result<()> {
    // Dropped, it is killed.
    drop(scenario.fixture.daemon.take());
    let file = record(scenario);
    let changed = change(fs::read(&file)?)?;
    Ok(fs::write(&file, changed)?)
}

/// As if wall time had run so many days and an hour more than boot time since the last record. The hour is more than the rounding
/// of two clocks to seconds.
fn days_ahead(record: &[u8], days: i64) -> Result<Vec<u8>> {
    let mut record: Value = serde_json::from_slice(record)?;
    let wall = record["wall"].as_i64().context("a time")?;
    record["wall"] = json!(wall - days * 24 * 3600 - 3600);
    Ok(serde_json::to_vec(&record)?)
}

#[test]
fn a_clock_that_ran_ahead_stops_pruning_until_root_trusts_it() -> Result<()> {
    let mut scenario = begin()?;
    ensure!(warnings(&scenario, false)?.is_empty(), "{:?}", warnings(&scenario, false)?);
    killed(&mut scenario, |record| days_ahead(&record, 2))?;
    ensure!(codes(&scenario, false)? == ["clock-ahead"], "{:?}", warnings(&scenario, false)?);
    ensure!(codes(&scenario, true)? == ["clock-ahead"], "in a dry run");
    let text = &warnings(&scenario, false)?[0].english;
    ensure!(text.contains("2 days ahead") && text.contains("butterdock trust-clock"), "{text}");
    ensure!(typed(&scenario, &["backups"])?.contains("2 days ahead"), "the command line says nothing");
    let first = scenario.on_drive(|all| Ok(all.len()))?;
    for number in first + 1..=first + 4 {
        let (note, left) = back_up(&scenario, &number.to_string())?;
        ensure!(left == number && note.contains("old snapshots are not deleted"), "{left} {note}");
    }
    // It is known after another kill.
    killed(&mut scenario, Ok)?;
    ensure!(codes(&scenario, false)? == ["clock-ahead"]);
    ensure!(typed(&scenario, &["trust-clock"])?.contains("trusted"));
    ensure!(warnings(&scenario, false)?.is_empty(), "{:?}", warnings(&scenario, false)?);
    let (note, left) = back_up(&scenario, "trusted")?;
    // The one that the increment was built on is kept once more.
    ensure!(left == 2 && !note.contains("not deleted"), "{left} {note}");
    killed(&mut scenario, Ok)?;
    ensure!(warnings(&scenario, false)?.is_empty(), "the trust is remembered");
    let log = scenario.fixture.stop()?;
    scenario.fixture.start()?;
    ensure!(!log.contains("not deleted"), "{log}");
    Ok(())
}

#[test]
fn an_unreadable_clock_record_stops_pruning() -> Result<()> {
    let mut scenario = begin()?;
    for content in [&b""[..], b"{\"version\":1", b"\xff\0\xff"] {
        killed(&mut scenario, |_| Ok(content.to_vec()))?;
        ensure!(codes(&scenario, false)? == ["clock-record-unreadable"], "{:?}", warnings(&scenario, false)?);
        let aside = record(&scenario).with_extension("json.unreadable");
        ensure!(fs::read(&aside)? == content, "it was not set aside");
        // No restart ends it.
        killed(&mut scenario, Ok)?;
        ensure!(codes(&scenario, false)? == ["clock-record-unreadable"], "{:?}", warnings(&scenario, false)?);
    }
    scenario.fixture.client.call(ROOT, (MANAGER, "TrustClock"), &no_options())?;
    ensure!(warnings(&scenario, false)?.is_empty(), "{:?}", warnings(&scenario, false)?);
    Ok(())
}

#[test]
fn timedated_answers_if_adjtimex_is_refused() -> Result<()> {
    let mut scenario = begin()?;
    let timedate = Timedate::start(&scenario.fixture.bus.address(), Some(false))?;
    killed_and_refused(&mut scenario, |record| days_ahead(&record, 2))?;
    ensure!(timedate.asked() > 0, "systemd is not asked at the start");
    ensure!(codes(&scenario, false)? == ["clock-ahead"], "{:?}", warnings(&scenario, false)?);
    let (note, left) = back_up(&scenario, "not synchronised")?;
    ensure!(note.contains("old snapshots are not deleted"), "{left} {note}");

    timedate.says(Some(true));
    let before = timedate.asked();
    let (note, left) = back_up(&scenario, "synchronised")?;
    ensure!(timedate.asked() > before, "systemd is not asked before a backup");
    ensure!(left == 2 && !note.contains("not deleted"), "{left} {note}");
    ensure!(warnings(&scenario, false)?.is_empty(), "{:?}", warnings(&scenario, false)?);
    let log = scenario.fixture.stop()?;
    for said in ["is not synchronised", "is synchronised"] {
        ensure!(log.matches(&format!("systemd-timedated says that the clock {said}")).count() == 1, "{log}");
    }
    // It is written down: from now on there is nothing to ask about.
    timedate.says(Some(false));
    killed_and_refused(&mut scenario, Ok)?;
    ensure!(warnings(&scenario, false)?.is_empty(), "{:?}", warnings(&scenario, false)?);
    Ok(())
}

#[test]
fn without_an_answer_of_systemd_the_clock_is_not_synchronised() -> Result<()> {
    let mut scenario = begin()?;
    killed_and_refused(&mut scenario, |record| days_ahead(&record, 2))?;
    ensure!(codes(&scenario, false)? == ["clock-ahead"], "nothing has the name: {:?}", warnings(&scenario, false)?);
    let timedate = Timedate::start(&scenario.fixture.bus.address(), None)?;
    let began = Instant::now();
    ensure!(codes(&scenario, false)? == ["clock-ahead"], "it is silent: {:?}", warnings(&scenario, false)?);
    let waited = began.elapsed();
    ensure!(waited >= Duration::from_secs(2) && waited < TIMEOUT, "{waited:?}");
    let (note, left) = back_up(&scenario, "silent")?;
    ensure!(note.contains("old snapshots are not deleted"), "{left} {note}");
    // The report is right before the next backup.
    timedate.says(Some(true));
    ensure!(warnings(&scenario, false)?.is_empty(), "{:?}", warnings(&scenario, false)?);
    Ok(())
}

/// Plays until the test's process ends.
#[derive(Debug, Clone)]
struct Timedate {
    /// None: it never answers.
    word: Arc<Mutex<Option<bool>>>,
    asked: Arc<AtomicUsize>,
}

#[interface(name = "org.freedesktop.timedate1")]
impl Timedate {
    #[zbus(property, name = "NTPSynchronized")]
    async fn synchronised(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let word = *self.word.lock().unwrap_or_else(PoisonError::into_inner);
        match word {
            Some(word) => word,
            None => std::future::pending().await,
        }
    }
}

impl Timedate {
    /// Takes the name on the bus at this address, with a first answer.
    pub(crate) fn start(address: &str, word: Option<bool>) -> Result<Self> {
        let played = Self { word: Arc::new(Mutex::new(word)), asked: Arc::default() };
        let (address, served) = (address.to_owned(), played.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (ready, is_ready) = std::sync::mpsc::channel();
        spawn(move || {
            runtime.block_on(async {
                let builder = zbus::connection::Builder::address(address.as_str()).name("org.freedesktop.timedate1");
                let builder = builder.serve_at("/org/freedesktop/timedate1", served);
                // A clone goes out; this one serves until the test's process ends.
                let serving = builder.build().await;
                if ready.send(serving.clone()).is_ok() {
                    std::future::pending::<()>().await;
                }
            });
        });
        drop(is_ready.recv().context("the thread of timedated ended")?.context("timedated is not played")?);
        Ok(played)
    }

    /// What it answers from now on.
    pub(crate) fn says(&self, word: Option<bool>) {
        *self.word.lock().unwrap_or_else(PoisonError::into_inner) = word;
    }

    /// How many questions it has had.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}
