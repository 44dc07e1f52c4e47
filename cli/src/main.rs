//! butterdock: asks the service over D-Bus and shows the answer.
//!
//! `args` parses the command line; `verbs` calls the service through `service` and passes the answer to `render`. Of the
//! service it uses only the API, `butterdock-dbus`.

mod args;
mod failure;
mod render;
mod service;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use args::Args;
use failure::{Failure, USAGE};
use render::{Output, print, print_error};

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => run(&args),
        Err(error) => usage(&error),
    }
}

fn run(args: &Args) -> ExitCode {
    let out = Output { json: args.json };
    // One thread is enough to wait for the bus and draw a bar.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return out.failed(&Failure::own(format!("cannot start: {error}"))),
    };
    match runtime.block_on(verbs::run(args, out)) {
        Ok(code) => code,
        Err(failure) => out.failed(&failure),
    }
}

/// Prints a usage error, or the requested help or version.
fn usage(error: &clap::Error) -> ExitCode {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other kind is an error")]
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print(&error.render().to_string());
            ExitCode::SUCCESS
        }
        _ => {
            let text = error.render().to_string();
            print_error(&format!("butterdock: {}", text.strip_prefix("error: ").unwrap_or(&text).trim_end()));
            ExitCode::from(USAGE)
        }
    }
}
