//! Starts workers, all of them from one thread.
//!
//! A worker asks the kernel to be killed when its parent dies, and for that the kernel counts the thread that made it, not
//! the process. A thread of a runtime's pool ends when it has nothing to do; this one ends with the daemon.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::oneshot;

use super::handle::{Process, Worker, watch};
use super::handover;
use super::priority::Priority;
use super::protocol::{LONGEST_ORDER, Order, Start};

/// The thread that starts workers. It lives as long as this does, and so do the workers.
#[derive(Debug)]
pub(crate) struct Spawner {
    wishes: mpsc::Sender<Wish>,
}

/// A worker that somebody waits for.
struct Wish {
    line: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    answer: oneshot::Sender<io::Result<(UnixStream, Process)>>,
}

/// What is started: this program, from the file that runs now, so that both ends are of one version while it is updated.
#[derive(Debug)]
struct Program {
    file: OsString,
    arguments: Vec<OsString>,
}

impl Spawner {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        Self::of(Program { file: "/proc/self/exe".into(), arguments: vec!["worker".into()] })
    }

    /// Starts a worker and hands it its order. The descriptors are closed here, whatever comes of it.
    ///
    /// Needs a tokio runtime with I/O.
    pub(crate) async fn worker(&self, order: Order, fds: Vec<OwnedFd>, priority: Priority) -> io::Result<Worker> {
        let mut line = serde_json::to_vec(&Start { order, priority })?;
        line.push(b'\n');
        if line.len() > LONGEST_ORDER {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the order is longer than a worker reads"));
        }
        let (answer, started) = oneshot::channel();
        let wish = Wish { line, descriptors: fds, answer };
        self.wishes.send(wish).map_err(|_unsent| ended())?;
        let (socket, process) = started.await.map_err(|_dropped| ended())??;
        Worker::new(socket, process)
    }

    fn of(program: Program) -> io::Result<Self> {
        let (wishes, wanted) = mpsc::channel::<Wish>();
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            for Wish { line, descriptors, answer } in wanted {
                let started = program.start(&line, &descriptors);
                drop(descriptors);
                // Nobody waits any more: what comes back is dropped, and the worker killed with it.
                drop(answer.send(started));
            }
        })?;
        Ok(Self { wishes })
    }
}

impl Program {
    fn start(&self, line: &[u8], descriptors: &[OwnedFd]) -> io::Result<(UnixStream, Process)> {
        let (ours, theirs) = UnixStream::pair()?;
        // The order waits in the socket: it does not depend on how the worker begins.
        handover::send(&ours, line, descriptors)?;
        let child = Command::new(&self.file)
            .arg0("butterdockd")
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // A group of its own: Ctrl-C for a daemon in the foreground is the daemon's to answer.
            .process_group(0)
            .spawn()?;
        Ok((ours, watched(child, in_a_thread)?))
    }
}

/// The child as a process that is waited for. Where that cannot be arranged, the child is killed and taken out of the
/// kernel's list here: nobody else would.
fn watched(mut child: Child, start: impl FnOnce(Waiting) -> io::Result<()>) -> io::Result<Process> {
    let process = watch_over(Pid::from_child(&child), start);
    if process.is_err() {
        // It fails only for a child that has ended; that one is waited for as well.
        child.kill().unwrap_or_default();
        drop(child.wait());
    }
    process
}

/// Waits for one process, in a thread of its own.
type Waiting = Box<dyn FnOnce() + Send>;

/// Nobody has waited for the child, so `pid` is still its own.
fn watch_over(pid: Pid, start: impl FnOnce(Waiting) -> io::Result<()>) -> io::Result<Process> {
    let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
    let waited_for = descriptor.try_clone()?;
    let (tell, end) = tokio::sync::watch::channel::<Option<ExitStatus>>(None);
    start(Box::new(move || watch(waited_for, tell)))?;
    Ok(Process::new(pid, descriptor, end))
}

fn in_a_thread(waiting: Waiting) -> io::Result<()> {
    std::thread::Builder::new().name("worker's end".to_owned()).spawn(waiting).map(drop)
}

fn ended() -> io::Error {
    io::Error::other("the thread that starts workers has ended; restart butterdockd")
}

#[cfg(test)]
mod tests;
