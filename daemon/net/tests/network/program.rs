//! The program with one order.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use butterdock_net_protocol::{Delivery, FrameError, Order, Report, read_report, write_order};

/// The program, with one connection.
pub(crate) struct Program {
    command: Command,
}

impl Program {
    pub(crate) fn new() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_butterdock-net"));
        command.env_clear();
        Self { command }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sends what is to be ordered; answers the report and the end of the process.
    pub(crate) fn talk(mut self, send: impl FnOnce(&UnixStream)) -> (Result<Report, FrameError>, ExitStatus) {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let input: OwnedFd = theirs.try_clone().expect("a copy").into();
        self.command.stdin(input).stdout(OwnedFd::from(theirs));
        let mut child = self.command.spawn().expect("started");
        // The copies of the command keep the other end open.
        drop(self);
        send(&ours);
        let report = read_report(&ours);
        (report, child.wait().expect("ended"))
    }

    /// Orders a delivery.
    pub(crate) fn carry_out_within(self, delivery: Delivery, time: Duration) -> Report {
        let timeout_ms = u32::try_from(time.as_millis()).expect("short");
        let order = Order { version: "9.9".to_owned(), timeout_ms, delivery };
        let start = Instant::now();
        let (report, status) = self.talk(|connection| write_order(connection, &order).expect("sent"));
        assert!(status.success());
        assert!(start.elapsed() < time + Duration::from_secs(10), "{:?}", start.elapsed());
        report.expect("a report")
    }

    pub(crate) fn carry_out(self, delivery: Delivery) -> Report {
        self.carry_out_within(delivery, Duration::from_secs(60))
    }
}
