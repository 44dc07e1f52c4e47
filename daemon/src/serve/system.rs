//! What the service hears from the system and says to it: signals, the log, and notifications to the service manager.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::{FormatFields, format};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

/// What a signal requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalAction {
    /// SIGTERM, SIGINT: end.
    End,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals of the service.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Listens to the signals, which then do not end the process.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to end; a reload is kept for [`Signals::next`]. Cancel-safe.
    pub(super) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the next signal. Cancel-safe.
    pub(super) async fn next(&mut self) -> SignalAction {
        tokio::select! {
            _ = self.terminate.recv() => SignalAction::End,
            _ = self.interrupt.recv() => SignalAction::End,
            _ = self.hang_up.recv() => SignalAction::Reload,
        }
    }
}

/// Starts the log: in the journal under systemd, else on standard error. `BUTTERDOCK_LOG` sets its level: error, warn, info
/// (default), debug or trace.
pub(super) fn start_log() {
    let level = std::env::var("BUTTERDOCK_LOG").ok().and_then(|word| word.parse().ok()).unwrap_or(LevelFilter::INFO);
    let journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), standard_error());
    let done = match journal.then(tracing_journald::layer) {
        // Without a prefix the journal has the field names of the code: BUTTERDOCK_JOB.
        Some(Ok(journal)) => {
            let journal = journal.with_field_prefix(None).with_syslog_identifier("butterdockd".to_owned());
            tracing::subscriber::set_global_default(registry().with(level).with(journal))
        }
        Some(Err(_)) | None => {
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(io::stderr)
                .fmt_fields(fields())
                .without_time()
                .with_target(false)
                .with_ansi(false);
            tracing::subscriber::set_global_default(registry().with(level).with(lines))
        }
    };
    // Fails only if a log was started before.
    drop(done);
}

/// The message, then the fields. The ids of the catalogue are for the journal only.
fn fields() -> impl for<'w> FormatFields<'w> {
    format::debug_fn(|line, field, value| match field.name() {
        "MESSAGE_ID" => Ok(()),
        "message" => write!(line, "{value:?}"),
        name => write!(line, " {name}={value:?}"),
    })
}

/// Whether standard error is the journal's socket (systemd.exec(5), `JOURNAL_STREAM`): the variable alone is inherited by
/// programs whose standard error goes elsewhere.
fn is_journal(said: Option<&str>, there: Option<(u64, u64)>) -> bool {
    let said = said.and_then(|text| text.split_once(':'));
    let said = said.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    said.is_some() && said == there
}

fn standard_error() -> Option<(u64, u64)> {
    let facts = nix::sys::stat::fstat(io::stderr().as_fd()).ok()?;
    Some((facts.st_dev, facts.st_ino))
}

/// Sends a notification to the service manager (`sd_notify(3)`), such as `READY=1`, if there is a socket for it.
pub(super) fn notify(words: &str) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&socket, words)
    {
        tracing::warn!("cannot send {words} to the service manager: {error}");
    }
}

/// The interval for `WATCHDOG=1`, if the service manager expects it: half of its timeout.
pub(super) fn watchdog_interval() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let micros = number("WATCHDOG_USEC").filter(|&micros| meant && micros > 0)?;
    Some(Duration::from_micros(micros.div_ceil(2)))
}

fn send(socket: &OsStr, words: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::{Signal as Number, raise};

    use super::*;

    #[tokio::test]
    async fn a_reload_signal_is_kept_during_shutdown() {
        let mut signals = Signals::listen().expect("listening");
        raise(Number::SIGHUP).expect("raised");
        let end = tokio::time::timeout(Duration::from_millis(50), signals.end());
        assert!(end.await.is_err());
        assert_eq!(signals.next().await, SignalAction::Reload);
        raise(Number::SIGTERM).expect("raised");
        signals.end().await;
    }

    #[test]
    fn only_the_journals_own_socket_is_the_journal() {
        assert!(is_journal(Some("8:17"), Some((8, 17))));
        assert!(!is_journal(Some("8:17"), Some((8, 18))));
        assert!(!is_journal(None, Some((8, 17))));
        assert!(!is_journal(Some("x"), None));
    }

    #[test]
    fn words_reach_a_socket_with_a_path_and_one_without() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("butterdock-test-{}", std::process::id());
        let addresses = [
            (SocketAddr::from_pathname(&path), path.into_os_string()),
            (SocketAddr::from_abstract_name(&name), format!("@{name}").into()),
        ];
        for (address, socket) in addresses {
            let ear = UnixDatagram::bind_addr(&address.expect("an address")).expect("bound");
            send(&socket, "READY=1").expect("sent");
            let mut heard = [0; 16];
            assert_eq!(ear.recv(&mut heard).map(|count| heard[..count].to_vec()).expect("heard"), b"READY=1");
        }
    }
}
