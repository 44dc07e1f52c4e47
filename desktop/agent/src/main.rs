//! butterdock-agent: shows in a desktop session what happens to backup drives, and when they can be unplugged.
//!
//! ```text
//! story     events in, messages out: decides what is shown, when, and with which button. No bus, no clock
//! notify    messages to the notification server    jobview   progress to Plasma's job view
//! actions   what a button does: calls of the service     ask, pinentry  the passphrase of a locked drive
//! settings  what the agent remembers for its user    window  the window, which enrols drives
//! agent     the loop that connects them
//! ```
//!
//! `butterdock-desktop` follows the service and has the words. There is one agent in each session: a second one ends at once. It has one thread, and sleeps until a bus says something.

mod actions;
mod agent;
mod ask;
mod jobview;
mod notify;
mod pinentry;
mod session;
mod settings;
mod story;
mod window;

use std::process::ExitCode;

use butterdock_desktop::output::{complain, print};

const USAGE: &str = "usage: butterdock-agent [--help | --version]
Shows notifications about backup drives in this desktop session. See butterdock-agent(1).";

/// `EX_USAGE` of sysexits.h
const BAD_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [] => run(),
        [word] if word == "--help" => print(USAGE),
        [word] if word == "--version" => print(concat!("butterdock-agent ", env!("CARGO_PKG_VERSION"))),
        [..] => {
            complain(USAGE);
            ExitCode::from(BAD_USAGE)
        }
    }
}

fn run() -> ExitCode {
    // No core of this process has a passphrase, and no other process of the user may look into it.
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        complain(&format!("butterdock-agent could leave a core: {error}"));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("butterdock-agent cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(agent::run());
    // A pinentry that is still open must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("butterdock-agent: {error}"));
            ExitCode::FAILURE
        }
    }
}
