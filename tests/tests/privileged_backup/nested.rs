//! Subvolumes below the source: backed up with it, pruned with it, and restored in place.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::{Ended, Layout, Volume, WorkerProcess, butterdockd, snapshot};
use serde_json::{Value, json};

use crate::fixture::{Fixture, START, at, bytes, events, with};

/// Bytes that are no text, a line feed, and letters that look like an option.
const HOSTILE: &[u8] = b"-b\nob \xff";

/// A source with a subvolume of a hostile name, and two that are one in the other.
fn fixture() -> Result<Fixture> {
    let fixture = Fixture::new()?;
    make(&fixture.live("alice"), "of alice")?;
    fs::create_dir_all(fixture.live("alice/deep"))?;
    make(&fixture.live("alice/deep/photos"), "of photos")?;
    make(&fixture.live("").join(OsStr::from_bytes(HOSTILE)), "of bob")?;
    Ok(fixture)
}

/// Makes a subvolume with a file of some size.
fn make(at: &Path, text: &str) -> Result<()> {
    snapshot::create(at)?;
    fs::write(at.join("large"), vec![b'n'; 2 << 20])?;
    Ok(fs::write(at.join("file"), text)?)
}

fn order(wall: i64) -> Result<Value> {
    at(with(json!({"nested": true})), wall)
}

/// How many subvolumes below the source a run had, and how many of them in full.
fn nested(ended: &Ended) -> Result<(u64, u64)> {
    let event = events(ended, "nested").first().copied().context("none")?.clone();
    Ok((event["count"].as_u64().context("count")?, event["full"].as_u64().context("full")?))
}

/// Restores a snapshot on the drive into a folder of a volume.
fn restore(fixture: &Fixture, name: &str, into: &Path) -> Result<Ended> {
    begin_restore(fixture, name, into)?.finish()?.success()
}

fn begin_restore(fixture: &Fixture, name: &str, into: &Path) -> Result<WorkerProcess> {
    let snapshot = File::open(fixture.destination().join(name))?;
    let (folder, into) = (File::open(fixture.destination())?, File::open(into)?);
    let order = json!({"restore": {"name": null, "writer_threads": null, "shared": []}});
    let descriptors = [snapshot.as_fd(), folder.as_fd(), into.as_fd()];
    WorkerProcess::new(&butterdockd()?, &order, &descriptors)
}

/// A folder of a new volume that users can reach, and one that only root can.
fn volume(fixture: &Fixture) -> Result<(Volume, [PathBuf; 2])> {
    use std::os::unix::fs::PermissionsExt as _;
    let volume = fixture.sandbox.volume("restored", &Layout::sized(1024, ""))?;
    let folders = [("open", 0o755), ("private", 0o700)].map(|(name, mode)| (volume.join(name), mode));
    for (folder, mode) in &folders {
        fs::create_dir(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(*mode))?;
    }
    Ok((volume, folders.map(|(folder, _)| folder)))
}

/// The names of the runs on the drive: of the source's snapshots.
fn runs(fixture: &Fixture) -> Result<Vec<String>> {
    let names = fixture.names()?.1;
    Ok(names.into_iter().filter(|name| name.len() == "home.20261122T201500Z".len()).collect())
}

#[test]
fn nested_subvolumes_are_backed_up_and_restored_in_place() -> Result<()> {
    let fixture = fixture()?;
    let first = fixture.run(&order(START)?)?;
    ensure!(nested(&first)? == (3, 3) && bytes(&first)? > 6 << 20, "{:?}", first.reports);
    ensure!(first.said("published").len() == 4, "{:?}", first.reports);
    let before = Tree::read(&fixture.live(""))?;
    let (_volume, folders) = volume(&fixture)?;
    let one = runs(&fixture)?.pop().context("a run")?;
    for folder in &folders {
        let ended = restore(&fixture, &one, folder)?;
        ensure!(events(&ended, "restored_nested")[0] == &json!({"count": 3, "missing": 0}), "{:?}", ended.reports);
        ensure!(events(&ended, "restored").len() == 4, "{:?}", ended.reports);
        let whole = Tree::read(&folder.join(&one))?;
        same("the first run", &before, &whole, Rules::SOURCE_OF_INCREMENT)?;
        for path in ["", "alice", "alice/deep/photos"] {
            let shown = snapshot::show(&folder.join(&one).join(path))?;
            ensure!(shown.read_only && shown.received_uuid != "-", "{path}: {shown:?}");
        }
        ensure!(all_but_records(folder)? == [one.clone()], "something is left: {:?}", all_but_records(folder)?);
    }
    // Changed, moved, removed, added, and replaced by a snapshot of itself.
    fs::write(fixture.live("alice/file"), "of alice, changed")?;
    fs::rename(fixture.live("alice/deep/photos"), fixture.live("pictures"))?;
    snapshot::delete(&fixture.live("").join(OsStr::from_bytes(HOSTILE)))?;
    make(&fixture.live("carol"), "of carol")?;
    fs::rename(fixture.live("alice"), fixture.source.join("old"))?;
    snapshot::branch(&fixture.source.join("old"), &fixture.live("alice"))?;
    let second = fixture.run(&order(START + 10)?)?;
    ensure!(nested(&second)? == (3, 1), "only carol is new: {:?}", second.reports);
    ensure!((2 << 20..3 << 20).contains(&bytes(&second)?), "{:?}", second.reports);
    let two = runs(&fixture)?.pop().context("a run")?;
    restore(&fixture, &two, &folders[0])?;
    let (now, whole) = (Tree::read(&fixture.live(""))?, Tree::read(&folders[0].join(&two))?);
    same("the second run", &now, &whole, Rules::SOURCE_OF_INCREMENT)?;
    let third = fixture.run(&order(START + 20)?)?;
    ensure!(events(&third, "unchanged").len() == 1 && third.said("published").is_empty(), "{:?}", third.reports);
    // A subvolume below the source is enough.
    fs::write(fixture.live("pictures/file"), "changed")?;
    let fourth = fixture.run(&order(START + 30)?)?;
    ensure!(nested(&fourth)? == (3, 0) && bytes(&fourth)? < 64 << 10, "{:?}", fourth.reports);
    Ok(())
}

/// The names in a folder without those of the records.
fn all_but_records(folder: &Path) -> Result<Vec<String>> {
    let names = butterdock_tests::all_names(folder)?;
    Ok(names.into_iter().filter(|name| name != ".butterdock-staging").collect())
}

#[test]
fn a_restore_without_all_of_a_run_is_no_success() -> Result<()> {
    let fixture = fixture()?;
    fixture.run(&order(START)?)?;
    let one = runs(&fixture)?.pop().context("a run")?;
    snapshot::delete(&fixture.destination().join(format!("{one}.2-alice")))?;
    let (_volume, folders) = volume(&fixture)?;
    let ended = begin_restore(&fixture, &one, &folders[0])?.finish()?;
    let error = ended.error()?.context("no error")?.to_string();
    ensure!(error.contains("without 1 of the 3 subvolumes below its source"), "{error}");
    ensure!(folders[0].join(&one).exists(), "the others are restored");
    Ok(())
}

#[test]
fn runs_are_pruned_as_a_whole() -> Result<()> {
    let fixture = fixture()?;
    let start = crate::fixture::now()?;
    let newest = json!({"last": 1, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    let mut lineage = json!({"sources": []});
    for number in 0..3 {
        fs::write(fixture.live("alice/file"), format!("{number}"))?;
        let fields = json!({"nested": true, "keep": newest, "lineage": lineage});
        let ended = fixture.run(&at(with(fields), start + 10 * number)?)?;
        lineage = events(&ended, "lineage")[0].clone();
    }
    ensure!(fixture.names()?.1.len() == 4, "one run is left on the drive: {:?}", fixture.names()?);
    // A remnant beside the source.
    snapshot::freeze(&fixture.live("alice"), &fixture.folder().join(name_of(start + 5) + ".1-alice"))?;
    // One that a person made, and one whose run was renamed by a person.
    snapshot::freeze(&fixture.live("alice"), &fixture.folder().join("by-hand"))?;
    let order = at(with(json!({"keep": newest, "lineage": lineage})), start + 30)?;
    fixture.prune(&order["backup"])?;
    let mine = fixture.names()?.0;
    ensure!(mine.len() == 5 && mine.contains(&"by-hand".to_owned()), "{mine:?}");
    Ok(())
}

/// `home.20261122T201500Z`
fn name_of(seconds: i64) -> String {
    let time = Value::from(seconds);
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{time}"), "+home.%Y%m%dT%H%M%SZ"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    output.unwrap_or_default()
}

#[test]
fn a_run_that_was_killed_between_streams_is_no_run() -> Result<()> {
    let fixture = fixture()?;
    fixture.run(&order(START)?)?;
    for (number, path) in [(1, "alice/file"), (2, "alice/deep/photos/file")] {
        fs::write(fixture.live(path), format!("{number}"))?;
        // The source's stream comes last, and takes long.
        fs::write(fixture.live("large"), vec![u8::try_from(number)?; 200 << 20])?;
        let mut worker = fixture.begin(&order(START + 10 * number)?)?;
        for _ in 0..3 {
            worker.wait_for("published")?;
        }
        worker.kill()?;
        let (mine, theirs) = fixture.names()?;
        ensure!(runs(&fixture)?.len() == usize::try_from(number)?, "incomplete: {theirs:?}");
        ensure!(theirs.len() > 4 * usize::try_from(number)?, "nothing was killed in between: {theirs:?}");
        let visible = mine.iter().filter(|name| !name.starts_with('.')).count();
        ensure!(visible == 4 * usize::try_from(number)?, "{mine:?}");
        let next = fixture.run(&order(START + 10 * number + 5)?)?;
        ensure!(nested(&next)? == (3, 0), "{:?}", next.reports);
        let (mine, theirs) = fixture.names()?;
        ensure!(mine == theirs && mine.len() == 4 * (1 + usize::try_from(number)?), "{mine:?} {theirs:?}");
    }
    let (_volume, folders) = volume(&fixture)?;
    let newest = runs(&fixture)?.pop().context("a run")?;
    restore(&fixture, &newest, &folders[0])?;
    let (now, whole) = (Tree::read(&fixture.live(""))?, Tree::read(&folders[0].join(&newest))?);
    same("after kills", &now, &whole, Rules::SOURCE_OF_INCREMENT)
}

#[test]
fn a_killed_restore_leaves_nothing_that_the_next_one_does_not_sweep() -> Result<()> {
    let fixture = fixture()?;
    fs::write(fixture.live("large"), vec![b'z'; 100 << 20])?;
    fixture.run(&order(START)?)?;
    let one = runs(&fixture)?.pop().context("a run")?;
    let (_volume, folders) = volume(&fixture)?;
    let tree = Tree::read(&fixture.live(""))?;
    let is_whole =
        |folder: &Path| same("restored", &tree, &Tree::read(&folder.join(&one))?, Rules::SOURCE_OF_INCREMENT);
    for folder in &folders {
        let mut names = vec![one.clone()];
        // During the transfer, and with the others in their places.
        for is_in_place in [false, true] {
            let mut worker = begin_restore(&fixture, &one, folder)?;
            for _ in 0..3 {
                worker.wait_for("published")?;
            }
            while is_in_place && worker.wait_for("phase")? == "receiving" {}
            worker.kill()?;
            // It may have been quicker than the signal.
            if folder.join(&one).exists() {
                is_whole(folder)?;
                names.push(format!("{one}-quick"));
                fs::rename(folder.join(&one), folder.join(format!("{one}-quick")))?;
            } else if is_in_place {
                let hidden = butterdock_tests::all_names(folder)?;
                let has_nested = |name: &String| folder.join(name).join("alice/deep/photos/file").exists();
                ensure!(hidden.iter().any(has_nested), "none was in its place: {hidden:?}");
            }
        }
        restore(&fixture, &one, folder)?;
        let left = all_but_records(folder)?;
        ensure!(left == names, "it was not swept: {left:?}");
        let hidden = butterdock_tests::all_names(&folder.join(".butterdock-staging"))?;
        ensure!(hidden.iter().all(|name| !name.starts_with(".butterdock-")), "it was not swept: {hidden:?}");
        is_whole(folder)?;
    }
    Ok(())
}

#[test]
fn a_cancelled_run_leaves_nothing() -> Result<()> {
    let fixture = fixture()?;
    fixture.run(&order(START)?)?;
    let before = fixture.names()?;
    fs::write(fixture.live("large"), vec![b'z'; 200 << 20])?;
    let mut worker = fixture.begin(&order(START + 10)?)?;
    for _ in 0..3 {
        worker.wait_for("published")?;
    }
    worker.say("\"cancel\"")?;
    let ended = worker.finish()?;
    ensure!(ended.error()?.is_some(), "it was not cancelled: {:?}", ended.reports);
    ensure!(fixture.names()? == before, "{:?}", fixture.names()?);
    Ok(())
}

#[test]
fn a_source_of_nothing_but_subvolumes_is_backed_up_with_them() -> Result<()> {
    let fixture = Fixture::new()?;
    fs::remove_file(fixture.live("file"))?;
    make(&fixture.live("alice"), "of alice")?;
    snapshot::create(&fixture.live(".snapshots"))?;
    snapshot::freeze(&fixture.live("alice"), &fixture.live(".snapshots").join("1"))?;
    snapshot::create(&fixture.live("frozen"))?;
    snapshot::set_read_only(&fixture.live("frozen"), true)?;
    let ended = fixture.run(&order(START)?)?;
    ensure!(nested(&ended)? == (2, 2), "{:?}", ended.reports);
    // The other program's snapshot of an included one is a copy, and not counted.
    let left_out = events(&ended, "left_out")[0].clone();
    ensure!(left_out["count"] == 1 && left_out["paths"] == json!(["66726f7a656e"]), "{left_out}");
    Ok(())
}

#[test]
fn hostile_paths_on_a_drive_lead_nowhere() -> Result<()> {
    let fixture = fixture()?;
    fixture.run(&order(START)?)?;
    let (mut folders, mut files) = (vec![fixture.destination().join(".butterdock-staging")], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut paths = ["../escaped", "/escaped", "missing/directory"].into_iter().map(hex);
    for file in files {
        let mut record: Value = serde_json::from_slice(&fs::read(&file)?)?;
        if record["origin"]["nested"].is_object() {
            record["origin"]["nested"]["path"] = json!(paths.next().context("a path")?);
            fs::write(&file, record.to_string())?;
        }
    }
    let (_volume, folders) = volume(&fixture)?;
    let one = runs(&fixture)?.pop().context("a run")?;
    let ended = restore(&fixture, &one, &folders[0])?;
    ensure!(events(&ended, "restored_nested")[0] == &json!({"count": 3, "missing": 3}), "{:?}", ended.reports);
    ensure!(all_but_records(&folders[0])? == [one], "{:?}", all_but_records(&folders[0])?);
    Ok(())
}
