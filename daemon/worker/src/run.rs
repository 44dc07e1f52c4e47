//! The worker's way from its start to its exit status.

use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::Builder;

use butterdock_receive::{Control, Counts};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;

use super::confine::{self, Confined, Through, confine, shut_in};
use super::job::Job;
use super::line::LineBuffer;
use super::protocol::{LONGEST_ORDER, Report, Start, WorkerError};
use super::report_writer::{self, ReportWriter};
use super::{failure, handover, listener};
use crate::exit_status::{MISUNDERSTOOD, REFUSED, UNAVAILABLE, USAGE};
use crate::limits;

/// Does the one order that comes through standard input.
///
/// # Errors
/// The worker ends without having reported the end of its job.
pub fn run() -> Result<(), Stop> {
    die_of_panics();
    work()
}

/// A worker of which one thread has died must not look alive to the daemon, in whichever profile it was built.
fn die_of_panics() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        told(panic);
        std::process::abort();
    }));
}

/// Why a worker ends without having reported the end of its job.
#[derive(Debug)]
pub struct Stop {
    /// The exit status; the crate's documentation has the table.
    pub status: u8,
    /// For a person; empty where there is nobody to tell.
    pub sentence: String,
}

impl Stop {
    fn new(status: u8, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// There is nobody to tell.
    fn deserted() -> Self {
        Self::new(UNAVAILABLE, "")
    }
}

fn work() -> Result<(), Stop> {
    let socket = parents_socket()?;
    limits::raise_open_files();
    let mut lines = LineBuffer::new(LONGEST_ORDER);
    let (start, descriptors) = hear(&socket, &mut lines)?;
    let job = match Job::new(start.order, descriptors) {
        Ok(job) => job,
        Err(unfit) => return refuse(&socket, failure::of_descriptors(unfit)),
    };
    start.priority.take();
    let confined = match job.destination() {
        Some(destination) => confine(destination, job.folder()),
        None => shut_in(),
    };
    match confined {
        Ok(Confined { place, landlock, lacking }) => {
            let job = match place {
                Some(Through { destination, top }) => job.through(destination, top),
                None => job,
            };
            let lacking = Some(lacking.join("; ")).filter(|sentences| !sentences.is_empty());
            do_it(&job, Report::Confined { landlock, lacking }, &socket, lines)
        }
        Err(trouble) => {
            refuse(&socket, failure::of_sentence(&trouble.to_string()))?;
            Err(Stop::new(REFUSED, trouble.to_string()))
        }
    }
}

/// The socket to the daemon, once it is sure that this process ends with the daemon.
fn parents_socket() -> Result<UnixStream, Stop> {
    let by_hand = |_error| {
        let text = "butterdockd worker is started by the daemon and does nothing by hand: \
                    use butterdock receive, or butterdockd receive without a daemon";
        Stop::new(USAGE, text)
    };
    // Who made the pair of sockets, as the kernel remembers it.
    let daemon = getsockopt(&std::io::stdin(), PeerCredentials).map_err(by_hand)?.pid();
    match confine::begin(daemon) {
        Ok(true) => {}
        Ok(false) => return Err(Stop::new(UNAVAILABLE, "the daemon that started this worker is gone")),
        Err(trouble) => return Err(Stop::new(REFUSED, trouble.to_string())),
    }
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    socket
        .map(UnixStream::from)
        .map_err(|error| Stop::new(REFUSED, format!("the worker cannot use its socket: {error}")))
}

/// The order and what comes with it.
fn hear(socket: &UnixStream, lines: &mut LineBuffer) -> Result<(Start, Vec<OwnedFd>), Stop> {
    let misunderstood =
        |what: &str| Stop::new(MISUNDERSTOOD, format!("the daemon's order {what}; restart butterdockd"));
    let mut descriptors = Vec::new();
    loop {
        if let Some(line) = lines.line().map_err(|_long| misunderstood("is too long"))? {
            let start =
                serde_json::from_slice(&line).map_err(|error| misunderstood(&format!("makes no sense: {error}")))?;
            return Ok((start, descriptors));
        }
        match handover::receive(socket, lines, &mut descriptors) {
            Ok(true) => {}
            Ok(false) => return Err(Stop::deserted()),
            Err(error) => return Err(misunderstood(&format!("cannot be read: {error}"))),
        }
    }
}

/// Tells why nothing was begun.
fn refuse(socket: &UnixStream, error: WorkerError) -> Result<(), Stop> {
    let ended = Report::Ended { counts: Counts::default(), error: Some(error) };
    report_writer::write(socket, &ended).map_err(|_error| Stop::deserted())
}

/// Does the job, while one thread tells the daemon and one listens to it.
fn do_it(job: &Job, confined: Report, socket: &UnixStream, lines: LineBuffer) -> Result<(), Stop> {
    let refused =
        |error| Stop::new(REFUSED, format!("the worker cannot begin: {error}; free some memory and try again"));
    let control = Control::new().map_err(refused)?;
    let reports = ReportWriter::new(control.clone());
    reports.queue(confined);
    let heard = std::thread::scope(|threads| {
        let thread = |name: &str| Builder::new().name(name.to_owned());
        let telling = thread("teller").spawn_scoped(threads, || reports.tell(socket))?;
        thread("listener")
            .spawn_scoped(threads, || listener::listen(socket, lines, &control, &reports))
            .inspect_err(|_error| reports.deafen())?;
        reports.queue(job.run(&control, &reports));
        // The thread has not panicked: a panic ends the process.
        drop(telling.join());
        let heard = reports.was_heard();
        // The listener waits for words that do not matter any more.
        socket.shutdown(Shutdown::Both).unwrap_or_default();
        Ok(heard)
    });
    match heard.map_err(refused)? {
        true => Ok(()),
        false => Err(Stop::deserted()),
    }
}
