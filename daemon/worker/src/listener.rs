//! Hears what the daemon has to say while a job runs.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use super::handover;
use super::line::LineBuffer;
use super::protocol::Order;
use super::report_writer::ReportWriter;
use butterdock_receive::Control;

/// Cancels when the daemon says so. When it goes away, or says what no daemon says, nobody is left to work for.
pub(crate) fn listen(socket: &UnixStream, mut lines: LineBuffer, control: &Control, reports: &ReportWriter) {
    loop {
        match lines.line() {
            Ok(Some(line)) if matches!(serde_json::from_slice(&line), Ok(Order::Cancel)) => control.cancel(),
            Ok(None) => {
                let mut uncalled: Vec<OwnedFd> = Vec::new();
                match handover::receive(socket, &mut lines, &mut uncalled) {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return reports.deafen(),
                }
            }
            Ok(Some(_)) | Err(_) => return reports.deafen(),
        }
    }
}
