//! Starts workers, all of them from one thread.
//!
//! A worker asks the kernel to be killed when its parent dies, and for that the kernel counts the thread that made it, not
//! the process. A thread of a runtime's pool ends when it has nothing to do; this one ends with the daemon.
//!
//! The thread has a descriptor table of its own: a fork copies the descriptor table; closing a caller's file could block, so
//! this thread never holds one. Other threads put the order and its descriptors into a worker's socket, and only that socket
//! comes here.

use super::handle::{Process, ProcessConnection, Waiting, Worker, watch};
use crate::dir_handle::DirHandle;
use crate::untrusted_fd::QuarantinedFd;
use butterdock_btrfs::best_effort;
use butterdock_worker::protocol::{Order, Start};
use butterdock_worker::{Priority, packet};
use nix::sched::{CloneFlags, unshare};
use rustix::net::{RecvFlags, SendFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use tokio::sync::oneshot;

/// Starts workers. They live as long as this does.
#[derive(Debug)]
pub(crate) struct Spawner(Box<dyn StartWorker>);

/// How a worker is started.
pub(super) trait StartWorker: Debug + Send + Sync {
    /// Starts a worker with this order.
    ///
    /// # Errors
    /// It cannot be started.
    fn start<'a>(&'a self, order: Order, handed: WorkerFds<'a>, priority: Priority) -> Waiting<'a, io::Result<Worker>>;
}

/// The thread that starts the processes of workers. It lives as long as this does.
#[derive(Debug)]
struct SpawnerThread {
    queue: Mutex<SpawnQueue>,
}

/// The way to the thread: requests for workers, and in the same order the sockets that the workers get.
#[derive(Debug)]
struct SpawnQueue {
    requests: mpsc::Sender<Request>,
    sockets: OwnedFd,
}

/// A worker that a caller waits for.
type Request = oneshot::Sender<io::Result<Child>>;

/// What is started: this program, from the file that runs now, so that both ends are of one version while it is updated.
#[derive(Debug)]
struct Program {
    file: OsString,
    arguments: Vec<OsString>,
}

impl Spawner {
    /// Starts the thread, which has `alive` until it ends.
    pub(crate) fn start(alive: impl Send + 'static) -> io::Result<Self> {
        Self::of(Program { file: "/proc/self/exe".into(), arguments: vec!["worker".into()] }, alive)
    }

    /// Starts a worker and hands it its order. The descriptors are closed here, also on error.
    ///
    /// Needs a tokio runtime with I/O.
    pub(crate) async fn worker(&self, order: Order, handed: WorkerFds<'_>, priority: Priority) -> io::Result<Worker> {
        self.0.start(order, handed, priority).await
    }

    /// Starts workers in this way.
    pub(super) fn with(start: impl StartWorker + 'static) -> Self {
        Self(Box::new(start))
    }

    /// Has this shell script play the worker; 0 is its socket.
    #[cfg(test)]
    pub(crate) fn playing(script: &str) -> Self {
        let arguments = ["-c", script].map(OsString::from).to_vec();
        Self::of(Program { file: "/bin/sh".into(), arguments }, ()).expect("a thread")
    }

    fn of(program: Program, alive: impl Send + 'static) -> io::Result<Self> {
        Ok(Self::with(SpawnerThread::start(program, alive)?))
    }
}

impl StartWorker for SpawnerThread {
    fn start<'a>(&'a self, order: Order, handed: WorkerFds<'a>, priority: Priority) -> Waiting<'a, io::Result<Worker>> {
        Box::pin(async move {
            let start = serde_json::to_vec(&Start { order, priority })?;
            let (ours, theirs) = packet::pair()?;
            // The order waits in the socket: it does not depend on how the worker begins.
            packet::send(&ours, &start, &handed.borrowed(), SendFlags::DONTWAIT)?;
            drop(handed);
            let child = self.request(&theirs)?.await.map_err(|_dropped| ended())??;
            ProcessConnection::worker(ours, watched(child, in_a_thread)?)
        })
    }
}

impl SpawnerThread {
    fn request(&self, theirs: &OwnedFd) -> io::Result<oneshot::Receiver<io::Result<Child>>> {
        let (answer, started) = oneshot::channel();
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        packet::send(&queue.sockets, b"x", &[theirs.as_fd()], SendFlags::empty())?;
        queue.requests.send(answer).map_err(|_unsent| ended())?;
        Ok(started)
    }

    fn start(program: Program, alive: impl Send + 'static) -> io::Result<Self> {
        let (requests, wanted) = mpsc::channel::<Request>();
        let (sockets, others) = packet::pair()?;
        let (started, ready) = mpsc::channel();
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            let _alive = alive;
            let alone = unshare(CloneFlags::CLONE_FILES);
            let is_alone = alone.is_ok();
            // The caller waits for this.
            best_effort(started.send(alone));
            if is_alone {
                wanted.into_iter().for_each(|answer| program.answer(&others, answer));
            }
        })?;
        ready.recv().map_err(|_gone| ended())??;
        Ok(Self { queue: Mutex::new(SpawnQueue { requests, sockets }) })
    }
}

impl Program {
    fn answer(&self, sockets: &OwnedFd, answer: Request) {
        let packet = packet::receive(sockets, RecvFlags::empty());
        let socket = packet.and_then(|packet| packet.and_then(|mut packet| packet.descriptors.pop()).ok_or_else(ended));
        if let Err(Ok(mut unwanted)) = answer.send(socket.and_then(|socket| self.start(socket))) {
            // The caller has left.
            best_effort(unwanted.kill());
            std::thread::spawn(move || drop(unwanted.wait()));
        }
    }

    fn start(&self, socket: OwnedFd) -> io::Result<Child> {
        Command::new(&self.file)
            .arg0("butterdockd")
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(socket))
            .stdout(Stdio::null())
            // A group of its own: Ctrl-C for a daemon in the foreground is the daemon's to answer.
            .process_group(0)
            .spawn()
    }
}

/// The child as a process that is waited for. Where that cannot be arranged, the child is killed and taken out of the
/// kernel's list here: no other code does.
fn watched(mut child: Child, start: impl FnOnce(Wait) -> io::Result<()>) -> io::Result<Process> {
    let process = watch_over(Pid::from_child(&child), start);
    if process.is_err() {
        // It fails only for a child that has ended; that one is waited for as well.
        best_effort(child.kill());
        drop(child.wait());
    }
    process
}

/// Waits for one process, in a thread of its own.
type Wait = Box<dyn FnOnce() + Send>;

/// The child was not waited for, so `pid` is still its own.
fn watch_over(pid: Pid, start: impl FnOnce(Wait) -> io::Result<()>) -> io::Result<Process> {
    let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
    let waited_for = descriptor.try_clone()?;
    let (tell, end) = tokio::sync::watch::channel::<Option<ExitStatus>>(None);
    start(Box::new(move || watch(waited_for, tell)))?;
    Ok(Process::new(pid, descriptor, end))
}

fn in_a_thread(waiting: Wait) -> io::Result<()> {
    std::thread::Builder::new().name("worker's end".to_owned()).spawn(waiting).map(drop)
}

fn ended() -> io::Error {
    io::Error::other("the thread that starts workers has ended; restart butterdockd")
}

#[cfg(test)]
mod tests;

/// Descriptors for a worker, in this order. Those that are owned are closed here when this is dropped, which never waits.
#[derive(Debug, Default)]
pub(crate) struct WorkerFds<'d> {
    /// A caller's.
    pub stream: Option<QuarantinedFd>,
    /// The end of a pipe, for writing.
    pub pipe: Option<OwnedFd>,
    /// Directories that only the worker needs.
    pub places: Vec<DirHandle>,
    /// The directory that the worker receives into.
    pub destination: Option<BorrowedFd<'d>>,
}

impl<'d> WorkerFds<'d> {
    /// The directory of a destination alone.
    pub(crate) fn destination(directory: BorrowedFd<'d>) -> Self {
        Self { destination: Some(directory), ..Self::default() }
    }

    /// All of them, in the order in which a worker gets them.
    pub(super) fn borrowed(&self) -> Vec<BorrowedFd<'_>> {
        let stream = self.stream.as_ref().and_then(QuarantinedFd::socket);
        let pipe = self.pipe.as_ref().map(OwnedFd::as_fd);
        stream.into_iter().chain(pipe).chain(self.places.iter().map(DirHandle::as_fd)).chain(self.destination).collect()
    }
}

impl<const N: usize> From<[DirHandle; N]> for WorkerFds<'_> {
    fn from(places: [DirHandle; N]) -> Self {
        Self::from(Vec::from(places))
    }
}

impl From<Vec<DirHandle>> for WorkerFds<'_> {
    fn from(places: Vec<DirHandle>) -> Self {
        Self { places, ..Self::default() }
    }
}
