//! The signals that a service gets.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// SIGTERM, SIGINT: end.
    End,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals, listened for.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on these signals do not end the process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until it is to end; what else is asked meanwhile is kept for [`Signals::next`]. May be dropped and called again.
    pub(super) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the next one. May be dropped and called again without losing one.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal as Number, raise};

    use super::*;

    #[tokio::test]
    async fn a_reload_signal_is_kept_during_shutdown() {
        let mut signals = Signals::listen().expect("listening");
        raise(Number::SIGHUP).expect("raised");
        let end = tokio::time::timeout(std::time::Duration::from_millis(50), signals.end());
        assert!(end.await.is_err());
        assert_eq!(signals.next().await, Asked::Reload);
        raise(Number::SIGTERM).expect("raised");
        signals.end().await;
    }
}
