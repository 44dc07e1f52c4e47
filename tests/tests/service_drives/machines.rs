//! One drive and two machines: what each does with it, what it does not touch, and what it says about changes by the other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::{DESTINATION, JOB};
use butterdock_dbus::{DriveState, SnapshotRow};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::{Receiver, Recorder, Scenario, contains_all, elsewhere, no_options, snapshots};
use serde_json::{Value, json};

const KEEP_ONE: &str = "keep = { last = 1 }\nprotect = \"0h\"";

/// Two machines: each has a state directory and a source. The service is that of one of them.
struct Machines {
    scenario: Scenario,
    sources: [PathBuf; 2],
    configurations: [String; 2],
    now: usize,
    changes: u32,
}

impl Machines {
    /// The first one, with the drive enrolled and mounted.
    fn new(rule: &str) -> Result<Self> {
        let scenario = Scenario::on(&["home"], rule, |fixture| fixture.image("a", "Blue"))?;
        let sources = [scenario.source.clone(), scenario.pool.join("second")];
        snapshot::create(&sources[1])?;
        fs::write(sources[1].join("of"), "the second machine")?;
        let text = fs::read_to_string(&scenario.fixture.configuration)?;
        let [first, second] = sources.each_ref().map(|source| format!("{source:?}"));
        let other = text.replace(&first, &second).replace("snapshots-home", "snapshots-second");
        Ok(Self { scenario, sources, configurations: [text, other], now: 0, changes: 0 })
    }

    /// The drive is away, and from now on the service is the other machine's.
    fn switch(&mut self) -> Result<()> {
        let other = 1 - self.now;
        let state = |number: usize| self.scenario.fixture.sandbox.join(&format!("state-{number}"));
        let current = self.scenario.fixture.sandbox.join("state");
        let (mine, theirs) = (state(self.now), state(other));
        self.scenario.fixture.stop()?;
        fs::rename(&current, mine)?;
        if theirs.exists() {
            fs::rename(theirs, &current)?;
        } else {
            fs::create_dir(&current)?;
            // Both run on one computer, which has one machine id.
            fs::write(current.join("machine"), "2b2b2b2b-0000-8000-8000-00000000000b\n")?;
        }
        fs::write(&self.scenario.fixture.configuration, &self.configurations[other])?;
        self.scenario.source.clone_from(&self.sources[other]);
        self.now = other;
        self.scenario.fixture.start()
    }

    fn enrol(&mut self) -> Result<()> {
        self.scenario.plug()?;
        let drive =
            self.scenario.fixture.one("not enrolled here", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
        self.scenario.fixture.enrol(&drive).map(drop)
    }

    fn change(&mut self) -> Result<()> {
        self.changes += 1;
        Ok(fs::write(self.scenario.source.join("changing"), format!("{}", self.changes))?)
    }

    /// Changes the source and backs up. Answers whether that was an increment.
    fn back_up(&mut self) -> Result<bool> {
        self.change()?;
        let job = self.scenario.job("Backup", &no_options())?;
        self.scenario.drive("safe", &DriveState::Safe)?;
        self.scenario.fixture.client.get(&job, JOB, "Incremental")
    }

    /// Changes the source and plugs the drive in, which begins a backup.
    fn next_plug(&mut self) -> Result<()> {
        self.change()?;
        let before = self.scenario.good_backups()?;
        self.scenario.plug()?;
        self.scenario.fixture.client.until("the backup of the plug", |_| Ok(self.scenario.good_backups()? > before))?;
        let drive = self.scenario.drive("safe", &DriveState::Safe)?;
        ensure!(drive.properties.problem.is_empty(), "{drive:?}");
        Ok(())
    }

    fn list(&self) -> Result<Vec<SnapshotRow>> {
        let drive = self.scenario.fixture.one("the drive", |is| is.enrolled)?;
        let body =
            self.scenario.fixture.client.call(&drive.path, (DESTINATION, "ListSnapshots"), &no_options())?.body();
        let rows = body.deserialize()?;
        self.scenario.drive("safe", &DriveState::Safe)?;
        Ok(rows)
    }

    /// The uuids of the snapshots on the drive that have this origin.
    fn uuids(&self, origin: Option<&str>) -> Result<BTreeSet<String>> {
        let rows = self.list()?.into_iter().filter(|row| row.origin.as_deref() == origin);
        Ok(rows.map(|row| row.uuid).collect())
    }
}

/// A snapshot that is made in this second and the next one have two names, and neither is from the future afterwards.
fn next_second() -> Result<()> {
    let now = || -> Result<u64> { Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()) };
    let begin = now()?;
    while now()? == begin {
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
fn a_drive_of_two_machines_gets_increments_from_both() -> Result<()> {
    let mut machines = Machines::new("")?;
    machines.back_up()?;
    machines.scenario.unplug()?;
    machines.switch()?;
    machines.enrol()?;
    ensure!(!machines.back_up()?, "the second machine's first backup");
    ensure!(machines.back_up()?, "the second machine's second backup is no increment");
    machines.scenario.unplug()?;
    machines.switch()?;
    machines.next_plug()?;
    ensure!(machines.scenario.newest_is_the_source()?, "the first machine's second backup is no increment");
    machines.scenario.unplug()?;
    machines.switch()?;
    machines.next_plug()?;
    let (ours, theirs) = (machines.uuids(Some("this-machine"))?, machines.uuids(Some("other-machine"))?);
    ensure!((ours.len(), theirs.len()) == (3, 2), "{ours:?} {theirs:?}");
    let source = Tree::read(&machines.sources[1])?;
    machines.scenario.on_drive_in("butterdock/home@2b2b2b2b", |all| {
        let newest = all.last().context("a folder of the second machine's own")?;
        ensure!(all.len() == 3 && snapshot::show(newest)?.parent_uuid != "-", "{all:?}");
        same("the second machine's newest", &source, &Tree::read(newest)?, Rules::SOURCE_OF_INCREMENT)
    })
}

#[test]
fn in_one_folder_a_machine_deletes_nothing_of_another() -> Result<()> {
    let mut machines = Machines::new(&format!("{KEEP_ONE}\nfolder = \"shared\""))?;
    for _ in 0..2 {
        machines.back_up()?;
        next_second()?;
    }
    let first = machines.uuids(Some("this-machine"))?;
    ensure!(first.len() == 2, "{first:?}");
    machines.scenario.unplug()?;
    machines.switch()?;
    machines.enrol()?;
    for _ in 0..4 {
        machines.back_up()?;
        next_second()?;
    }
    let (second, others) = (machines.uuids(Some("this-machine"))?, machines.uuids(Some("other-machine"))?);
    ensure!(others == first, "the first machine's snapshots: {others:?} {first:?}");
    ensure!(second.len() == 2, "the second machine thins its own: {second:?}");
    // What another machine made can be restored.
    let uuid = first.first().context("a snapshot")?;
    machines.scenario.job("Restore", &(uuid, "tank", no_options()))?;
    machines.scenario.drive("safe", &DriveState::Safe)?;
    machines.scenario.unplug()?;
    machines.switch()?;
    machines.next_plug()?;
    next_second()?;
    machines.back_up()?;
    let (now, others) = (machines.uuids(Some("this-machine"))?, machines.uuids(Some("other-machine"))?);
    ensure!(others == second && now.len() == 2 && now.is_disjoint(&first), "{now:?} {others:?}");
    Ok(())
}

#[test]
fn a_copy_of_a_shared_drive_is_detected() -> Result<()> {
    let mut machines = Machines::new("")?;
    machines.back_up()?;
    machines.scenario.unplug()?;
    let copy = machines.scenario.fixture.sandbox.join("copy.disk");
    fs::copy(&machines.scenario.image, &copy)?;
    machines.next_plug()?;
    machines.scenario.unplug()?;
    fs::rename(copy, &machines.scenario.image)?;
    machines.switch()?;
    machines.enrol()?;
    machines.back_up()?;
    machines.scenario.unplug()?;
    machines.switch()?;
    machines.scenario.plug()?;
    let drive = machines.scenario.fixture.one("refused", |is| is.enrolled && !is.problem.is_empty())?;
    contains_all(&drive.properties.problem, &["copy of the drive \"Blue\""])
}

/// Turns what this version wrote into what version 1 did: one token for all machines, the newest shared snapshot alone, and no
/// records.
fn as_version_1(scenario: &mut Scenario) -> Result<()> {
    scenario.fixture.stop()?;
    fs::remove_file(scenario.fixture.sandbox.join("state/machine"))?;
    for name in scenario.fixture.records()? {
        let file = scenario.fixture.sandbox.join("state/drives").join(name);
        let mut enrolment: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let shared = enrolment["shared"]["home"]["shared"].as_array().and_then(|all| all.last()).context("shared")?;
        let pin = json!({
            "sent_as": shared["here"]["uuid"], "ctransid": shared["here"]["ctransid"], "source": shared["here"]["uuid"],
            "drive": shared["there"]["uuid"], "time": shared["time"],
        });
        enrolment["pins"] = json!({ "home": pin });
        enrolment["version"] = json!(1);
        let fields = enrolment.as_object_mut().context("an object")?;
        fields.retain(|name, _| name != "shared" && name != "restored");
        fs::write(&file, serde_json::to_vec(&enrolment)?)?;
    }
    elsewhere(&scenario.image, |at| {
        fs::remove_dir_all(at.join("butterdock/home/.butterdock-staging"))?;
        let token = |path: &PathBuf| path.to_string_lossy().contains("/.butterdock-drive.");
        let token = fs::read_dir(at)?.flatten().map(|entry| entry.path()).find(token).context("a token")?;
        Ok(fs::rename(token, at.join(".butterdock-drive"))?)
    })?;
    scenario.fixture.start()
}

#[test]
fn version_1_snapshots_are_adopted_with_proof() -> Result<()> {
    let mut machines = Machines::new("keep = { last = 9 }\nprotect = \"0h\"")?;
    for _ in 0..3 {
        machines.back_up()?;
        next_second()?;
    }
    let before = machines.uuids(Some("this-machine"))?;
    // A snapshot without proof, of the same name and in the same folder.
    let (live, old) = (machines.scenario.tank.join("live"), machines.scenario.tank.join("home.20200101T000000Z"));
    snapshot::create(&live)?;
    snapshot::freeze(&live, &old)?;
    let stream = machines.scenario.fixture.sandbox.join("stream");
    snapshot::send(Proto::One, None, &old, &stream)?;
    machines.scenario.unplug()?;
    as_version_1(&mut machines.scenario)?;
    elsewhere(&machines.scenario.image, |at| Receiver::Standard.receive(&stream, &at.join("butterdock/home")))?;
    machines.next_plug()?;
    ensure!(machines.scenario.newest_is_the_source()?, "it was no increment");
    let (ours, unknown) = (machines.uuids(Some("this-machine"))?, machines.uuids(None)?);
    ensure!(ours.is_superset(&before) && ours.len() == 4 && unknown.len() == 1, "{ours:?} {before:?} {unknown:?}");
    let text = machines.configurations[0].replace("last = 9", "last = 1");
    fs::write(&machines.scenario.fixture.configuration, text)?;
    machines.scenario.unplug()?;
    machines.scenario.fixture.stop()?;
    machines.scenario.fixture.start()?;
    next_second()?;
    machines.next_plug()?;
    let (ours, still) = (machines.uuids(Some("this-machine"))?, machines.uuids(None)?);
    ensure!(ours.len() == 2 && still == unknown, "what is proved is thinned, and nothing else: {ours:?} {still:?}");
    Ok(())
}

/// With one backup done, the drive away, and what another machine does to it.
fn changed(does: impl FnOnce(&Path) -> Result<()>) -> Result<Scenario> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    scenario.unplug()?;
    elsewhere(&scenario.image, does)?;
    Ok(scenario)
}

fn each(at: &Path, does: impl Fn(&Path) -> Result<()>) -> Result<()> {
    snapshots(&at.join("butterdock/home"))?.iter().try_for_each(|path| does(path))
}

/// Plugs it in; that everything is sent, and that the job's note says why.
fn everything_is_sent(mut scenario: Scenario, why: &str) -> Result<()> {
    fs::write(scenario.source.join("changed"), "here")?;
    let recorder = Recorder::start(&scenario.fixture.bus)?;
    let before = scenario.good_backups()?;
    scenario.plug()?;
    scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.good_backups()? > before))?;
    scenario.drive("safe", &DriveState::Safe)?;
    let job = recorder.finish(&scenario.fixture.client)?.jobs()?.pop().context("a job")?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    contains_all(&note, &["full transfer", why])?;
    ensure!(!note.contains("nothing was received"), "{note}");
    ensure!(!scenario.newest_is_the_source()?, "it built on what was changed");
    Ok(())
}

#[test]
fn a_deleted_last_backup_is_reported() -> Result<()> {
    everything_is_sent(changed(|at| each(at, snapshot::delete))?, "was deleted there")
}

#[test]
fn a_writable_last_backup_is_reported() -> Result<()> {
    everything_is_sent(changed(|at| each(at, |path| snapshot::set_read_only(path, false)))?, "was made writable")
}

#[test]
fn a_drive_without_its_token_is_refused() -> Result<()> {
    let mut scenario = changed(|at| {
        let tokens = fs::read_dir(at)?.flatten().map(|entry| entry.path());
        let token = |path: &PathBuf| path.to_string_lossy().contains(".butterdock-drive.");
        Ok(fs::remove_file(tokens.into_iter().find(token).context("a token")?)?)
    })?;
    scenario.plug()?;
    let drive = scenario.fixture.one("refused", |is| is.enrolled && !is.problem.is_empty())?;
    contains_all(
        &drive.properties.problem,
        &["Blue", "has no token", "deleted or damaged", "forget it and enrol it again"],
    )?;
    ensure!(!scenario.is_held()? && scenario.good_backups()? == 1, "{drive:?}");
    Ok(())
}
