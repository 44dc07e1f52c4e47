//! One run of `butterdockd receive`, from its arguments to its exit status.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use butterdock_receive::{Checkpoints, Control, ErrorKind, Options, Publication, discard_checkpoints};

use super::console::Console;
use super::ends::{Input, open_destination};
use super::json::Json;
use super::signals::Signals;
use super::{End, Show, Watch};
use crate::args::Receive;
use crate::output::{self, NOT_ALLOWED};

/// The interval of progress output.
const TICK: Duration = Duration::from_millis(250);

/// Receives, with output of the progress and the end.
pub(crate) fn run(wanted: Receive) -> ExitCode {
    if wanted.discard {
        return match discard(&wanted) {
            Ok(()) => ExitCode::SUCCESS,
            Err(refusal) => {
                output::error(&refusal.message);
                ExitCode::from(refusal.exit)
            }
        };
    }
    let input = Input::open(wanted.file.as_deref());
    let total = input.as_ref().ok().and_then(|input| input.total);
    let show: Box<dyn Show> =
        if wanted.json { Box::new(Json::new(total)) } else { Box::new(Console::new(&wanted, total)) };
    let end = match prepare(&wanted, input) {
        Ok(ends) => {
            let checkpoints = checkpoints(&wanted, show.as_ref());
            let options = Options { checkpoints, ..options(wanted, &ends) };
            receive(&ends, &options, show.as_ref()).unwrap_or_else(|error| End::refused(1, format!("{error:#}")))
        }
        Err(refusal) => End::refused(refusal.exit, refusal.message),
    };
    show.ended(&end);
    ExitCode::from(end.exit)
}

/// Both ends, open.
struct Ends {
    input: File,
    destination: File,
}

/// Why a run does not begin.
struct Refusal {
    exit: u8,
    message: String,
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: 1, message: format!("{error:#}") }
    }
}

/// Deletes the checkpoints in the destination.
fn discard(wanted: &Receive) -> Result<(), Refusal> {
    must_be_root()?;
    let path = wanted.destination.as_deref().context("no destination directory given")?;
    let count = discard_checkpoints(open_destination(path)?.as_fd()).map_err(|error| anyhow!("{error}"))?;
    if wanted.json {
        output::print(&format!("{{\"type\":\"discarded\",\"checkpoints\":{count}}}\n"));
    } else if !wanted.quiet {
        let transfers = if count == 1 { "transfer was" } else { "transfers were" };
        output::print(&format!("{count} interrupted {transfers} discarded\n"));
    }
    Ok(())
}

fn must_be_root() -> Result<(), Refusal> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let text = "receiving creates subvolumes and files with other owners, which only root can do: run it with sudo";
    Err(Refusal { exit: NOT_ALLOWED, message: text.to_owned() })
}

/// Opens both ends.
fn prepare(wanted: &Receive, input: Result<Input>) -> Result<Ends, Refusal> {
    must_be_root()?;
    let path = wanted.destination.as_deref().context("no destination directory given")?;
    Ok(Ends { input: input?.file, destination: open_destination(path)? })
}

/// Without the key of this machine an interrupted transfer starts over.
fn checkpoints(wanted: &Receive, show: &dyn Show) -> Option<Checkpoints> {
    if wanted.checkpoint_bytes == 0 {
        return None;
    }
    match butterdock_service::checkpoint_key() {
        Ok(key) => Some(Checkpoints {
            key,
            every: Duration::from_secs(wanted.checkpoint_every.into()),
            bytes: wanted.checkpoint_bytes,
            resume: !wanted.no_resume,
        }),
        Err(error) => {
            show.warning(&format!(
                "this transfer cannot be resumed after an interruption: no key for checkpoints ({error})"
            ));
            None
        }
    }
}

fn options(wanted: Receive, ends: &Ends) -> Options {
    Options {
        publication: Publication::of(ends.destination.as_fd()),
        verify: wanted.verify,
        force_decompress: wanted.force_decompress,
        writer_threads: wanted.writer_threads.and_then(|writer_threads| NonZeroUsize::new(writer_threads.into())),
        name: wanted.name.map(OsStringExt::into_vec),
        no_verity: wanted.no_verity,
        max_errors: wanted.max_errors,
        one_stream: wanted.terminate_on_end,
        mount_root: wanted.root_mount,
        strict_parent: wanted.strict_parent,
        ..Options::default()
    }
}

/// Runs the engine, and beside it the threads for output and signals.
fn receive(ends: &Ends, options: &Options, show: &dyn Show) -> Result<End> {
    butterdock_worker::raise_open_files();
    let control = Control::new().context("cannot make an eventfd")?;
    // Before any thread starts: threads inherit the mask, and the kernel delivers a signal to any thread that does not block it.
    let signals = Signals::wait(control.clone()).context("cannot wait for signals")?;
    let watch = Watch::new(show);
    let start = Instant::now();
    Ok(std::thread::scope(|scope| {
        let (running, over) = mpsc::channel::<()>();
        let (control, watch) = (&control, &watch);
        scope.spawn(move || {
            while over.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                show.tick(control.progress().bytes, watch.phase());
            }
        });
        let result = butterdock_receive::receive(ends.input.as_fd(), ends.destination.as_fd(), options, control, watch);
        drop(running);
        match result {
            Ok(outcome) => End::succeeded(outcome, start.elapsed()),
            Err(failure) => {
                let exit = exit_status(failure.error.kind(), &signals);
                let resumes_at = watch.resumes_at(&failure.error);
                End::failed(exit, failure, start.elapsed(), resumes_at)
            }
        }
    }))
}

/// 128 plus the number of the signal, as shells have it; 1 for all other failures.
fn exit_status(kind: ErrorKind, signals: &Signals) -> u8 {
    match signals.caught() {
        Some(signal) if kind == ErrorKind::Cancelled => signal.saturating_add(128),
        Some(_) | None => 1,
    }
}
