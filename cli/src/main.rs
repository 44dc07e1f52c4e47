//! butterdock: asks the service over D-Bus and shows the answer.
//!
//! `args` parses the command line; each verb has a file in `verbs`, which calls the service (`ask`) and passes the
//! answer to `render`. Of the service it uses only the API, `butterdock-dbus`.

mod app;
mod args;
mod ask;
mod failure;
mod render;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match args::Args::try_parse() {
        Ok(args) => app::run(&args),
        Err(error) => app::misused(&error),
    }
}
