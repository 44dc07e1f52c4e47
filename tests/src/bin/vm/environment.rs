//! The test environment: a temporary folder with the disks, the machine, and common queries.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::machine::{LIMIT, Machine, Plug, disk};
use crate::random::Random;
use crate::write_cache::{self, WriteCache};

/// How fast a drive takes data that is to be interrupted, in bytes a second; the source gets nine seconds' worth.
pub(crate) const SLOW: u64 = 4 << 20;
/// How fast others do.
pub(crate) const FAST: u64 = 1 << 30;
/// What QEMU writes of a drive that forgets, and the drive as it was before; names that no drive has.
const LOG: &str = "log";
const BEFORE: &str = "before";

/// All of it; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Environment {
    image: PathBuf,
    // First, so that the machine ends before its disks are deleted.
    machine: Option<Machine>,
    folder: TempDir,
    begun: Instant,
    /// For what is left to chance.
    pub(crate) random: Random,
}

impl Environment {
    /// Copies the image's disk, so that the next run starts from the same. Nothing is booted yet.
    ///
    /// # Errors
    ///
    /// There is no room.
    pub(crate) fn new(image: &Path, random: Random) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("butterdock-vm-").tempdir_in("/var/tmp")?;
        tool(Command::new("cp").arg("--sparse=always").arg(image.join("disk")).arg(folder.path().join("root")))?;
        disk(folder.path(), "pool", 3 << 10)?;
        let lab = Self { image: image.to_owned(), machine: None, folder, begun: Instant::now(), random };
        lab.format("pool", "pool")?;
        Ok(lab)
    }

    /// Switches the machine on.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn boot(&mut self) -> Result<()> {
        self.machine = None;
        self.machine = Some(Machine::boot(&self.image, self.folder.path())?);
        Ok(())
    }

    /// Cuts its power.
    pub(crate) fn cut(&mut self) {
        self.machine = None;
    }

    /// The machine that was booted.
    ///
    /// # Errors
    ///
    /// None was.
    pub(crate) fn machine(&mut self) -> Result<&mut Machine> {
        self.machine.as_mut().context("nothing is booted")
    }

    /// Says what is tried next, and how long it has been going on.
    pub(crate) fn step(&self, what: &str) {
        say(&format!("{:4} s  {what}", self.begun.elapsed().as_secs()));
    }

    /// Runs a script there.
    ///
    /// # Errors
    ///
    /// It failed.
    pub(crate) fn run(&mut self, script: &str) -> Result<String> {
        self.machine()?.run(script)
    }

    /// Runs a script there until it succeeds.
    ///
    /// # Errors
    ///
    /// It does not, within this time.
    pub(crate) fn wait_for(&mut self, script: &str) -> Result<String> {
        self.machine()?.wait_for(script)
    }

    /// Waits until the drive with that label has that state.
    ///
    /// # Errors
    ///
    /// It does not get it.
    pub(crate) fn drive_is(&mut self, state: &str) -> Result<()> {
        let script = format!("butterdock --json drives | tee /dev/stderr | grep -q '\"state\":\"{state}\"'");
        self.wait_for(&script).map(drop).with_context(|| format!("no drive is {state}"))
    }

    /// An empty file for a drive.
    ///
    /// # Errors
    ///
    /// There is no room.
    pub(crate) fn drive(&self, name: &str) -> Result<PathBuf> {
        disk(self.folder.path(), name, 2 << 10)
    }

    /// Makes a btrfs on it, here.
    ///
    /// # Errors
    ///
    /// mkfs.btrfs fails.
    pub(crate) fn format(&self, name: &str, label: &str) -> Result<()> {
        self.make("mkfs.btrfs", &["-q", "-L", label], name)
    }

    /// Runs a program of this machine on it.
    ///
    /// # Errors
    ///
    /// It fails.
    pub(crate) fn make(&self, program: &str, arguments: &[&str], name: &str) -> Result<()> {
        tool(Command::new(program).args(arguments).arg(self.file(name)))
    }

    /// The file that [`Self::drive`] made.
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Plugs it in.
    ///
    /// # Errors
    ///
    /// QEMU refuses.
    pub(crate) fn plug(&mut self, name: &str, speed: u64) -> Result<()> {
        let file = self.file(name);
        self.machine()?.plug(&Plug { name, file: &file, speed, log: None })
    }

    /// The same with a drive that loses unflushed writes at the next power cut, see [`Self::cut_with`].
    ///
    /// # Errors
    ///
    /// QEMU refuses, or there is no room.
    pub(crate) fn plug_forgetful(&mut self, name: &str, speed: u64) -> Result<()> {
        let (file, log) = (self.file(name), self.file(LOG));
        tool(Command::new("cp").arg("--sparse=always").arg(&file).arg(self.file(BEFORE)))?;
        std::fs::File::create(&log)?;
        self.machine()?.plug(&Plug { name, file: &file, speed, log: Some(&log) })
    }

    /// Waits until the forgetful drive has taken so many bytes.
    ///
    /// # Errors
    ///
    /// It does not.
    pub(crate) fn until_taken(&self, bytes: u64) -> Result<()> {
        let until = Instant::now() + LIMIT;
        while std::fs::metadata(self.file(LOG))?.len() < bytes {
            ensure!(Instant::now() < until, "the drive has not taken {bytes} bytes within {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Cuts the machine's power, and that of the forgetful drive in it.
    ///
    /// # Errors
    ///
    /// It was not plugged in as such, or nothing was flushed.
    pub(crate) fn cut_with(&mut self, name: &str) -> Result<()> {
        self.cut();
        let lost = write_cache::play(&self.file(LOG), &self.file(BEFORE), &mut self.random)?;
        std::fs::rename(self.file(BEFORE), self.file(name))?;
        let WriteCache { durable, kept, gone } = lost;
        self.step(&format!("  {durable} writes were flushed; of {} others {gone} are gone", kept + gone));
        ensure!(durable > 0, "the machine told the drive to flush nothing");
        Ok(())
    }

    /// Pulls it out and waits until the service has seen it.
    ///
    /// # Errors
    ///
    /// It is not plugged in.
    pub(crate) fn pull(&mut self, name: &str) -> Result<()> {
        self.machine()?.pull(name)
    }

    /// Whether a filesystem on a drive that is not plugged in is sound.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        tool(Command::new("btrfs").args(["check", "--readonly", "--force"]).arg(self.file(name)))
    }

    /// For who looks for the reason.
    pub(crate) fn tell_what_the_service_said(&mut self) {
        let script =
            "journalctl --no-pager -o short-monotonic -t butterdockd -n 40; butterdock drives; dmesg | tail -15";
        if let Ok(text) = self.run(script) {
            say(&text);
        }
    }
}

/// A line for who started it.
#[expect(clippy::print_stdout, reason = "it is for who started it")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Runs a program of this machine.
///
/// # Errors
///
/// It does not start, or fails.
pub(crate) fn tool(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?} does not start"))?;
    ensure!(output.status.success(), "{command:?} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
