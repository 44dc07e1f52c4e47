//! Where the service's log goes: to the journal under systemd, else to standard error.

use std::os::fd::AsFd as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::{FormatFields, format};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry;

/// Begins to log. `BUTTERDOCK_LOG` says how much: error, warn, info (without it), debug or trace.
pub(super) fn start() {
    let level = std::env::var("BUTTERDOCK_LOG").ok().and_then(|word| word.parse().ok()).unwrap_or(LevelFilter::INFO);
    let journal = is_journal(std::env::var("JOURNAL_STREAM").ok().as_deref(), standard_error());
    let done = match journal.then(tracing_journald::layer) {
        // Fields are named as they are here, in capitals: BUTTERDOCK_JOB.
        Some(Ok(journal)) => {
            let journal = journal.with_field_prefix(None).with_syslog_identifier("butterdockd".to_owned());
            tracing::subscriber::set_global_default(registry().with(level).with(journal))
        }
        Some(Err(_)) | None => {
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .fmt_fields(fields())
                .without_time()
                .with_target(false)
                .with_ansi(false);
            tracing::subscriber::set_global_default(registry().with(level).with(lines))
        }
    };
    // Fails only where there is one already.
    drop(done);
}

/// Fields as they are, behind the message. The ids of the catalogue are numbers for the journal alone.
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
    let facts = nix::sys::stat::fstat(std::io::stderr().as_fd()).ok()?;
    Some((facts.st_dev, facts.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_journals_own_socket_is_the_journal() {
        assert!(is_journal(Some("8:17"), Some((8, 17))));
        assert!(!is_journal(Some("8:17"), Some((8, 18))));
        assert!(!is_journal(None, Some((8, 17))));
        assert!(!is_journal(Some("x"), None));
    }
}
