//! `butterdockd serve`: puts the service and its bus server together, and passes on what the system says.
//!
//! ```text
//! main thread       one tokio runtime: bus, jobs, everything that only waits
//! spawner           starts workers, and lives as long as they
//! blocking threads  come for a file or a drive that may hang, and go
//! ```
//!
//! While no job runs every task waits for a message, a signal or the kernel's word that mounts changed. Two timers are the
//! exceptions: a watchdog, where systemd wants one, and the hourly look at the clocks.

mod service;
mod system;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use butterdock_service::catalogue;
use butterdock_service::config::{Config, Sources, load};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::args::Serve;
use crate::output::{self, MISCONFIGURED, NOT_ALLOWED};
use system::Signals;

/// Runs the service until it is told to end.
pub(crate) fn run(wanted: Serve) -> ExitCode {
    if !nix::unistd::geteuid().is_root() {
        output::error(
            "the service creates subvolumes and files with other owners, which only root can do: run it as \
                      root",
        );
        return ExitCode::from(NOT_ALLOWED);
    }
    system::start_log();
    let sources = wanted.config.map_or(Sources::System, Sources::One);
    let config = match load(&sources) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(MESSAGE_ID = catalogue::CONFIGURATION_WRONG, "{error:#}");
            return ExitCode::from(MISCONFIGURED);
        }
    };
    match run_service(sources, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A thread that waits for a drive comes to an end within so much, or is left to the end of the process.
const THREADS_END: Duration = Duration::from_millis(100);
/// A thread that has nothing to do any more stays for so long.
const THREADS_IDLE: Duration = Duration::from_secs(2);

fn run_service(sources: Sources, config: Config) -> Result<()> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(THREADS_IDLE)
        .build()
        .context("cannot start the runtime")?;
    let address = std::env::var("BUTTERDOCK_BUS_ADDRESS").ok();
    let result = runtime.block_on(async {
        let signals = Signals::listen().context("cannot receive signals")?;
        Box::pin(service::serve(sources, config, address.as_deref(), signals)).await
    });
    runtime.shutdown_timeout(THREADS_END);
    result
}

/// Each job that waits holds a descriptor. Programs that use select(2) need the soft limit low; this one does not.
fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    // Where it is refused the old limit stays, which is enough for most queues.
    if let Err(error) = raised {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}
