//! butterdockd: butterdock's service and, in the foreground, its receiver.

mod app;
mod args;
mod bus;
mod dump;
mod input;
mod lines;
mod receive;
mod serve;
mod status;
mod zone;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match args::Args::try_parse() {
        Ok(args) => app::run(args),
        Err(error) => app::misused(&error),
    }
}
