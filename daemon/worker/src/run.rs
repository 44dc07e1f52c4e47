//! A worker process, from its start to its exit status.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::thread::Builder;

use butterdock_btrfs::best_effort;
use butterdock_receive::{Control, Counts};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::net::{RecvFlags, Shutdown, shutdown};

use super::confine::{self, Confined, Directories, confine};
use super::job::Job;
use super::packet;
use super::protocol::{Order, Report, Start, WorkerError};
use super::report_writer::{self, ReportWriter};
use crate::priority;

/// `EX_USAGE`: the worker was not started by the service.
const USAGE: u8 = 64;

/// `EX_UNAVAILABLE`: the service of the worker exited.
const UNAVAILABLE: u8 = 69;

/// `EX_OSERR`: the kernel refused a restriction, a thread or a descriptor that the worker needs.
const REFUSED: u8 = 71;

/// `EX_PROTOCOL`: the worker did not understand the order.
const MISUNDERSTOOD: u8 = 76;

/// Runs the job whose order comes through standard input.
///
/// # Errors
/// The worker could not report the end of its job.
pub fn run() -> Result<(), Stop> {
    abort_on_panic();
    work()
}

/// Ends the process if a thread panics, also in profiles without `panic = "abort"`: the service must not wait for a worker that
/// has lost a thread.
fn abort_on_panic() {
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        default_hook(panic);
        std::process::abort();
    }));
}

/// Why a worker ends without a report of the end of its job.
#[derive(Debug)]
pub struct Stop {
    /// The exit status; the crate's documentation has the table.
    pub status: u8,
    /// The reason, for the journal; empty if the service is gone.
    pub sentence: String,
}

impl Stop {
    fn new(status: u8, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    fn service_gone() -> Self {
        Self::new(UNAVAILABLE, "")
    }
}

fn work() -> Result<(), Stop> {
    let socket = service_socket()?;
    priority::raise_open_files();
    let (start, descriptors) = receive_start(socket.as_fd())?;
    let job = match Job::new(start.order, descriptors) {
        Ok(job) => job,
        Err(error) => return refuse(socket.as_fd(), *error),
    };
    start.priority.take();
    match confine(&job.needs()) {
        Ok(Confined { directories, landlock, lacking }) => {
            let job = match directories {
                Some(Directories { destination, top }) => job.with_directories(destination, top),
                None => job,
            };
            let lacking = Some(lacking.join("; ")).filter(|sentences| !sentences.is_empty());
            run_job(&job, Report::Confined { landlock, lacking }, socket.as_fd())
        }
        Err(error) => {
            refuse(socket.as_fd(), WorkerError::of_sentence(&error.to_string()))?;
            Err(Stop::new(REFUSED, error.to_string()))
        }
    }
}

/// The socket to the service. From here on the kernel kills this process when the service ends.
fn service_socket() -> Result<OwnedFd, Stop> {
    let no_service = |_error| {
        let text = "butterdockd worker can only be started by the service: \
                    use butterdock receive, or butterdockd receive without the service";
        Stop::new(USAGE, text)
    };
    // The credentials are those of the process that made the pair of sockets.
    let service = getsockopt(&std::io::stdin(), PeerCredentials).map_err(no_service)?.pid();
    match confine::begin(service) {
        Ok(true) => {}
        Ok(false) => return Err(Stop::new(UNAVAILABLE, "the service that started this worker is gone")),
        Err(error) => return Err(Stop::new(REFUSED, error.to_string())),
    }
    let socket = std::io::stdin().as_fd().try_clone_to_owned();
    socket.map_err(|error| Stop::new(REFUSED, format!("the worker cannot use its socket: {error}")))
}

/// The order and its descriptors.
fn receive_start(socket: BorrowedFd<'_>) -> Result<(Start, Vec<OwnedFd>), Stop> {
    let misunderstood =
        |what: &str| Stop::new(MISUNDERSTOOD, format!("the order of the service {what}; restart butterdockd"));
    match packet::receive(socket, RecvFlags::empty()) {
        Ok(Some(packet)) => {
            let start = serde_json::from_slice(&packet.bytes);
            let start = start.map_err(|error| misunderstood(&format!("is invalid: {error}")))?;
            Ok((start, packet.descriptors))
        }
        Ok(None) => Err(Stop::service_gone()),
        Err(error) => Err(misunderstood(&format!("cannot be read: {error}"))),
    }
}

/// Reports why the job did not start.
fn refuse(socket: BorrowedFd<'_>, error: WorkerError) -> Result<(), Stop> {
    let ended = Report::Ended { counts: Counts::default(), error: Some(error) };
    report_writer::write(socket, &ended).map_err(|_error| Stop::service_gone())
}

/// Runs the job. A second thread writes reports to the service, and a third one reads the service's orders.
fn run_job(job: &Job, confined: Report, socket: BorrowedFd<'_>) -> Result<(), Stop> {
    let refused =
        |error| Stop::new(REFUSED, format!("the worker cannot begin: {error}; free some memory and try again"));
    let control = Control::new().map_err(refused)?;
    // Before orders are read, which may change it.
    control.set_max_rate(job.max_rate());
    let reports = ReportWriter::new(control.clone());
    reports.queue(confined);
    let delivered = std::thread::scope(|threads| {
        let thread = |name: &str| Builder::new().name(name.to_owned());
        let writer = thread("report writer").spawn_scoped(threads, || reports.write_all(socket))?;
        thread("orders")
            .spawn_scoped(threads, || read_orders(socket, &control, &reports))
            .inspect_err(|_error| reports.service_gone())?;
        reports.queue(job.run(&control, &reports));
        // A panic would have ended the process.
        drop(writer.join());
        let delivered = reports.were_delivered();
        // Ends the thread that reads orders.
        best_effort(shutdown(socket, Shutdown::Both));
        Ok(delivered)
    });
    match delivered.map_err(refused)? {
        true => Ok(()),
        false => Err(Stop::service_gone()),
    }
}

/// Cancels the job when the service orders it, when the service is gone, and after an unknown message.
fn read_orders(socket: BorrowedFd<'_>, control: &Control, reports: &ReportWriter) {
    while let Ok(Some(packet)) = packet::receive(socket, RecvFlags::empty()) {
        match serde_json::from_slice(&packet.bytes) {
            Ok(Order::Cancel) => control.cancel(),
            Ok(Order::MaxRate(rate)) => control.set_max_rate(rate),
            _ => break,
        }
    }
    reports.service_gone();
}
