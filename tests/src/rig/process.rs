//! Running programs, each with a bound on its time.

use std::io::Read;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::helper;

/// A program that ended.
#[derive(Debug)]
pub struct Finished {
    /// The command, for messages.
    pub what: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
    /// From its start to its end.
    pub took: Duration,
}

impl Finished {
    /// Itself, when it exited with 0.
    ///
    /// # Errors
    /// With what it printed on stderr.
    pub fn success(self) -> Result<Self> {
        ensure!(self.status.success(), "{} ended with {}: {}{}", self.what, self.code(), self.err(), self.out());
        Ok(self)
    }

    /// The exit status as a shell gives it: 128 and the signal's number for a killed program.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// stdout as text.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// stderr as text.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The lines of stderr that begin with `ERROR: `.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        self.err().lines().filter(|line| line.starts_with("ERROR: ")).map(str::to_owned).collect()
    }
}

/// What a program used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Its largest resident set, in KiB.
    pub max_rss_kib: u64,
}

/// A program at work. Killed when dropped before its end.
#[derive(Debug)]
pub struct Running {
    what: String,
    child: Child,
    began: Instant,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// Starts a program; its outputs are collected, its stdin is what the command says.
///
/// # Errors
/// When it cannot be started.
pub fn start(command: &mut Command) -> Result<Running> {
    let what = format!("{command:?}");
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| format!("starting {what}"))?;
    let stdout = child.stdout.take().map(collect);
    let stderr = child.stderr.take().map(collect);
    Ok(Running { what, child, began: Instant::now(), stdout, stderr })
}

/// Runs a program to its end, without input unless the command has one set.
///
/// # Errors
/// When it cannot be started, or has not ended after `limit`: then it is killed.
pub fn run(command: &mut Command, limit: Duration) -> Result<Finished> {
    start(command)?.finish(limit)
}

/// Runs a program to its end and tells what it used. The command's environment and folder are not carried over.
///
/// # Errors
/// As [`run`].
pub fn run_measured(command: &Command, report: &Path, limit: Duration) -> Result<(Finished, Usage)> {
    let mut measured = Command::new(helper("measured")?);
    measured.arg(report).arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    let finished = run(&mut measured, limit)?;
    let text = std::fs::read_to_string(report).with_context(|| format!("{}: no report", finished.what))?;
    Ok((finished, Usage { max_rss_kib: text.trim().parse().context("the report of `measured`")? }))
}

impl Running {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its input, when the command asked for a pipe.
    ///
    /// # Errors
    /// When there is none, or it was taken already.
    pub fn input(&mut self) -> Result<ChildStdin> {
        self.child.stdin.take().ok_or_else(|| anyhow!("{}: stdin is not a pipe", self.what))
    }

    /// Sends it a signal; one that has ended is no error.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?;
        }
        Ok(())
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the kernel cannot say.
    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it has not ended after `limit`: then it is killed.
    pub fn finish(mut self, limit: Duration) -> Result<Finished> {
        let waits_from = Instant::now();
        let mut pause = Duration::from_micros(200);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if waits_from.elapsed() > limit {
                bail!("{} did not end within {limit:?}: it hangs", self.what);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        };
        let took = self.began.elapsed();
        Ok(Finished {
            what: std::mem::take(&mut self.what),
            status,
            stdout: self.stdout.take().map(joined).unwrap_or_default(),
            stderr: self.stderr.take().map(joined).unwrap_or_default(),
            took,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        // A pipe that breaks gives what came before.
        drop(from.read_to_end(&mut all));
        all
    })
}

fn joined(thread: JoinHandle<Vec<u8>>) -> Vec<u8> {
    thread.join().unwrap_or_default()
}
