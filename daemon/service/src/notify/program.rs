//! The way to `butterdock-net`.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use butterdock_net_protocol::{Line, Order, Report, read_report, write_order};

use super::NotifyFailure;

/// What sends orders; tests have their own.
pub(crate) trait NetProgram: fmt::Debug + Send + Sync {
    /// Carries out an order. Blocks up to some minutes.
    ///
    /// # Errors
    /// The program did not run, or the report says why it was not delivered.
    fn carry_out(&self, order: &Order) -> Result<(), NotifyFailure>;
}

/// `butterdock-net` behind its socket.
#[derive(Debug)]
pub(crate) struct SocketProgram {
    /// The path of the socket.
    pub(crate) socket: PathBuf,
}

/// Time for the program to start and to end, in addition to that of the order.
const START: Duration = Duration::from_secs(20);

impl NetProgram for SocketProgram {
    fn carry_out(&self, order: &Order) -> Result<(), NotifyFailure> {
        let failed = |why: &dyn fmt::Display| NotifyFailure::Program(Line::of(&why.to_string()));
        let stream = UnixStream::connect(&self.socket).map_err(|error| failed(&error))?;
        let limit = START.saturating_add(Duration::from_millis(order.timeout_ms.into()));
        stream.set_write_timeout(Some(START)).map_err(|error| failed(&error))?;
        stream.set_read_timeout(Some(limit)).map_err(|error| failed(&error))?;
        write_order(&stream, order).map_err(|error| failed(&error))?;
        match read_report(&stream).map_err(|error| failed(&error))? {
            Report::Delivered => Ok(()),
            Report::Failed(cause) => Err(NotifyFailure::Reported(cause)),
        }
    }
}
