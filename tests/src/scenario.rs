//! A machine with a source, backups, and an enrolled drive.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DESTINATION, JOB, MANAGER};
use butterdock_dbus::{DriveState, ErrorDetails};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::compare::{self, Tree, same};
use crate::{
    Disk, DriveFixture, DriveObject, Receiver, Sandbox, TIMEOUT, Volume, Wait, all_names, interface_of, is_mounted,
    mount, names, no_options, run, snapshot, trees, unmount, wait_until, workers,
};

/// A source, a volume to restore to, and an enrolled drive, which is released. The fields are in the order in which they have to
/// end; the daemon ends before all of them.
#[derive(Debug)]
pub struct Scenario {
    /// The drive, while it is plugged in.
    pub disk: Option<Disk>,
    /// The image of the drive.
    pub image: PathBuf,
    /// The subvolume that is backed up.
    pub source: PathBuf,
    /// The volume of the source and its snapshots.
    pub pool: Volume,
    /// A volume to restore to.
    pub tank: Volume,
    /// The service.
    pub fixture: DriveFixture,
}

impl Drop for Scenario {
    fn drop(&mut self) {
        #[expect(clippy::print_stderr, reason = "a failed test shows the log of the service")]
        {
            eprintln!("{}", self.fixture.stop().unwrap_or_default());
        }
    }
}

impl Scenario {
    /// Starts it with one backup.
    ///
    /// # Errors
    /// As [`DriveFixture::with`].
    pub fn begin() -> Result<Self> {
        Self::with(&["home"])
    }

    /// Starts it with these backups, all of one source.
    ///
    /// # Errors
    /// As [`DriveFixture::with`].
    pub fn with(backups: &[&str]) -> Result<Self> {
        Self::on(backups, "", |fixture| fixture.image("a", "Blue"))
    }

    /// Starts it with these backups, more lines for each of them, and a drive on this image.
    ///
    /// # Errors
    /// As [`DriveFixture::with`]; the image cannot be made.
    pub fn on(backups: &[&str], rule: &str, image: impl FnOnce(&DriveFixture) -> Result<PathBuf>) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        // Not *.img, so that the service does not see them as drives.
        let volume = |name: &str| {
            Volume::make(&sandbox.join(&format!("{name}.volume")), &sandbox.join(name), &Default::default())
        };
        let (pool, tank) = (volume("pool")?, volume("tank")?);
        let source = pool.join("home");
        snapshot::create(&source)?;
        trees::build(&source)?;
        let mut more = format!("on_finish = \"unmount\"\n\n[[volume]]\nname = \"tank\"\npath = {:?}\n", tank.path());
        for name in backups {
            let snapshots = pool.join(format!("snapshots-{name}"));
            more += &format!(
                "\n[[backup]]\nname = {name:?}\nsource = {source:?}\nsnapshots = {snapshots:?}\nto = [\"Blue\"]\n\
                 schedule = \"on-plug\"\n{rule}\n"
            );
        }
        let fixture = DriveFixture::with(sandbox, &more)?;
        let image = image(&fixture)?;
        let disk = Some(Disk::attach(&image)?);
        let scenario = Self { disk, image, source, pool, tank, fixture };
        let drive = scenario.enrol()?;
        ensure!(drive.properties.backups == backups, "{drive:?}");
        Ok(scenario)
    }

    /// Enrols the drive, once the service sees all its devices.
    fn enrol(&self) -> Result<DriveObject> {
        let mut wait = Wait::new("the drive is enrolled");
        loop {
            let drive = self.fixture.one("the drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
            match self.fixture.enrol(&drive) {
                Err(error) if error.to_string().contains("plug in the others") => wait.pause(&error.to_string())?,
                done => return done,
            }
        }
    }

    /// Waits until the drive is in this state.
    ///
    /// # Errors
    /// When it never is.
    pub fn drive(&self, what: &str, state: &DriveState) -> Result<DriveObject> {
        self.fixture.one(what, |is| is.enrolled && is.state == *state)
    }

    /// Calls a method of the drive that starts a job, and waits for its success.
    ///
    /// # Errors
    /// The job does not succeed.
    pub fn job(&self, method: &str, body: &(impl serde::Serialize + zbus::DynamicType)) -> Result<String> {
        let drive = self.fixture.one("the drive", |is| is.enrolled)?;
        let body = self.fixture.client.call(&drive.path, (interface_of(method), method), body)?.body();
        let job: OwnedObjectPath = body.deserialize()?;
        self.succeeds(job.as_str())?;
        Ok(job.to_string())
    }

    /// Waits for the success of a job.
    ///
    /// # Errors
    /// It does not succeed.
    pub fn succeeds(&self, job: &str) -> Result<()> {
        let (state, error) = self.fixture.client.end_of(job)?;
        let message: String = self.fixture.client.get(job, JOB, "ErrorMessage")?;
        ensure!(state == "succeeded", "{job}: {state} {error} {message}");
        Ok(())
    }

    /// Unplugs the drive, which is safe to unplug.
    ///
    /// # Errors
    /// The service does not report it as safe and away.
    pub fn unplug(&mut self) -> Result<()> {
        self.drive("safe", &DriveState::Safe)?;
        drop(self.disk.take());
        let is_away = |drive: &DriveObject| !drive.properties.enrolled || drive.properties.device.is_empty();
        self.fixture.until("away", |all| all.iter().all(is_away)).map(drop)
    }

    /// Plugs it in.
    ///
    /// # Errors
    /// When `losetup` fails.
    pub fn plug(&mut self) -> Result<()> {
        self.disk = Some(Disk::attach(&self.image)?);
        Ok(())
    }

    /// `loop0`
    ///
    /// # Errors
    /// When it is not plugged in.
    pub fn device(&self) -> Result<String> {
        Ok(self.disk.as_ref().context("attached")?.name())
    }

    /// Looks at the snapshots on the drive, oldest first, through a mount of the test.
    ///
    /// # Errors
    /// The drive cannot be mounted.
    pub fn on_drive<T>(&self, look: impl FnOnce(&[PathBuf]) -> Result<T>) -> Result<T> {
        self.on_drive_in("butterdock/home", look)
    }

    /// The same for another folder on the drive.
    ///
    /// # Errors
    /// As [`Self::on_drive`].
    pub fn on_drive_in<T>(&self, folder: &str, look: impl FnOnce(&[PathBuf]) -> Result<T>) -> Result<T> {
        let at = self.fixture.sandbox.join("look");
        fs::create_dir_all(&at)?;
        mount(&Path::new("/dev").join(self.device()?), &at, "ro")?;
        let done = snapshots(&at.join(folder)).and_then(|all| look(&all));
        unmount(&at)?;
        done
    }

    /// Whether the service has the drive mounted.
    ///
    /// # Errors
    /// When the service does not run.
    pub fn is_held(&self) -> Result<bool> {
        let id = self.fixture.daemon.as_ref().context("it runs")?.id();
        let mounts = fs::read_to_string(format!("/proc/{id}/mountinfo"))?;
        let node = format!("/dev/{}", self.device()?);
        Ok(mounts.lines().any(|line| line.split(' ').any(|field| field == node)) || is_mounted(&self.device()?)?)
    }

    /// The history of the jobs of one kind, newest first.
    ///
    /// # Errors
    /// When the service does not answer.
    pub fn history(&self, of: &str) -> Result<Vec<Row>> {
        let body = self.fixture.client.call(ROOT, (MANAGER, "ListHistory"), &no_options())?.body();
        let rows: Vec<Row> = body.deserialize()?;
        Ok(rows.into_iter().filter(|row| word(row, "kind") == of).collect())
    }

    /// Starts a backup; its job.
    ///
    /// # Errors
    /// The service refuses.
    pub fn start_backup(&self) -> Result<String> {
        let drive = self.fixture.one("the drive", |is| is.enrolled)?;
        let body = self.fixture.client.call(&drive.path, (DESTINATION, "Backup"), &no_options())?.body();
        Ok(body.deserialize::<OwnedObjectPath>()?.to_string())
    }

    /// Waits for the end of a backup: its state, the error without its prefix, and the message for callers who may see
    /// names. Checks that the public message of a failure says what to do next and has no name of a file.
    ///
    /// # Errors
    /// It does not end, or a message is wrong.
    pub fn end_of_backup(&self, job: &str) -> Result<(String, String, String)> {
        let (state, error) = self.fixture.client.end_of(job)?;
        let public: String = self.fixture.client.get(job, JOB, "ErrorMessage")?;
        let details = self.fixture.client.call(job, (JOB, "GetErrorDetails"), &no_options())?.body();
        let message = details.deserialize::<ErrorDetails>()?.message;
        if state == "failed" {
            ensure!(public.contains("; ") && !public.contains('/'), "the public message: {public:?}");
            contains_all(&message, &["the backup \"home\" to the drive \"Blue\": "])?;
        }
        Ok((state, error, message))
    }

    /// The number of backups in the history that succeeded.
    ///
    /// # Errors
    /// The service does not answer.
    pub fn good_backups(&self) -> Result<usize> {
        Ok(self.history("backup")?.iter().filter(|row| word(row, "result") == "succeeded").count())
    }

    /// The folder of the source's snapshots.
    #[must_use]
    pub fn source_snapshots(&self) -> PathBuf {
        self.pool.join("snapshots-home")
    }

    /// The workers of the service.
    ///
    /// # Errors
    /// The service does not run.
    pub fn workers(&self) -> Result<Vec<u32>> {
        workers(self.fixture.daemon.as_ref().context("it runs")?.id())
    }

    /// Stops the only worker of the service when it has begun.
    ///
    /// # Errors
    /// There is none.
    pub fn stop_worker(&self) -> Result<Pid> {
        let mut worker = 0;
        // Until its exec it is a copy of the service, which waits for that.
        wait_until("a worker runs", || {
            worker = self.workers()?.pop().unwrap_or_default();
            let command = fs::read(format!("/proc/{worker}/cmdline")).unwrap_or_default();
            Ok(command.starts_with(b"butterdockd\0worker"))
        })?;
        let pid = Pid::from_raw(i32::try_from(worker)?);
        kill(pid, Signal::SIGSTOP)?;
        Ok(pid)
    }

    /// Waits until a worker stands still after [`Self::stop_worker`]: until then it may be in the kernel.
    ///
    /// # Errors
    /// It has ended.
    pub fn is_stopped(&self, worker: Pid) -> Result<()> {
        wait_until("the worker stands still", || {
            let stat = fs::read_to_string(format!("/proc/{worker}/stat"))?;
            Ok(stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T')))
        })
    }

    /// Waits until the service has no worker.
    ///
    /// # Errors
    /// It keeps one.
    pub fn no_worker_is_left(&self) -> Result<()> {
        wait_until("no worker is left", || Ok(self.workers()?.is_empty()))
    }

    /// Checks that every visible snapshot on both sides is complete.
    ///
    /// # Errors
    /// The first one that is not.
    pub fn nothing_is_incomplete(&self) -> Result<()> {
        let (mine, _) = names(&self.source_snapshots())?;
        for name in &mine {
            let shown = snapshot::show(&self.source_snapshots().join(name))?;
            ensure!(shown.read_only, "{name} beside the source is writable");
        }
        self.on_drive(|all| {
            for path in all {
                let name = path.file_name().context("a name")?.to_string_lossy();
                if !name.starts_with('.') {
                    let shown = snapshot::show(path)?;
                    ensure!(shown.read_only && shown.received_uuid != "-", "{name} on the drive: {shown:?}");
                }
            }
            Ok(())
        })
    }

    /// Checks that the newest snapshot on the drive equals the source and that nothing hidden is left; whether it was an
    /// increment.
    ///
    /// # Errors
    /// The differences.
    pub fn newest_is_the_source(&self) -> Result<bool> {
        self.newest_is_the_source_of("home")
    }

    /// The same for the backup that has this name now.
    ///
    /// # Errors
    /// As [`Self::newest_is_the_source`].
    pub fn newest_is_the_source_of(&self, backup: &str) -> Result<bool> {
        let (_, hidden) = names(&self.source_snapshots())?;
        ensure!(hidden.is_empty(), "hidden beside the source: {hidden:?}");
        let source = Tree::read(&self.source)?;
        // Behind the name of the backup, which may have changed, is the time.
        let time = |path: &&PathBuf| path.extension().map(ToOwned::to_owned);
        self.on_drive_in(&format!("butterdock/{backup}"), |all| {
            let hidden: Vec<_> = all.iter().filter(|path| path.to_string_lossy().contains("/.")).collect();
            ensure!(hidden.is_empty(), "hidden on the drive: {hidden:?}");
            let newest = all.iter().max_by_key(time).context("nothing on the drive")?;
            same("the newest on the drive", &source, &Tree::read(newest)?, compare::Rules::SOURCE_OF_INCREMENT)?;
            Ok(snapshot::show(newest)?.parent_uuid != "-")
        })
    }

    /// Checks that the standard tools send the newest snapshot of the drive and receive it in another volume.
    ///
    /// # Errors
    /// They fail, or the trees differ.
    pub fn standard_tools_read_it(&self) -> Result<()> {
        let stream = self.fixture.sandbox.join("standard");
        self.on_drive(|all| {
            let newest = all.last().context("nothing on the drive")?;
            snapshot::send(snapshot::Proto::Two, None, newest, &stream)?;
            Receiver::Standard.receive(&stream, self.tank.path())?;
            let received = self.tank.join(newest.file_name().context("a name")?);
            let (sent, got) = (Tree::read(newest)?, Tree::read(&received)?);
            same("by the standard tools", &sent, &got, compare::Rules::SOURCE_OF_INCREMENT)?;
            snapshot::delete(&received)
        })?;
        Ok(fs::remove_file(stream)?)
    }

    /// The loop devices over images of the test.
    ///
    /// # Errors
    /// `losetup` fails.
    pub fn loop_devices(&self) -> Result<Vec<String>> {
        let images = self.fixture.sandbox.join("");
        let mut losetup = Command::new("losetup");
        let listed = run(losetup.args(["--list", "--noheadings", "--output", "NAME,BACK-FILE"]), TIMEOUT)?;
        let listed = listed.success()?.out();
        let ours = listed.lines().filter(|line| line.contains(&*images.to_string_lossy()) && line.contains(".img"));
        let name = |line: &str| Some(line.split_whitespace().next()?.trim_start_matches("/dev/").to_owned());
        let mut all: Vec<String> = ours.filter_map(name).collect();
        all.sort();
        Ok(all)
    }
}

/// Checks that a message contains all these words.
///
/// # Errors
/// The missing ones.
pub fn contains_all(message: &str, words: &[&str]) -> Result<()> {
    let missing: Vec<_> = words.iter().filter(|word| !message.contains(**word)).collect();
    ensure!(missing.is_empty(), "missing: {missing:?} in {message:?}");
    Ok(())
}

/// A row of the history.
pub type Row = HashMap<String, OwnedVariant>;

/// The text under a key; empty without the key.
#[must_use]
pub fn word(row: &Row, key: &str) -> String {
    row.get(key).and_then(|value| String::try_from(value.clone()).ok()).unwrap_or_default()
}

/// The entries of a folder without the staging directory, sorted.
///
/// # Errors
/// When it cannot be listed.
pub fn snapshots(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(all_names(folder)?.into_iter().map(|name| folder.join(name)).collect())
}
