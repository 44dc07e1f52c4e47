//! The daemon's end of a worker.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::io::retry_on_intr;
use rustix::net::SendFlags;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::sync::watch::{Receiver, Sender};

use butterdock_worker::line::LineBuffer;
use butterdock_worker::protocol::{LONGEST_REPORT, Order, Report};

/// A worker at work. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Worker {
    socket: UnixStream,
    lines: LineBuffer,
    process: Process,
    /// Its last report was told, or it said something that no worker says.
    silent: bool,
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    descriptor: OwnedFd,
    end: Receiver<Option<ExitStatus>>,
}

impl Worker {
    pub(crate) fn new(socket: StdStream, process: Process) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = UnixStream::from_std(socket)?;
        Ok(Self { socket, lines: LineBuffer::new(LONGEST_REPORT), process, silent: false })
    }

    /// Its process id, for a person: whoever wants to act on it calls a method here.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The next report; none when there will be no more. Without [`Report::Ended`] before that, it was killed or it
    /// crashed: [`Worker::gone`] says how. May be dropped and called again without losing one.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        while !self.silent {
            match self.lines.line() {
                Ok(Some(line)) => return self.understand(&line),
                Ok(None) => {}
                Err(_too_long) => return self.distrust(),
            }
            let mut bytes = [0; 4096];
            match self.socket.read(&mut bytes).await {
                Ok(0) | Err(_) => self.silent = true,
                Ok(count) => self.lines.push(bytes.get(..count).unwrap_or_default()),
            }
        }
        None
    }

    /// Asks it to end: it stops at the next command and removes what is half-made. Its last report says so.
    pub(crate) fn cancel(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Order::Cancel)?;
        line.push(b'\n');
        // The few bytes fit, unless it stopped reading long ago: then it is one to be killed.
        rustix::net::send(&self.socket, &line, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
        Ok(())
    }

    /// Kills it. What it has not published stays hidden until it is swept.
    pub(crate) fn kill(&self) {
        self.process.kill();
    }

    /// Waits until the process is gone, and answers how it ended. A killed process that waits for a drive inside the
    /// kernel goes when the kernel lets it: bound the wait.
    pub(crate) async fn gone(&mut self) -> ExitStatus {
        match self.process.end.wait_for(Option::is_some).await {
            Ok(end) => end.unwrap_or_default(),
            // The thread that watches ends after it has told.
            Err(_) => unknown(),
        }
    }

    fn understand(&mut self, line: &[u8]) -> Option<Report> {
        match serde_json::from_slice(line) {
            Ok(report) => {
                self.silent = matches!(report, Report::Ended { .. });
                Some(report)
            }
            Err(_) => self.distrust(),
        }
    }

    /// A worker whose words make no sense may have been taken over by its stream.
    fn distrust(&mut self) -> Option<Report> {
        self.silent = true;
        self.kill();
        None
    }
}

impl Process {
    pub(crate) fn new(pid: Pid, descriptor: OwnedFd, end: Receiver<Option<ExitStatus>>) -> Self {
        Self { pid, descriptor, end }
    }

    fn kill(&self) {
        // It fails only for a process that is gone.
        pidfd_send_signal(&self.descriptor, Signal::KILL).unwrap_or_default();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for the end of a process, takes it out of the kernel's list and tells how it ended. It blocks: tokio's way to wait
/// for a descriptor of any kind asks for unsafe code, and there are few workers.
#[expect(clippy::needless_pass_by_value, reason = "the thread owns both to its end")]
pub(super) fn watch(descriptor: OwnedFd, tell: Sender<Option<ExitStatus>>) {
    let end = retry_on_intr(|| waitid(WaitId::PidFd(descriptor.as_fd()), WaitIdOptions::EXITED)).ok().flatten();
    let exited = |end: &WaitIdStatus| end.exit_status().map(|code| ExitStatus::from_raw((code & 0xff) << 8));
    let killed = |end: &WaitIdStatus| end.terminating_signal().map(ExitStatus::from_raw);
    let status = end.and_then(|end| exited(&end).or_else(|| killed(&end)));
    tell.send_replace(Some(status.unwrap_or_else(unknown)));
}

/// Nobody knows how it ended: as if it had been killed.
fn unknown() -> ExitStatus {
    ExitStatus::from_raw(Signal::KILL.as_raw())
}
