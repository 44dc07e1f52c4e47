//! Stream files on drives, listed and received.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::{DRIVE, JOB};
use butterdock_dbus::{DriveState, StreamRow};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::{
    Disk, DriveFixture, DriveObject, Loop, Sandbox, TIMEOUT, Volume, error_name, mount, no_options, run, trees, unmount,
};
use zbus::{OwnedObjectPath, OwnedVariant, Variant};

const UUID: &str = "5d4e0b8a-1111-4222-8333-0123456789ab";

/// Three snapshots of a subvolume, the streams of them, and a volume to receive into.
struct Scenario {
    disk: Option<Disk>,
    tank: Volume,
    pool: Volume,
    fixture: DriveFixture,
}

impl Drop for Scenario {
    fn drop(&mut self) {
        #[expect(clippy::print_stderr, reason = "a test that fails shows what the service logged")]
        {
            eprintln!("{}", self.fixture.stop().unwrap_or_default());
        }
    }
}

impl Scenario {
    /// With a folder for stream files on this drive.
    fn begin(drive: &str) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let volume = |name: &str| {
            Volume::make(&sandbox.join(&format!("{name}.volume")), &sandbox.join(name), &Default::default())
        };
        let (pool, tank) = (volume("pool")?, volume("tank")?);
        let home = pool.join("home");
        snapshot::create(&home)?;
        trees::build(&home)?;
        for (number, before) in [(1, None), (2, Some(1)), (3, Some(2))] {
            fs::write(home.join("changed"), number.to_string())?;
            let at = |number: i32| pool.join(format!("home-{number}"));
            snapshot::freeze(&home, &at(number))?;
            let to = sandbox.join(&format!("{number}.stream"));
            snapshot::send(Proto::TwoCompressed, before.map(at).as_deref(), &at(number), &to)?;
        }
        let more = format!(
            "\n[[volume]]\nname = \"tank\"\npath = {:?}\n\n[[import]]\ndrive = {drive:?}\nfolder = \"for/me\"\n",
            tank.path()
        );
        Ok(Self { disk: None, tank, pool, fixture: DriveFixture::with(sandbox, &more)? })
    }

    /// Attaches a drive with ext4 and these streams in its folder, under these names; what was written to the image then.
    fn plain(&mut self, files: &[(&str, &str)]) -> Result<PathBuf> {
        self.with("ext4", files)
    }

    /// The same with this filesystem.
    fn with(&mut self, kind: &str, files: &[(&str, &str)]) -> Result<PathBuf> {
        let (sandbox, at) = (&self.fixture.sandbox, self.fixture.sandbox.join("plain"));
        // The service looks at *.img, and so not at this one before it is whole.
        let (making, image) = (sandbox.join("plain.volume"), sandbox.join("plain.img"));
        File::create(&making)?.set_len(256 << 20)?;
        let mkfs = format!("mkfs.{kind}");
        run(Command::new(mkfs).args(["-q", "-U", UUID, "-L", "Plain"]).arg(&making), TIMEOUT)?.success()?;
        fs::create_dir(&at)?;
        let device = Loop::attach(&making)?;
        mount(device.path(), &at, "")?;
        let copied = self.put(&at.join("for/me"), files);
        unmount(&at)?;
        device.detach(&making)?;
        copied?;
        fs::rename(making, &image)?;
        self.disk = Some(Disk::attach(&image)?);
        Ok(image)
    }

    fn put(&self, folder: &Path, files: &[(&str, &str)]) -> Result<()> {
        fs::create_dir_all(folder)?;
        for (stream, name) in files {
            fs::copy(self.fixture.sandbox.join(&format!("{stream}.stream")), folder.join(name))?;
        }
        Ok(())
    }

    fn list(&self, drive: &DriveObject) -> Result<Vec<StreamRow>> {
        Ok(self.fixture.client.call(&drive.path, (DRIVE, "ListStreams"), &no_options())?.body().deserialize()?)
    }

    /// Its end, and its job.
    fn import(&self, drive: &DriveObject, name: Option<&str>) -> Result<((String, String), String)> {
        let mut options = no_options();
        options.extend(name.map(|name| ("name", Variant::from(name))));
        let call = self.fixture.client.call(&drive.path, (DRIVE, "Import"), &("tank", options))?;
        let job: OwnedObjectPath = call.body().deserialize()?;
        Ok((self.fixture.client.end_of(job.as_str())?, job.to_string()))
    }

    fn same(&self, name: &str, rules: Rules) -> Result<()> {
        same(name, &Tree::read(&self.pool.join(name))?, &Tree::read(&self.tank.join(name))?, rules)
    }

    fn details(&self, job: &str) -> Result<String> {
        let details = self.fixture.client.call(job, (JOB, "GetErrorDetails"), &no_options())?;
        let details: HashMap<String, OwnedVariant> = details.body().deserialize()?;
        details.get("message").and_then(|value| String::try_from(value.clone()).ok()).context("a message")
    }

    fn note(&self, job: &str) -> Result<String> {
        self.fixture.client.get(job, JOB, "Note")
    }
}

fn names(rows: &[StreamRow]) -> Vec<String> {
    rows.iter().map(|row| String::from_utf8_lossy(&row.name).into_owned()).collect()
}

#[test]
fn import_from_ext4_is_read_only_and_in_parent_order() -> Result<()> {
    let mut scenario = Scenario::begin(UUID)?;
    let image = scenario.plain(&[("3", "a.send"), ("1", "b.btrfs"), ("2", "c.send"), ("1", "not.stream")])?;
    let before = fs::read(&image)?;
    let drive = scenario.fixture.one("the drive", |is| is.filesystem_type == "ext4")?;
    ensure!(!drive.properties.enrolled && drive.properties.state == DriveState::Present, "{drive:?}");
    let rows = scenario.list(&drive)?;
    ensure!(names(&rows) == ["b.btrfs", "c.send", "a.send"], "{rows:?}");
    let uuids = rows.iter().map(|row| row.parent_uuid.is_some()).collect::<Vec<_>>();
    ensure!(uuids == [false, true, true] && rows.iter().all(|row| row.problem.is_none()), "{rows:?}");
    let first = snapshot::show(&scenario.pool.join("home-1"))?.uuid;
    ensure!(rows[0].uuid == first && rows[0].subvolume == b"home-1" && rows[0].size > 0, "{rows:?}");
    let (end, job) = scenario.import(&drive, None)?;
    ensure!(end.0 == "succeeded", "{end:?}");
    let client = &scenario.fixture.client;
    let bytes = ["BytesTotal", "BytesReceived", "BytesDurable"].map(|name| client.get::<u64>(&job, JOB, name));
    let bytes = bytes.into_iter().collect::<Result<Vec<_>>>()?;
    let all = rows.iter().map(|row| row.size).sum::<u64>();
    ensure!(bytes == [all; 3], "{bytes:?} of {all}");
    scenario.same("home-1", Rules::SOURCE)?;
    scenario.same("home-2", Rules::SOURCE_OF_INCREMENT)?;
    scenario.same("home-3", Rules::SOURCE_OF_INCREMENT)?;
    // Again: all of it is there.
    let (end, job) = scenario.import(&drive, None)?;
    ensure!(end.0 == "succeeded" && scenario.note(&job)? == "the volume has 3 of 3 files already", "{end:?}");
    ensure!(fs::read(&image)? == before, "the drive was written to");
    let drives = scenario.fixture.drives()?;
    ensure!(
        drives.len() == 1 && !drives[0].properties.enrolled && drives[0].properties.state == DriveState::Safe,
        "{drives:?}"
    );
    Ok(())
}

#[test]
fn unreceivable_streams_are_listed_last() -> Result<()> {
    let mut scenario = Scenario::begin(UUID)?;
    fs::write(scenario.fixture.sandbox.join("bad.stream"), [0; 5000])?;
    scenario.plain(&[("3", "a-lost.send"), ("bad", "b-secret.send"), ("1", "c.send")])?;
    let drive = scenario.fixture.one("the drive", |is| is.filesystem_type == "ext4")?;
    let rows = scenario.list(&drive)?;
    ensure!(names(&rows) == ["c.send", "a-lost.send", "b-secret.send"], "{rows:?}");
    ensure!(rows[2].problem.as_ref().is_some_and(|text| text.contains("not a btrfs send stream")), "{rows:?}");
    let (end, job) = scenario.import(&drive, None)?;
    ensure!(end == ("failed".to_owned(), "ParentMissing".to_owned()), "{end:?}");
    scenario.same("home-1", Rules::SOURCE)?;
    let public: String = scenario.fixture.client.get(&job, JOB, "ErrorMessage")?;
    ensure!(!public.contains("lost") && !public.contains("home"), "{public}");
    let message = scenario.details(&job)?;
    ensure!(message.contains("\"a-lost.send\""), "{message}");
    let (end, _) = scenario.import(&drive, Some("b-secret.send"))?;
    ensure!(end == ("failed".to_owned(), "InvalidStream".to_owned()), "{end:?}");
    Ok(())
}

/// A cut file is first in the order, and its subvolume is also in another file.
#[test]
fn bad_files_do_not_stop_an_import_of_compressed_ones() -> Result<()> {
    let mut scenario = Scenario::begin(UUID)?;
    let sandbox = &scenario.fixture.sandbox;
    let at = |name: &str| sandbox.join(&format!("{name}.stream"));
    let read = |name: &str| fs::read(at(name));
    let first = read("1")?;
    fs::write(at("cut"), first.get(..first.len() / 2).context("a stream")?)?;
    fs::write(at("empty"), "")?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&read("2")?)?;
    fs::write(at("gzip"), gzip.finish()?)?;
    fs::write(at("zstd"), zstd::encode_all(&read("3")?[..], 1)?)?;
    let files =
        [("cut", "0.btrfs"), ("1", "1.BTRFS"), ("gzip", "2.send.gz"), ("zstd", "3.Send.zst"), ("empty", "4.send")];
    scenario.with("ext2", &files)?;
    let drive = scenario.fixture.one("the drive", |is| is.filesystem_type == "ext2")?;
    let (end, job) = scenario.import(&drive, None)?;
    ensure!(end == ("failed".to_owned(), "TruncatedStream".to_owned()), "{end:?}");
    scenario.same("home-1", Rules::SOURCE)?;
    scenario.same("home-2", Rules::SOURCE_OF_INCREMENT)?;
    scenario.same("home-3", Rules::SOURCE_OF_INCREMENT)?;
    let public: String = scenario.fixture.client.get(&job, JOB, "ErrorMessage")?;
    ensure!(public.starts_with("2 files of 5 could not be received (the volume has the other 3)"), "{public}");
    let message = scenario.details(&job)?;
    ensure!(message.contains("\"0.btrfs\"") && message.contains("\"4.send\" cannot be received: "), "{message}");
    // Again: a part of a compressed file is searched for what the volume does not have.
    let (end, job) = scenario.import(&drive, Some("3.Send.zst"))?;
    ensure!(end.0 == "succeeded" && scenario.note(&job)? == "the volume has the file already", "{end:?}");
    Ok(())
}

#[test]
fn an_enrolled_drive_imports_single_files() -> Result<()> {
    let mut scenario = Scenario::begin("Blue")?;
    let image = scenario.fixture.image("a", "Blue")?;
    scenario.disk = Some(Disk::attach(&image)?);
    let drive = scenario.fixture.one("the drive", |is| is.filesystem_type == "btrfs")?;
    let drive = scenario.fixture.enrol_and_mount(&drive)?;
    let none = scenario.list(&drive).err().context("refused")?;
    ensure!(none.to_string().contains("create it, or correct `folder`"), "{none}");
    let id = butterdock_dbus::path::drive_id(&drive.path).context("an id")?;
    let folder = scenario.fixture.sandbox.join("run/drives").join(id).join("for/me");
    fs::create_dir_all(&folder)?;
    let none = scenario.import(&drive, None).err().context("refused")?;
    ensure!(none.to_string().contains("nothing is to be imported"), "{none}");
    scenario.put(&folder, &[("1", "1.send"), ("2", "2.send")])?;
    scenario.fixture.call(&drive, "SafelyRemove", &no_options())?;
    scenario.fixture.one("safe", |is| is.state == DriveState::Safe)?;
    let (end, _) = scenario.import(&drive, Some("1.send"))?;
    ensure!(end.0 == "succeeded", "{end:?}");
    scenario.same("home-1", Rules::SOURCE)?;
    ensure!(!scenario.tank.join("home-2").exists(), "more than was wanted");
    let drive = scenario.fixture.one("let go", |is| is.state == DriveState::Safe)?;
    let missing = scenario.import(&drive, Some("9.send")).err().context("refused")?;
    ensure!(missing.to_string().contains("no stream file of that name"), "{missing}");
    // After the listing it is unmounted again.
    scenario.fixture.one("let go again", |is| is.state == DriveState::Safe)?;
    let (end, job) = scenario.import(&drive, None)?;
    ensure!(end.0 == "succeeded" && scenario.note(&job)? == "the volume has 1 of 2 files already", "{end:?}");
    scenario.same("home-2", Rules::SOURCE_OF_INCREMENT)
}

/// An import that is interrupted behind the first subvolume of a file is gone on with: none of the file is taken for all.
#[test]
fn import_skips_subvolumes_that_the_volume_has() -> Result<()> {
    let mut scenario = Scenario::begin(UUID)?;
    let sandbox = &scenario.fixture.sandbox;
    let read = |name: &str| fs::read(sandbox.join(&format!("{name}.stream")));
    fs::write(sandbox.join("both.stream"), [read("1")?, read("2")?].concat())?;
    let send = |options: &[&str], numbers: &[i32], to: &str| {
        let mut send = Command::new("btrfs");
        send.args(["send", "-q", "--proto", "2", "--compressed-data"]).args(options).arg("-f").arg(sandbox.join(to));
        run(send.args(numbers.iter().map(|number| scenario.pool.join(format!("home-{number}")))), TIMEOUT)?.success()
    };
    // With one header and one END, and with those of each.
    send(&["-e"], &[1, 2, 3], "all.stream")?;
    let whole = read("both")?;
    fs::write(sandbox.join("cut.stream"), whole.get(..whole.len() - 1).context("a stream")?)?;
    scenario.plain(&[("1", "1.send"), ("both", "both.send"), ("all", "all.send"), ("cut", "cut.send")])?;
    let drive = scenario.fixture.one("the drive", |is| is.filesystem_type == "ext4")?;
    for (name, seen) in [("1.send", 1), ("both.send", 2), ("all.send", 3), ("all.send", 3)] {
        let (end, _) = scenario.import(&drive, Some(name))?;
        ensure!(end.0 == "succeeded", "{name}: {end:?}");
        let there = (1..=3).filter(|number| scenario.tank.join(format!("home-{number}")).exists()).count();
        ensure!(there == seen, "{name}: there are {there}");
    }
    scenario.same("home-1", Rules::SOURCE)?;
    scenario.same("home-2", Rules::SOURCE_OF_INCREMENT)?;
    scenario.same("home-3", Rules::SOURCE)?;
    let (end, _) = scenario.import(&drive, Some("cut.send"))?;
    ensure!(end == ("failed".to_owned(), "InvalidStream".to_owned()), "{end:?}");
    Ok(())
}

#[test]
fn a_drive_without_import_is_not_read() -> Result<()> {
    let mut scenario = Scenario::begin("Another")?;
    scenario.plain(&[("1", "a.send")])?;
    let drive = scenario.fixture.one("the drive", |is| is.filesystem_type == "ext4")?;
    for refused in [scenario.list(&drive).err(), scenario.import(&drive, None).err()] {
        let refused = refused.context("refused")?;
        let error = refused.downcast_ref::<zbus::Error>().context("an answer")?;
        ensure!(error_name(error).ends_with(".NotFound"), "{refused}");
    }
    let disk = scenario.disk.as_ref().context("attached")?.name();
    let ext4 = fs::read_dir("/sys/fs/ext4")?.flatten().any(|entry| entry.file_name().to_string_lossy() == disk);
    ensure!(!ext4, "it was mounted");
    Ok(())
}

/// Swap stands for every kind of content that has a UUID and no stream files.
#[test]
fn an_unsupported_file_system_is_named() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let (making, image) = (sandbox.join("swap.volume"), sandbox.join("swap.img"));
    File::create(&making)?.set_len(16 << 20)?;
    run(Command::new("mkswap").args(["-q", "-U", UUID]).arg(&making), TIMEOUT)?.success()?;
    fs::rename(making, &image)?;
    let fixture = DriveFixture::with(sandbox, &format!("\n[[import]]\ndrive = {UUID:?}\n"))?;
    let _disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| is.filesystem_type == "swap")?;
    let refused = fixture.client.call(&drive.path, (DRIVE, "ListStreams"), &no_options()).err().context("refused")?;
    ensure!(refused.to_string().contains("this file system is not supported here (swap)"), "{refused}");
    Ok(())
}
