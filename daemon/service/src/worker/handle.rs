//! The daemon's end of the connection to a worker.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use butterdock_btrfs::best_effort;
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch::{Receiver, Sender};

use butterdock_worker::packet;
use butterdock_worker::protocol::{Order, Report};

/// A worker at work. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Worker {
    socket: AsyncFd<OwnedFd>,
    process: Process,
    /// It has sent its last report, or something that no worker sends.
    over: bool,
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    descriptor: OwnedFd,
    end: Receiver<Option<ExitStatus>>,
}

impl Worker {
    pub(crate) fn new(socket: OwnedFd, process: Process) -> io::Result<Self> {
        #[expect(deprecated, reason = "what takes its place is unsafe; the socket is owned here and never replaced")]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        Ok(Self { socket, process, over: false })
    }

    /// Its process id, for a person: whoever wants to act on it calls a method here.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The next report; none when there will be no more. Without [`Report::Ended`] before that, it was killed or it
    /// crashed: [`Worker::gone`] says how. May be dropped and called again without losing one.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        if self.over {
            return None;
        }
        let receive = |socket: &OwnedFd| packet::receive(socket, RecvFlags::DONTWAIT);
        match self.socket.async_io(Interest::READABLE, receive).await {
            Ok(Some(packet)) => match serde_json::from_slice(&packet.bytes) {
                Ok(report) => {
                    self.over = matches!(report, Report::Ended { .. });
                    Some(report)
                }
                Err(_) => self.distrust(),
            },
            Err(error) if error.kind() == io::ErrorKind::InvalidData => self.distrust(),
            Ok(None) | Err(_) => {
                self.over = true;
                None
            }
        }
    }

    /// Asks it to end: it stops at the next command and removes what is half-made. Its last report says so.
    pub(crate) fn cancel(&self) -> io::Result<()> {
        // There is room, unless the worker stopped reading long ago: then the caller has to kill it.
        packet::send(self.socket.get_ref(), &serde_json::to_vec(&Order::Cancel)?, &[], SendFlags::DONTWAIT)
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

    /// A worker whose messages make no sense may have been taken over by its stream.
    fn distrust(&mut self) -> Option<Report> {
        self.over = true;
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
        best_effort(pidfd_send_signal(&self.descriptor, Signal::KILL));
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
