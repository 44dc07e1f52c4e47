//! A transfer that is interrupted after checkpoints.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::{Finished, Receiver, TIMEOUT, Volume, names, run, start, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;

/// A transfer into a volume, with a checkpoint for each so many bytes.
pub(crate) struct Transfer<'v> {
    pub(crate) stream: PathBuf,
    pub(crate) volume: &'v Volume,
    pub(crate) bytes: u64,
}

impl Transfer<'_> {
    pub(crate) fn command(&self) -> Result<Command> {
        let mut command = Receiver::Ours.command()?;
        command.args(["--json", "--checkpoint-every", "0", "--checkpoint-bytes", &self.bytes.to_string()]);
        command.arg("-f").arg(&self.stream).arg(self.volume.path());
        Ok(command)
    }

    /// Runs to the end, which must be a good one.
    pub(crate) fn finish(&self) -> Result<Finished> {
        run(&mut self.command()?, TIMEOUT)?.success()
    }

    /// Kills a run after it has made this many checkpoints. Returns all that it said. The end of its input does not come before: it
    /// cannot end by itself.
    pub(crate) fn killed_after(&self, checkpoints: usize) -> Result<Said> {
        let mut command = self.command()?;
        let mut running = start(command.args(["-f", "/dev/stdin"]).stdin(Stdio::piped()))?;
        let mut input = running.input()?;
        let file = File::open(&self.stream)?;
        let mut part = file.take(fs::metadata(&self.stream)?.len().saturating_sub(64 << 10));
        let feeding = std::thread::spawn(move || {
            // It fails when the run is killed.
            drop(std::io::copy(&mut part, &mut input));
            input
        });
        wait_until("the run makes its checkpoints", || {
            let said = Said::of(&running.out_so_far())?;
            ensure!(!running.has_ended()?, "it has ended: {said:?} {}", running.err_so_far());
            Ok(said.checkpoints.len() >= checkpoints)
        })?;
        running.signal(Signal::SIGKILL)?;
        let said = Said::of(&running.finish(TIMEOUT)?.out());
        drop(feeding.join());
        said
    }

    /// That nothing hidden is left, and that this subvolume has the tree.
    pub(crate) fn is_whole(&self, name: &str, tree: &Tree, rules: Rules) -> Result<()> {
        let (visible, hidden) = names(self.volume.path())?;
        ensure!(visible.iter().any(|found| found == name), "{visible:?}");
        ensure!(hidden.is_empty(), "left: {hidden:?}");
        same("the copy", tree, &Tree::read(&self.volume.join(name))?, rules)
    }
}

/// What a run said about checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// The byte from which it resumed.
    pub(crate) resumed: Option<u64>,
    /// The bytes of its own checkpoints.
    pub(crate) checkpoints: Vec<u64>,
    /// The bytes of the progress objects.
    pub(crate) progress: Vec<u64>,
    pub(crate) warnings: Vec<String>,
    /// All bytes of the stream, at the end.
    pub(crate) bytes: Option<u64>,
}

impl Said {
    /// What `--json` printed; a last line that is cut off does not count.
    pub(crate) fn of(output: &str) -> Result<Self> {
        let mut said = Self::default();
        let whole = output.rfind('\n').and_then(|end| output.get(..end)).unwrap_or_default();
        for line in whole.lines() {
            let object: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let bytes = object["bytes"].as_u64();
            match object["type"].as_str() {
                Some("resumed") => said.resumed = bytes,
                Some("checkpoint") => said.checkpoints.extend(bytes),
                Some("progress") => said.progress.extend(bytes),
                _ => {
                    said.warnings = serde_json::from_value(object["warnings"].clone())?;
                    said.bytes = bytes;
                }
            }
        }
        Ok(said)
    }
}

/// That the kernel's checker finds nothing in the image of an unmounted volume.
pub(crate) fn check(image: &Path) -> Result<()> {
    let found = run(Command::new("btrfs").args(["check", "--readonly"]).arg(image), TIMEOUT)?;
    ensure!(found.code() == 0, "btrfs check: {}{}", found.out(), found.err());
    Ok(())
}
