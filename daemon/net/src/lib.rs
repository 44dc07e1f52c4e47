//! The program of butterdock that reaches the network. systemd starts it for each connection to its socket, under a user without
//! rights that ends with it; it reads one order, sends it, reports, and ends.
//!
//! ```text
//! standard input -> Order -> mail | http -> Report -> standard output
//! ```
//!
//! A process for each order, because a server that takes it over then has one message and the credentials, not the next
//! messages. Nothing is kept: the service repeats an order that failed. The order says what is sent and where; only credentials are
//! read here, by their names, so that they are neither in the settings nor in the service.

#![forbid(unsafe_code)]

mod authorities;
mod credential;
mod error_text;
mod http;
mod mail;
mod smtp;

use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use butterdock_net_protocol::{Cause, Delivery, Line, Order, Report, read_order, write_report};
use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

/// Timeout for the order to arrive.
const ORDER: Duration = Duration::from_secs(10);
/// No order takes longer, whatever it says.
const LONGEST: Duration = Duration::from_secs(120);

/// Memory for data and stacks: an answer without an end cannot take more. The allocation that exceeds it aborts the process, which
/// the service takes as a failure.
const MEMORY: u64 = 64 << 20;

/// Carries out the order on standard input.
#[must_use]
pub fn run() -> ExitCode {
    let report = match within(ORDER, || limit_self().map(|()| read_order(io::stdin().lock()))) {
        Ok(Err(error)) => Report::Failed(Cause::Order(Line::of(&format!("the program cannot limit itself: {error}")))),
        Ok(Ok(Ok(order))) => {
            let time = Duration::from_millis(order.timeout_ms.into()).min(LONGEST);
            // Also a name server or a server that sends a byte now and then cannot take longer.
            within(time, move || perform(&order)).unwrap_or(Report::Failed(Cause::Timeout))
        }
        Ok(Ok(Err(error))) => Report::Failed(Cause::Order(Line::of(&error.to_string()))),
        Err(_late) => Report::Failed(Cause::Order(Line::of("it did not arrive in time"))),
    };
    match write_report(io::stdout().lock(), &report) {
        Ok(()) => ExitCode::SUCCESS,
        // The service has ended, and orders it again later.
        Err(_gone) => ExitCode::FAILURE,
    }
}

/// Limits the memory, and keeps secrets out of cores. The unit sets the same; without it this works, too.
///
/// # Errors
/// The kernel refuses.
fn limit_self() -> Result<(), Errno> {
    setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    set_dumpable(false)
}

/// Sends what is ordered.
#[must_use]
pub fn perform(order: &Order) -> Report {
    let sent = match &order.delivery {
        Delivery::Mail(mail) => mail::send(mail),
        Delivery::Post(post) => http::send(post, &order.version),
    };
    match sent {
        Ok(()) => Report::Delivered,
        Err(cause) => Report::Failed(cause),
    }
}

/// Does work on a thread, which the end of the process ends if it takes longer.
fn within<T: Send + 'static>(time: Duration, work: impl FnOnce() -> T + Send + 'static) -> Result<T, RecvTimeoutError> {
    let (done, result) = channel();
    thread::spawn(move || {
        // Fails if it is too late.
        drop(done.send(work()));
    });
    result.recv_timeout(time)
}
