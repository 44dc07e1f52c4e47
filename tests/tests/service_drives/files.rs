//! Files in snapshots on a drive: as root, as a user, as a user who may not; a hostile tree, and a worker that is killed.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::{BACKUP, DESTINATION, JOB};
use butterdock_dbus::path::backup_path;
use butterdock_dbus::{DriveState, FileRow, FileVersionRow, SnapshotRow};
use butterdock_tests::{
    Options, Polkit, Rules, Scenario, TIMEOUT, answer, as_nobody, contains_all, no_options, python, run, snapshot,
};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::Pid;
use serde_json::Value;
use zbus::{OwnedFd, OwnedObjectPath, Variant};

const NOBODY: u32 = 65534;
const REFUSED: &str = "org.butterdock.Butterdock1.Error.NotAuthorized";

/// The destination or the backup, and calls of it as root.
pub(crate) struct Calls<'s> {
    scenario: &'s Scenario,
    path: String,
    interface: &'static str,
}

impl<'s> Calls<'s> {
    pub(crate) fn new(scenario: &'s Scenario) -> Result<Self> {
        let path = scenario.fixture.one("the drive", |is| is.enrolled)?.path;
        Ok(Self { scenario, path, interface: DESTINATION })
    }

    /// Of the snapshots beside the source.
    pub(crate) fn of_source(scenario: &'s Scenario) -> Self {
        Self { scenario, path: backup_path("home").to_string(), interface: BACKUP }
    }

    /// The uuids of the snapshots, the newest first.
    pub(crate) fn snapshots(&self) -> Result<Vec<String>> {
        let body =
            self.scenario.fixture.client.call(&self.path, (self.interface, "ListSnapshots"), &no_options())?.body();
        Ok(body.deserialize::<Vec<SnapshotRow>>()?.into_iter().map(|row| row.uuid).collect())
    }

    pub(crate) fn list(&self, snapshot: &str, path: &[u8], options: &Options<'_>) -> Result<(Vec<FileRow>, bool)> {
        let call = (self.interface, "ListFiles");
        Ok(self.scenario.fixture.client.call(&self.path, call, &(snapshot, path, options))?.body().deserialize()?)
    }

    pub(crate) fn versions(&self, path: &[u8]) -> Result<Vec<FileVersionRow>> {
        let call = (self.interface, "FileVersions");
        let body = self.scenario.fixture.client.call(&self.path, call, &(path, no_options()))?.body();
        Ok(body.deserialize()?)
    }

    pub(crate) fn open(&self, snapshot: &str, path: &[u8]) -> Result<(File, String)> {
        let call = (self.interface, "OpenFile");
        let body = self.scenario.fixture.client.call(&self.path, call, &(snapshot, path, no_options()))?.body();
        let (file, job): (OwnedFd, OwnedObjectPath) = body.deserialize()?;
        Ok((File::from(std::os::fd::OwnedFd::from(file)), job.to_string()))
    }

    /// The content, and how the job ended.
    pub(crate) fn read(&self, snapshot: &str, path: &[u8]) -> Result<(String, (String, String))> {
        let (mut file, job) = self.open(snapshot, path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok((text, self.scenario.fixture.client.end_of(&job)?))
    }

    pub(crate) fn begin_restore(&self, snapshot: &str, paths: &[&[u8]], options: &Options<'_>) -> Result<String> {
        let call = (self.interface, "RestoreFiles");
        let body = self.scenario.fixture.client.call(&self.path, call, &(snapshot, paths, options))?.body();
        Ok(body.deserialize::<OwnedObjectPath>()?.to_string())
    }

    pub(crate) fn restore(
        &self,
        snapshot: &str,
        paths: &[&[u8]],
        options: &[(&'static str, &'static str)],
    ) -> Result<()> {
        let options = options.iter().map(|(key, value)| (*key, Variant::from(*value))).collect();
        let job = self.begin_restore(snapshot, paths, &options)?;
        self.scenario.succeeds(&job)
    }

    /// What nobody, without capabilities, is answered.
    fn nobody(&self, method: &str, words: &[&str]) -> Result<Value> {
        let mut command = python("call.py", &self.scenario.fixture.bus)?;
        command.args([self.path.as_str(), self.interface, method]).args(words);
        answer(&mut as_nobody(&command))
    }

    /// How the job ended that nobody's call has begun; of `OpenFile` also the content.
    fn nobodys_job(&self, method: &str, words: &[&str]) -> Result<(String, (String, String))> {
        let said = self.nobody(method, words)?;
        let answer = &said["answer"];
        let (text, job) = match answer.as_array() {
            Some(both) => (both[0].as_str(), both[1].as_str()),
            None => (Some(""), answer.as_str()),
        };
        let job = job.with_context(|| said.to_string())?;
        Ok((text.unwrap_or_default().to_owned(), self.scenario.fixture.client.end_of(job)?))
    }
}

fn succeeded() -> (String, String) {
    ("succeeded".to_owned(), String::new())
}

/// The one file in a directory whose name begins like this.
fn named(directory: &Path, start: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory)?.collect::<std::io::Result<Vec<_>>>()?;
    let mut found = entries.iter().filter(|entry| entry.file_name().as_bytes().starts_with(start.as_bytes()));
    let one = found.next().with_context(|| format!("{start} is not in {}", directory.display()))?;
    ensure!(found.next().is_none(), "several begin with {start}");
    Ok(one.path())
}

#[test]
fn files_are_listed_read_and_restored() -> Result<()> {
    let scenario = Scenario::begin()?;
    let docs = scenario.source.join("docs");
    let odd = OsStr::from_bytes(b"\xff\n");
    fs::create_dir(&docs)?;
    fs::write(docs.join("report"), "one")?;
    fs::write(docs.join(odd), "odd")?;
    scenario.job("Backup", &no_options())?;
    fs::write(docs.join("report"), "two and more")?;
    scenario.job("Backup", &no_options())?;
    let calls = Calls::new(&scenario)?;
    let [new, old] = <[String; 2]>::try_from(calls.snapshots()?).ok().context("two snapshots")?;
    let (rows, more) = calls.list(&new, b"docs", &no_options())?;
    let names: Vec<(&[u8], u64)> = rows.iter().map(|row| (row.name.as_slice(), row.size)).collect();
    ensure!(names == [(&b"report"[..], 12), (b"\xff\n", 3)] && !more, "{rows:?}");
    let options = Options::from([("limit", Variant::from(1_u64)), ("after", Variant::from("report"))]);
    let (rows, more) = calls.list(&new, b"docs", &options)?;
    ensure!(rows.len() == 1 && rows[0].name == b"\xff\n" && !more, "{rows:?}");
    let versions = calls.versions(b"docs/report")?;
    let sizes: Vec<_> = versions.iter().map(|row| (row.size, row.snapshots, row.snapshot == new)).collect();
    ensure!(sizes == [(12, 1, true), (3, 1, false)], "{versions:?}");
    ensure!(calls.versions(b"docs")?.iter().map(|row| row.snapshots).sum::<u64>() == 2, "neighbours");
    ensure!(calls.read(&old, b"docs/report")? == ("one".to_owned(), succeeded()));
    let (text, end) = calls.read(&old, b"docs/missing")?;
    ensure!(text.is_empty() && end == ("failed".to_owned(), "NotFound".to_owned()), "{text} {end:?}");
    // Beside the present one; then in its place; then with all that is missing.
    calls.restore(&old, &[b"docs/report"], &[])?;
    ensure!(fs::read_to_string(named(&docs, "report.restored-")?)? == "one");
    ensure!(fs::read_to_string(docs.join("report"))? == "two and more");
    calls.restore(&old, &[b"docs/report"], &[("conflict", "replace")])?;
    ensure!(fs::read_to_string(docs.join("report"))? == "one");
    let taken = calls.restore(&old, &[b"docs/report"], &[("conflict", "fail")]).err().context("refused")?;
    ensure!(taken.to_string().contains("failed Exists"), "{taken}");
    fs::remove_dir_all(&docs)?;
    calls.restore(&new, &[b"docs/\xff\n"], &[])?;
    ensure!(fs::read_dir(&docs)?.count() == 1 && fs::read(docs.join(odd))? == b"odd");
    calls.restore(&new, &[b"docs"], &[("target", "tank"), ("folder", "back")])?;
    ensure!(fs::read_to_string(scenario.tank.join("back/docs/report"))? == "two and more");
    scenario.drive("safe after it", &DriveState::Safe)?;
    ensure!(!scenario.is_held()?, "still mounted");
    let kinds = scenario.history("read")?;
    ensure!(kinds.is_empty() && !scenario.history("restore-files")?.is_empty(), "{kinds:?}");
    Ok(())
}

#[test]
fn files_are_restored_from_the_source_without_a_drive() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    let file = scenario.source.join("file");
    fs::write(&file, vec![b'x'; 1 << 20])?;
    scenario.job("Backup", &no_options())?;
    scenario.unplug()?;
    fs::remove_file(&file)?;
    let calls = Calls::of_source(&scenario);
    let uuid = calls.snapshots()?.pop().context("a snapshot")?;
    ensure!(calls.list(&uuid, b"", &no_options())?.0.iter().any(|row| row.name == b"file" && row.size == 1 << 20));
    ensure!(calls.versions(b"file")?.len() == 1);
    ensure!(calls.read(&uuid, b"file")?.0.len() == 1 << 20);
    calls.restore(&uuid, &[b"file"], &[])?;
    ensure!(fs::read(&file)? == vec![b'x'; 1 << 20]);
    let extents = run(Command::new("filefrag").arg("-v").arg(&file), TIMEOUT)?.success()?.out();
    ensure!(extents.contains("shared"), "its content is not shared with the snapshot: {extents}");
    // A read-only subvolume beside the source is none of the snapshots.
    let other = scenario.pool.join("other");
    snapshot::create(&other)?;
    run(Command::new("btrfs").args(["property", "set"]).arg(&other).args(["ro", "true"]), TIMEOUT)?.success()?;
    let error = calls.list(&snapshot::show(&other)?.uuid, b"", &no_options()).err().context("refused")?;
    ensure!(error.to_string().contains("no such snapshot"), "{error}");
    Ok(())
}

#[test]
fn a_user_reads_and_restores_only_own_files() -> Result<()> {
    let scenario = Scenario::begin()?;
    let at = |path: &str| scenario.source.join(path);
    fs::set_permissions(&scenario.source, Permissions::from_mode(0o755))?;
    fs::create_dir(at("own"))?;
    for (path, owner) in [("own", NOBODY), ("own/mine", NOBODY), ("secret", 0)] {
        if path != "own" {
            fs::write(at(path), path)?;
            fs::set_permissions(at(path), Permissions::from_mode(0o600))?;
        }
        chown(at(path), Some(owner), Some(owner))?;
    }
    scenario.job("Backup", &no_options())?;
    let calls = Calls::new(&scenario)?;
    let uuid = calls.snapshots()?.pop().context("a snapshot")?;
    let snapshot = format!("s:{uuid}");
    let denying = Polkit::start(&scenario.fixture.sandbox, &scenario.fixture.bus, &Rules::Deny)?;
    let said = calls.nobody("OpenFile", &[&snapshot, "y:own/mine", "o:{}"])?;
    ensure!(said["error"] == REFUSED, "{said}");
    drop(denying);
    let _polkit = Polkit::start(&scenario.fixture.sandbox, &scenario.fixture.bus, &Rules::Only(vec!["restore-own"]))?;
    let said = calls.nobody("ListSnapshots", &["o:{\"own\": true}"])?;
    ensure!(said["answer"].as_array().is_some_and(|rows| rows.len() == 1), "{said}");
    ensure!(calls.nobody("ListSnapshots", &["o:{}"])?["error"] == REFUSED);
    let said = calls.nobody("ListFiles", &[&snapshot, "y:own", "o:{}"])?;
    ensure!(said["answer"][0].as_array().is_some_and(|rows| rows.len() == 1), "{said}");
    let mine = calls.nobodys_job("OpenFile", &[&snapshot, "y:own/mine", "o:{}"])?;
    ensure!(mine == ("own/mine".to_owned(), succeeded()), "{mine:?}");
    let (text, end) = calls.nobodys_job("OpenFile", &[&snapshot, "y:secret", "o:{}"])?;
    ensure!(text.is_empty() && end == ("failed".to_owned(), "NotAuthorized".to_owned()), "{text} {end:?}");
    let said = calls.nobody("OpenFile", &[&snapshot, "y:secret", "o:{\"as_root\": true}"])?;
    ensure!(said["error"] == REFUSED, "{said}");
    let (_, end) = calls.nobodys_job("RestoreFiles", &[&snapshot, "Y:own/mine", "o:{}"])?;
    ensure!(end == succeeded(), "{end:?}");
    let restored = named(&at("own"), "mine.restored-")?;
    ensure!(fs::read_to_string(&restored)? == "own/mine" && restored.metadata()?.uid() == NOBODY);
    // Not to a directory of root's, nor a file of root's.
    for path in ["Y:secret", "Y:own/../secret"] {
        let said = calls.nobody("RestoreFiles", &[&snapshot, path, "o:{\"conflict\": \"replace\"}"])?;
        if let Some(job) = said["answer"].as_str() {
            ensure!(scenario.fixture.client.end_of(job)?.1 == "NotAuthorized", "{path}");
        }
    }
    ensure!(
        fs::read_dir(&scenario.source)?
            .flatten()
            .all(|entry| !entry.file_name().as_bytes().starts_with(b".butterdock-rest"))
    );
    // A directory above the source keeps users out: so do its snapshots.
    fs::set_permissions(scenario.pool.path(), Permissions::from_mode(0o700))?;
    let said = calls.nobody("ListFiles", &[&snapshot, "y:own", "o:{}"])?;
    ensure!(
        said["error"] == REFUSED && said["message"].as_str().is_some_and(|text| text.contains("backed up")),
        "{said}"
    );
    fs::set_permissions(scenario.pool.path(), Permissions::from_mode(0o755))?;
    ensure!(calls.read(&uuid, b"secret")? == ("secret".to_owned(), succeeded()), "root reads it");
    Ok(())
}

/// A subvolume on the drive that this machine did not make.
fn hostile(scenario: &Scenario, path: &str) -> Result<String> {
    let top = scenario.fixture.client.call(path, ("org.butterdock.Butterdock1.Drive", "Mount"), &no_options())?;
    let top: PathBuf = PathBuf::from(top.body().deserialize::<String>()?);
    let evil = top.join("evil");
    snapshot::create(&evil)?;
    symlink("/etc", evil.join("etc"))?;
    symlink("../../../../etc/passwd", evil.join("up"))?;
    mknod(&evil.join("null"), SFlag::S_IFCHR, Mode::S_IRUSR | Mode::S_IROTH, makedev(1, 3))?;
    nix::unistd::mkfifo(&evil.join("pipe"), Mode::S_IRWXU)?;
    fs::write(evil.join("set-id"), "x")?;
    fs::set_permissions(evil.join("set-id"), Permissions::from_mode(0o6755))?;
    snapshot::create(&evil.join("nested"))?;
    fs::write(evil.join("nested/inside"), "x")?;
    fs::create_dir(evil.join("many"))?;
    for number in 0..100_000 {
        File::create(evil.join(format!("many/{number:05}\n")))?;
    }
    run(Command::new("btrfs").args(["property", "set"]).arg(&evil).args(["ro", "true"]), TIMEOUT)?.success()?;
    Ok(snapshot::show(&evil)?.uuid)
}

#[test]
fn a_hostile_tree_on_the_drive_leads_nowhere() -> Result<()> {
    let scenario = Scenario::begin()?;
    let calls = Calls::new(&scenario)?;
    let uuid = hostile(&scenario, &calls.path)?;
    let (rows, more) = calls.list(&uuid, b"", &no_options())?;
    let kinds: Vec<(&[u8], &str)> = rows.iter().map(|row| (row.name.as_slice(), row.kind.as_str())).collect();
    let expected: [(&[u8], &str); 7] = [
        (b"etc", "symlink"),
        (b"many", "directory"),
        (b"nested", "directory"),
        (b"null", "character-device"),
        (b"pipe", "fifo"),
        (b"set-id", "file"),
        (b"up", "symlink"),
    ];
    ensure!(kinds == expected && !more, "{rows:?}");
    ensure!(rows[6].target.as_deref() == Some(b"../../../../etc/passwd"), "{:?}", rows[6]);
    let (mut all, mut after) = (0, None::<Vec<u8>>);
    loop {
        let options = after.take().map(|name| ("after", Variant::from(name))).into_iter().collect();
        let (rows, more) = calls.list(&uuid, b"many", &options)?;
        ensure!(rows.is_sorted_by(|one, other| one.name < other.name));
        all += rows.len();
        after = rows.last().map(|row| row.name.clone());
        if !more {
            break;
        }
    }
    ensure!(all == 100_000, "{all}");
    for path in [&b"etc/passwd"[..], b"nested/inside"] {
        let error = calls.list(&uuid, path, &no_options()).err().context("refused")?.to_string();
        ensure!(error.contains("leads through"), "{error}");
    }
    for path in [&b"../x"[..], b"/etc/passwd", b"a//b", b"many/../etc"] {
        let error = calls.list(&uuid, path, &no_options()).err().context("refused")?.to_string();
        ensure!(error.contains("relative to the root of the snapshot"), "{error}");
    }
    for path in [&b"up"[..], b"null", b"pipe", b"etc", b"many", b"etc/passwd"] {
        let (text, (state, _)) = calls.read(&uuid, path)?;
        ensure!(text.is_empty() && state == "failed", "{}: {text} {state}", path.escape_ascii());
    }
    // This machine did not make it: for a user it does not exist, and it has no original place.
    let error = calls.begin_restore(&uuid, &[b"up"], &no_options()).err().context("refused")?.to_string();
    ensure!(error.contains("no original place"), "{error}");
    let options = Options::from([("target", Variant::from("tank")), ("folder", Variant::from("evil"))]);
    let job = calls.begin_restore(&uuid, &[b"etc", b"up", b"pipe", b"null", b"set-id"], &options)?;
    scenario.succeeds(&job)?;
    ensure!(fs::read_link(scenario.tank.join("evil/etc"))? == Path::new("/etc"));
    // Nothing that is restored gives a right.
    ensure!(!scenario.tank.join("evil/null").exists(), "a device was made");
    let mode = fs::metadata(scenario.tank.join("evil/set-id"))?.mode() & 0o7777;
    ensure!(mode == 0o755, "{mode:o}");
    let note: String = scenario.fixture.client.get(&job, JOB, "Note")?;
    contains_all(&note, &["1 device is not restored", "1 file lost its set-id bits"])?;
    let _polkit = Polkit::start(&scenario.fixture.sandbox, &scenario.fixture.bus, &Rules::Only(vec!["restore-own"]))?;
    let said = calls.nobody("ListFiles", &[&format!("s:{uuid}"), "y:", "o:{}"])?;
    ensure!(
        said["error"] == REFUSED && said["message"].as_str().is_some_and(|text| text.contains("on record")),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_killed_restore_leaves_nothing() -> Result<()> {
    let scenario = Scenario::begin()?;
    let large: Vec<u8> =
        (0..32_u32 << 20).flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes().first().copied()).collect();
    fs::write(scenario.source.join("large"), large)?;
    scenario.job("Backup", &no_options())?;
    let calls = Calls::new(&scenario)?;
    let uuid = calls.snapshots()?.pop().context("a snapshot")?;
    // A reader that reads nothing keeps the drive, and no other job waits for it.
    let (reader, reading) = calls.open(&uuid, b"large")?;
    scenario.fixture.client.until_job(&reading, "runs", |job| job.bytes_received > 0)?;
    let options = Options::from([("target", Variant::from("tank")), ("folder", Variant::from("back"))]);
    let before = scenario.workers()?;
    let restoring = calls.begin_restore(&uuid, &[b"large"], &options)?;
    let mut worker = None;
    scenario.fixture.client.until("the second worker", |_| {
        worker = scenario.workers()?.into_iter().find(|pid| !before.contains(pid));
        Ok(worker.is_some())
    })?;
    kill(Pid::from_raw(i32::try_from(worker.context("a worker")?)?), Signal::SIGKILL)?;
    let end = scenario.fixture.client.end_of(&restoring)?;
    ensure!(end == ("failed".to_owned(), "Failed".to_owned()), "{end:?}");
    let left: Vec<_> = fs::read_dir(scenario.tank.path())?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(left.is_empty(), "{left:?}");
    scenario.fixture.client.call(&reading, (JOB, "Cancel"), &no_options())?;
    let end = scenario.fixture.client.end_of(&reading)?;
    ensure!(end == ("cancelled".to_owned(), "Cancelled".to_owned()), "{end:?}");
    let mut left = Vec::new();
    (&reader).read_to_end(&mut left)?;
    ensure!(left.is_empty(), "{} bytes stay in the pipe of a job that has ended", left.len());
    let (reader, reading) = calls.open(&uuid, b"large")?;
    drop(reader);
    let end = scenario.fixture.client.end_of(&reading)?;
    ensure!(end == ("cancelled".to_owned(), "Cancelled".to_owned()), "{end:?}");
    scenario.drive("safe after both", &DriveState::Safe)?;
    scenario.no_worker_is_left()
}
