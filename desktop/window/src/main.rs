//! butterdock-window: the window of butterdock in a desktop session: drives, and which of them are used for backups.
//!
//! ```text
//! arguments     the command line          application   one instance in each session, and its actions
//! service       the thread of the bus: events in, calls out. Nothing of it blocks the window
//! calls         what buttons do           context       what all views share
//! secret        passphrases               views         draw what `butterdock-window-model` says
//! ```

mod application;
mod arguments;
mod calls;
mod context;
mod secret;
mod service;
mod views;

use std::process::ExitCode;

use arguments::Arguments;
use butterdock_desktop::output::{complain, print};

/// `EX_USAGE` of sysexits.h
const BAD_USAGE: u8 = 64;

fn main() -> ExitCode {
    match Arguments::read(std::env::args_os().skip(1)) {
        Some(Arguments::Help) => print(arguments::USAGE),
        Some(Arguments::Version) => print(concat!("butterdock-window ", env!("CARGO_PKG_VERSION"))),
        Some(Arguments::Start(start)) => application::run(&start),
        None => {
            complain(arguments::USAGE);
            ExitCode::from(BAD_USAGE)
        }
    }
}
