//! butterdock: asks the service over D-Bus and shows the answer.
//!
//! What was asked for (`args`) goes to one file for each verb (`verbs`); that asks the service (`ask`) and hands the
//! answer to `render`. It knows nothing of the service but its contract, `butterdock-dbus`.

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
