//! Snapshots that a person holds, releases and deletes.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::{BACKUP, DESTINATION, JOB};
use butterdock_dbus::path::backup_path;
use butterdock_dbus::{DeletionEstimate, DriveState, SnapshotRow};
use butterdock_tests::{Scenario, contains_all, error_name, no_options, word};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zbus::{OwnedObjectPath, Variant};

/// The methods about the snapshots on the drive of a scenario, or beside its source.
struct Snapshots<'s> {
    scenario: &'s Scenario,
    beside_source: bool,
}

fn on_drive(scenario: &Scenario) -> Snapshots<'_> {
    Snapshots { scenario, beside_source: false }
}

impl Snapshots<'_> {
    fn call(&self, method: &str, body: &(impl serde::Serialize + zbus::DynamicType)) -> zbus::Result<zbus::Message> {
        let fixture = &self.scenario.fixture;
        if self.beside_source {
            return fixture.client.call(backup_path("home").as_str(), (BACKUP, method), body);
        }
        let drive = fixture.one("the drive", |is| is.enrolled);
        let drive = drive.map_err(|error| zbus::Error::Failure(error.to_string()))?;
        fixture.client.call(&drive.path, (DESTINATION, method), body)
    }

    /// The newest first.
    fn list(&self) -> Result<Vec<SnapshotRow>> {
        Ok(self.call("ListSnapshots", &no_options())?.body().deserialize()?)
    }

    fn hold(&self, row: &SnapshotRow, reason: &str) -> Result<()> {
        self.call("HoldSnapshot", &(&row.uuid, reason, no_options())).map(drop)?;
        Ok(())
    }

    fn delete(&self, rows: &[&SnapshotRow], force: bool) -> zbus::Result<String> {
        let uuids: Vec<&str> = rows.iter().map(|row| row.uuid.as_str()).collect();
        let mut options = no_options();
        if force {
            options.insert("force", Variant::from(true));
        }
        let body = self.call("DeleteSnapshots", &(uuids, options))?.body();
        Ok(body.deserialize::<OwnedObjectPath>()?.to_string())
    }

    /// The name of the error, and its message.
    fn refused(&self, rows: &[&SnapshotRow], force: bool) -> Result<(String, String)> {
        let error = self.delete(rows, force).err().context("not refused")?;
        Ok((error_name(&error), error.to_string()))
    }
}

fn noise(mebibytes: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; mebibytes << 20];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Backs up the source with another file of this size.
fn back_up(scenario: &Scenario, mebibytes: usize) -> Result<String> {
    fs::write(scenario.source.join("large"), noise(mebibytes)?)?;
    let job = scenario.job("Backup", &no_options())?;
    scenario.drive("safe", &DriveState::Safe)?;
    Ok(job)
}

fn with_rule(rule: &str) -> Result<Scenario> {
    Scenario::on(&["home"], rule, |fixture| fixture.image("a", "Blue"))
}

#[test]
fn a_held_snapshot_stays_and_a_released_one_is_pruned() -> Result<()> {
    let scenario = with_rule("keep = { last = 1 }\nprotect = \"0h\"")?;
    let snapshots = on_drive(&scenario);
    back_up(&scenario, 1)?;
    let [first] = snapshots.list()?.try_into().map_err(|rows| anyhow::anyhow!("{rows:?}"))?;
    ensure!(first.held == Some(false), "{first:?}");
    snapshots.hold(&first, "before the move")?;
    for _ in 0..2 {
        back_up(&scenario, 1)?;
    }
    let rows = snapshots.list()?;
    let held = rows.iter().find(|row| row.uuid == first.uuid).context("it is gone")?;
    // A backup keeps the parent that it used, too.
    ensure!(rows.len() == 3 && held.held_reason.as_deref() == Some("before the move"), "{rows:?}");
    ensure!(held.held == Some(true) && held.held_since.is_some(), "{held:?}");
    let (name, message) = snapshots.refused(&[held], true)?;
    ensure!(name.ends_with(".Held"), "{name}");
    contains_all(&message, &["is held (before the move)", "release it first"])?;
    snapshots.call("ReleaseSnapshot", &(&held.uuid, no_options()))?;
    back_up(&scenario, 1)?;
    let rows = snapshots.list()?;
    ensure!(rows.len() == 2 && rows.iter().all(|row| row.uuid != first.uuid), "{rows:?}");
    scenario.nothing_is_incomplete()
}

#[test]
fn a_deletion_frees_what_was_estimated_and_names_its_price() -> Result<()> {
    let scenario = with_rule("")?;
    let snapshots = on_drive(&scenario);
    for mebibytes in [30, 20, 10] {
        back_up(&scenario, mebibytes)?;
    }
    let rows = snapshots.list()?;
    let [newest, second, first] = rows.as_slice() else { anyhow::bail!("{rows:?}") };
    let body = snapshots.call("EstimateDeletion", &(vec![&first.uuid, &second.uuid], no_options()))?.body();
    let estimate: DeletionEstimate = body.deserialize()?;
    let least = 50 << 20;
    ensure!(estimate.bytes.is_some_and(|bytes| (least..least + (4 << 20)).contains(&bytes)), "{estimate:?}");
    ensure!(estimate.lost.is_empty(), "{estimate:?}");
    ensure!(snapshots.list()?.len() == 3, "an estimate deletes nothing");
    let job = snapshots.delete(&[first, second], false)?;
    scenario.succeeds(&job)?;
    let freed: u64 = scenario.fixture.client.get(&job, JOB, "BytesReceived")?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    ensure!(freed >= least && note == "2 snapshots were deleted", "{freed} {note}");
    ensure!(snapshots.list()?.len() == 1);
    // The parent of the next increment: without it everything is sent.
    let (name, message) = snapshots.refused(&[newest], false)?;
    ensure!(name.ends_with(".Shared"), "{name}");
    contains_all(&message, &["the backup \"home\" to \"Blue\"", "is a full one of about", "MiB", "--force"])?;
    let job = snapshots.delete(&[newest], true)?;
    scenario.succeeds(&job)?;
    ensure!(snapshots.list()?.is_empty());
    let job = back_up(&scenario, 1)?;
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    contains_all(&note, &["full transfer, because", "was deleted by a command"])?;
    back_up(&scenario, 1)?;
    ensure!(scenario.newest_is_the_source()?, "no increment");
    // What is gone is not there.
    let (name, _) = snapshots.refused(&[first], false)?;
    ensure!(name.ends_with(".NotFound"), "{name}");
    Ok(())
}

#[test]
fn snapshots_beside_a_source_are_held_and_deleted() -> Result<()> {
    let scenario = with_rule("keep = { last = 1 }\nprotect = \"0h\"")?;
    let snapshots = Snapshots { scenario: &scenario, beside_source: true };
    back_up(&scenario, 3)?;
    let [first] = snapshots.list()?.try_into().map_err(|rows| anyhow::anyhow!("{rows:?}"))?;
    ensure!(first.pinned == Some(true) && first.origin.as_deref() == Some("this-machine"), "{first:?}");
    snapshots.hold(&first, "")?;
    for _ in 0..2 {
        back_up(&scenario, 1)?;
    }
    let rows = snapshots.list()?;
    ensure!(rows.iter().any(|row| row.uuid == first.uuid && row.held == Some(true)), "{rows:?}");
    let newest = rows.first().context("one")?;
    let (name, message) = snapshots.refused(&[newest], false)?;
    ensure!(name.ends_with(".Shared"), "{name}");
    contains_all(&message, &["\"home\" to \"Blue\"", "starts from an older shared snapshot"])?;
    let (name, _) = snapshots.refused(&[&first], false)?;
    ensure!(name.ends_with(".Held"), "{name}");
    snapshots.call("ReleaseSnapshot", &(&first.uuid, no_options()))?;
    let body = snapshots.call("EstimateDeletion", &(vec![&first.uuid], no_options()))?.body();
    let estimate: DeletionEstimate = body.deserialize()?;
    ensure!(estimate.bytes.is_some_and(|bytes| bytes >= 3 << 20) && estimate.lost.is_empty(), "{estimate:?}");
    let job = snapshots.delete(&[&first], false)?;
    scenario.succeeds(&job)?;
    let kind: String = scenario.fixture.client.get(&job, JOB, "Kind")?;
    ensure!(kind == "delete" && !snapshots.list()?.iter().any(|row| row.uuid == first.uuid));
    back_up(&scenario, 1)?;
    ensure!(scenario.newest_is_the_source()?, "no increment");
    Ok(())
}

#[test]
fn a_full_drive_names_the_held_snapshots() -> Result<()> {
    let scenario = with_rule("keep = { last = 1 }\nprotect = \"0h\"")?;
    let snapshots = on_drive(&scenario);
    back_up(&scenario, 90)?;
    let [first] = snapshots.list()?.try_into().map_err(|rows| anyhow::anyhow!("{rows:?}"))?;
    snapshots.hold(&first, "")?;
    back_up(&scenario, 1)?;
    fs::write(scenario.source.join("large"), noise(120)?)?;
    let job = scenario.start_backup()?;
    let (state, error, message) = scenario.end_of_backup(&job)?;
    ensure!((state.as_str(), error.as_str()) == ("failed", "NoSpace"), "{state} {error} {message}");
    let name = String::from_utf8(first.name.clone())?;
    contains_all(&message, &["1 snapshot there is held", "butterdock snapshots release", &name])?;
    let public: String = scenario.fixture.client.get(&job, JOB, "ErrorMessage")?;
    ensure!(public.contains("1 snapshot there is held") && !public.contains(&name), "{public}");
    scenario.drive("let go", &DriveState::Safe)?;
    ensure!(snapshots.list()?.iter().any(|row| row.uuid == first.uuid), "the held one is gone");
    snapshots.call("ReleaseSnapshot", &(&first.uuid, no_options()))?;
    scenario.job("Backup", &no_options())?;
    ensure!(scenario.newest_is_the_source()?, "no increment");
    Ok(())
}

#[test]
fn an_interrupted_deletion_is_completed_after_start_and_plug() -> Result<()> {
    let mut scenario = with_rule("")?;
    for _ in 0..5 {
        back_up(&scenario, 4)?;
    }
    // The daemon is killed.
    let rows = on_drive(&scenario).list()?;
    on_drive(&scenario).delete(&[&rows[4], &rows[3]], false)?;
    let daemon = scenario.fixture.daemon.take().context("it runs")?;
    kill(Pid::from_raw(i32::try_from(daemon.id())?), Signal::SIGKILL)?;
    drop(daemon);
    scenario.fixture.start()?;
    done(&scenario, &[&rows[4], &rows[3]])?;
    // The drive is pulled.
    let rows = on_drive(&scenario).list()?;
    let [_, second, first] = rows.as_slice() else { anyhow::bail!("{rows:?}") };
    scenario.drive("safe", &DriveState::Safe)?;
    on_drive(&scenario).delete(&[first, second], false)?;
    drop(scenario.disk.take());
    scenario.plug()?;
    done(&scenario, &[first, second])?;
    ensure!(scenario.newest_is_the_source()?, "the newest is an increment");
    Ok(())
}

/// Waits until these snapshots are gone, and nothing of a request is left.
fn done(scenario: &Scenario, rows: &[&SnapshotRow]) -> Result<()> {
    let requests: PathBuf = scenario.fixture.sandbox.join("state/deletions");
    scenario.fixture.client.until("the request is done", |_| Ok(fs::read_dir(&requests)?.next().is_none()))?;
    scenario.drive("released", &DriveState::Safe)?;
    let left = on_drive(scenario).list()?;
    ensure!(!left.iter().any(|row| rows.iter().any(|gone| gone.uuid == row.uuid)), "{left:?}");
    let history = scenario.history("delete")?;
    ensure!(history.iter().any(|row| word(row, "result") == "succeeded"), "{history:?}");
    Ok(())
}
