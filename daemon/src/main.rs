//! butterdockd: butterdock's service and, in the foreground, its receiver.

mod anchor;
mod app;
mod args;
mod backups;
mod bus;
mod catalogue;
mod clock;
mod config;
mod configured;
mod drives;
mod dump;
mod durable;
mod foreign;
mod hooks;
mod input;
mod jobs;
mod lines;
mod policy;
mod receive;
mod serve;
mod status;
mod volumes;
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
