//! butterdockd: butterdock's service and, in the foreground, its receiver.

mod app;
mod args;
mod config;
mod dump;
mod input;
mod limits;
mod lines;
mod receive;
mod volumes;
#[expect(dead_code, unused_imports, reason = "the queue of jobs, which starts workers, is not there yet")]
mod worker;
mod zone;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match args::Args::try_parse() {
        Ok(args) => app::run(args),
        Err(error) => app::misused(&error),
    }
}
