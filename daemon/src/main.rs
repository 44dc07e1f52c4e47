//! butterdockd: butterdock's service and, in the foreground, its receiver.

mod app;
mod args;
mod bus;
mod output;
mod receive;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match args::Args::try_parse() {
        Ok(args) => app::run(args),
        Err(error) => app::misused(&error),
    }
}
