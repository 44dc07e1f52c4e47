//! `butterdockd serve`: starts the service and its bus server, and passes signals on.
//!
//! ```text
//! main thread       one tokio runtime: bus, jobs, all tasks that only wait
//! spawner           starts workers, and lives as long as the service
//! blocking threads  one for each call on a drive or descriptor that may hang, and a pool for local files
//! ```
//!
//! While no job runs, every task waits for a message, a signal or the kernel's notification of changed mounts. The exceptions
//! are timers: the watchdog, if systemd has one configured, the hourly check of the clocks, the check of the sources each minute, and
//! the look at the times of backups at least every five minutes.

mod service;
mod system;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use butterdock_service::catalogue;
use butterdock_service::config::{Config, ConfigFiles, load};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::args::Serve;
use crate::output::{self, MISCONFIGURED, NOT_ALLOWED};
use system::Signals;

/// Runs the service until a signal ends it.
pub(crate) fn run(wanted: Serve) -> ExitCode {
    if !nix::unistd::geteuid().is_root() {
        output::error(
            "the service creates subvolumes and files with other owners, which only root can do: run it as \
                      root",
        );
        return ExitCode::from(NOT_ALLOWED);
    }
    system::start_log();
    let sources = wanted.config.map_or(ConfigFiles::System, ConfigFiles::One);
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

/// Timeout for threads of local work at the end; threads that block longer end with the process.
const THREADS_END: Duration = Duration::from_millis(100);
/// An idle thread of the pool ends after this time.
const THREADS_IDLE: Duration = Duration::from_secs(2);

fn run_service(sources: ConfigFiles, config: Config) -> Result<()> {
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

/// Each queued job holds a descriptor. The soft limit is low for programs that use select(2), which this one does not.
fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    // The old limit is enough for most queues.
    if let Err(error) = raised {
        tracing::debug!("the limit of open files stays as it is: {error}");
    }
}
