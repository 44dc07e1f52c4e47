//! `kill_at_phase PHASE rename|snapshot STREAM DIRECTORY`: receives a stream, publishes it in that way, and dies by SIGKILL
//! right before the step that PHASE names.
//!
//! A power cut cannot be timed from outside; from here it can.

use std::fs::File;
use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, bail};
use butterdock_receive::{Control, Observer, Options, Phase, Publication, Published, receive};
use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;

/// Dies when its phase comes.
struct Doomed {
    at: String,
}

impl Doomed {
    fn dies_at(&self, name: &str) {
        if self.at == name {
            // No process is left to report to.
            kill(getpid(), Signal::SIGKILL).ok();
        }
    }
}

impl Observer for Doomed {
    fn phase(&self, phase: Phase) {
        self.dies_at(&format!("{phase:?}"));
    }

    fn published(&self, _subvolume: &Published) {
        self.dies_at("Published");
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let at = arguments.next().context("at which phase?")?.into_string().ok().context("a phase in UTF-8")?;
    let publication = match arguments.next().context("in which way?")?.to_str() {
        Some("rename") => Publication::Rename,
        Some("snapshot") => Publication::Snapshot,
        other => bail!("{other:?} is not a way to publish"),
    };
    let stream = File::open(arguments.next().context("which stream?")?)?;
    let directory = File::open(arguments.next().context("into which directory?")?)?;
    let control = Control::new()?;
    let options = Options { publication, ..Options::default() };
    match receive(stream.as_fd(), directory.as_fd(), &options, &control, &Doomed { at }) {
        Ok(_) => bail!("the phase never came"),
        Err(failure) => bail!("{}", failure.error),
    }
}
