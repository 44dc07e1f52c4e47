//! The service's end of the connection to a worker.

use std::fmt::Debug;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::pin::Pin;
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

/// A wait that a trait object answers.
pub(super) type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A worker at work. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Worker {
    connection: Box<dyn Connection>,
    end: Receiver<Option<ExitStatus>>,
    /// It has sent its last report, or something that no worker sends.
    over: bool,
}

/// The way to a worker. Dropped, it kills the worker.
pub(super) trait Connection: Debug + Send + Sync {
    /// Its process id.
    fn pid(&self) -> u32;

    /// The next message; none when there will be no more. Dropping the wait loses none.
    ///
    /// # Errors
    /// `InvalidData`: the worker sent what no worker sends.
    fn receive(&mut self) -> Waiting<'_, io::Result<Option<Vec<u8>>>>;

    /// Sends an order.
    ///
    /// # Errors
    /// The worker has ended, or stopped reading long ago.
    fn send(&self, order: &Order) -> io::Result<()>;

    /// Kills it.
    fn kill(&self);
}

impl Worker {
    pub(super) fn new(connection: impl Connection + 'static, end: Receiver<Option<ExitStatus>>) -> Self {
        Self { connection: Box::new(connection), end, over: false }
    }

    /// Its process id, for a person: to act on it there are methods here.
    pub(crate) fn pid(&self) -> u32 {
        self.connection.pid()
    }

    /// The next report; none when there will be no more. Without [`Report::Ended`] before that, it was killed or it
    /// crashed: [`Worker::gone`] says how. May be dropped and called again without losing one.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        if self.over {
            return None;
        }
        match self.connection.receive().await {
            Ok(Some(message)) => match serde_json::from_slice(&message) {
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
        self.connection.send(&Order::Cancel)
    }

    /// Limits the rate of a backup from now on, in bytes per second.
    ///
    /// # Errors
    /// The worker has ended, or stopped reading long ago.
    pub(crate) fn set_max_rate(&self, rate: Option<u64>) -> io::Result<()> {
        self.connection.send(&Order::MaxRate(rate))
    }

    /// Kills it. What it has not published stays hidden until it is swept.
    pub(crate) fn kill(&self) {
        self.connection.kill();
    }

    /// Waits until the process is gone, and answers how it ended. A killed process that waits for a drive inside the
    /// kernel ends when the kernel lets it: bound the wait.
    pub(crate) async fn gone(&mut self) -> ExitStatus {
        match self.end.wait_for(Option::is_some).await {
            Ok(end) => end.unwrap_or_default(),
            // The thread that watches has ended without an answer.
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

/// A worker's process, and the socket between it and the service.
#[derive(Debug)]
pub(super) struct ProcessConnection {
    socket: AsyncFd<OwnedFd>,
    process: Process,
}

impl ProcessConnection {
    /// The worker that this is the connection to.
    pub(super) fn worker(socket: OwnedFd, process: Process) -> io::Result<Worker> {
        #[expect(deprecated, reason = "what takes its place is unsafe; the socket is owned here and never replaced")]
        let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
        let end = process.end.clone();
        Ok(Worker::new(Self { socket, process }, end))
    }
}

impl Connection for ProcessConnection {
    fn pid(&self) -> u32 {
        self.process.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn receive(&mut self) -> Waiting<'_, io::Result<Option<Vec<u8>>>> {
        let receive = |socket: &OwnedFd| packet::receive(socket, RecvFlags::DONTWAIT);
        Box::pin(async move {
            let packet = self.socket.async_io(Interest::READABLE, receive).await?;
            Ok(packet.map(|packet| packet.bytes))
        })
    }

    fn send(&self, order: &Order) -> io::Result<()> {
        // There is room, unless the worker stopped reading long ago: then the caller has to kill it.
        packet::send(self.socket.get_ref(), &serde_json::to_vec(order)?, &[], SendFlags::DONTWAIT)
    }

    fn kill(&self) {
        self.process.kill();
    }
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    descriptor: OwnedFd,
    end: Receiver<Option<ExitStatus>>,
}

impl Process {
    pub(super) fn new(pid: Pid, descriptor: OwnedFd, end: Receiver<Option<ExitStatus>>) -> Self {
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

/// Waits for the end of a process, takes it out of the kernel's list and sends how it ended. It blocks: tokio's way to wait
/// for a descriptor of any kind asks for unsafe code, and there are few workers.
#[expect(clippy::needless_pass_by_value, reason = "the thread owns both to its end")]
pub(super) fn watch(descriptor: OwnedFd, tell: Sender<Option<ExitStatus>>) {
    let end = retry_on_intr(|| waitid(WaitId::PidFd(descriptor.as_fd()), WaitIdOptions::EXITED)).ok().flatten();
    let exited = |end: &WaitIdStatus| end.exit_status().map(|code| ExitStatus::from_raw((code & 0xff) << 8));
    let killed = |end: &WaitIdStatus| end.terminating_signal().map(ExitStatus::from_raw);
    let status = end.and_then(|end| exited(&end).or_else(|| killed(&end)));
    tell.send_replace(Some(status.unwrap_or_else(unknown)));
}

/// It is unknown how it ended: as if it had been killed.
fn unknown() -> ExitStatus {
    ExitStatus::from_raw(Signal::KILL.as_raw())
}
