//! A worker of `butterdockd`, with the test in the daemon's place. What is said is written from the protocol's description
//! alone: it shares no code with the product.

use std::io::{BufRead as _, BufReader, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use super::PATIENCE;

/// A worker. Killed when dropped before its end.
#[derive(Debug)]
pub struct Hired {
    child: Child,
    socket: UnixStream,
    reports: BufReader<UnixStream>,
}

/// A worker that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Everything it told, in order.
    pub reports: Vec<Value>,
    /// How its process ended.
    pub status: ExitStatus,
}

/// A job to receive a stream as it is, for [`Hired::new`].
#[must_use]
pub fn receive() -> Value {
    json!({"receive": {
        "name": null,
        "verify": false,
        "force_decompress": false,
        "no_verity": false,
        "lanes": null,
        "strict_parent": false,
        "asked_by": 0,
        "unrecorded_if_roots": true,
    }})
}

impl Hired {
    /// Starts a worker for a job, with descriptors that it gets.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn new(butterdockd: &Path, job: &Value, descriptors: &[BorrowedFd<'_>]) -> Result<Self> {
        let start = json!({"order": job, "priority": {"nice": 0, "io": "none"}});
        Self::told(butterdockd, format!("{start}\n").as_bytes(), descriptors)
    }

    /// Starts a worker and tells it any bytes.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn told(butterdockd: &Path, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        sendmsg(&ours, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        let child = Command::new(butterdockd)
            .arg("worker")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", butterdockd.display()))?;
        ours.set_read_timeout(Some(PATIENCE))?;
        let reports = BufReader::new(ours.try_clone()?);
        Ok(Self { child, socket: ours, reports })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next report; none when it has closed its end.
    ///
    /// # Errors
    /// When it is silent for long, or talks nonsense.
    pub fn report(&mut self) -> Result<Option<Value>> {
        let mut line = String::new();
        match self.reports.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(serde_json::from_str(&line).with_context(|| format!("a report: {line}"))?)),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error).context("waiting for a report"),
        }
    }

    /// Waits for a report of one kind and answers what it says.
    ///
    /// # Errors
    /// When it never comes.
    pub fn wait_for(&mut self, kind: &str) -> Result<Value> {
        let mut heard = Vec::new();
        while let Some(report) = self.report()? {
            if let Some(said) = report.get(kind) {
                return Ok(said.clone());
            }
            heard.push(report.to_string());
        }
        bail!("no {kind} among {heard:?}")
    }

    /// Says a line.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn say(&mut self, line: &str) -> Result<()> {
        Ok(self.socket.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Closes the daemon's end and waits for the process.
    ///
    /// # Errors
    /// When it does not end.
    pub fn desert(mut self) -> Result<ExitStatus> {
        self.socket.shutdown(Shutdown::Both)?;
        wait(&mut self.child)
    }

    /// Kills it and waits until it is gone.
    ///
    /// # Errors
    /// When it does not go.
    pub fn kill(mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        wait(&mut self.child)
    }

    /// Hears it to its end.
    ///
    /// # Errors
    /// When it is silent for long, or does not end.
    pub fn finish(mut self) -> Result<Ended> {
        let mut reports = Vec::new();
        while let Some(report) = self.report()? {
            reports.push(report);
        }
        Ok(Ended { reports, status: wait(&mut self.child)? })
    }
}

impl Ended {
    /// Its last word: what went wrong, or nothing.
    ///
    /// # Errors
    /// When it did not say how the job ended, or said more than once.
    pub fn error(&self) -> Result<Option<&Value>> {
        let ends: Vec<&Value> = self.reports.iter().filter_map(|report| report.get("ended")).collect();
        match (ends.as_slice(), self.reports.last().and_then(|last| last.get("ended"))) {
            ([_], Some(end)) => Ok(end.get("error").filter(|error| !error.is_null())),
            _ => bail!("no end, or several, or something behind it: {:?} {:?}", self.reports, self.status),
        }
    }

    /// Itself, when the job succeeded.
    ///
    /// # Errors
    /// With what it said.
    pub fn success(self) -> Result<Self> {
        match self.error()? {
            Some(error) => bail!("the job failed: {error}"),
            None if self.status.success() => Ok(self),
            None => bail!("the worker ended with {:?} {:?}", self.status.code(), self.status.signal()),
        }
    }

    /// What the reports of one kind say.
    #[must_use]
    pub fn said(&self, kind: &str) -> Vec<&Value> {
        self.reports.iter().filter_map(|report| report.get(kind)).collect()
    }
}

fn wait(child: &mut Child) -> Result<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if began.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            bail!("the worker did not end");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
