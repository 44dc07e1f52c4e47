//! `through_worker receive -f STREAM DIRECTORY`: receives as `butterdockd receive` does, through a worker of the
//! `butterdockd` that lies beside it.
//!
//! With `BUTTERDOCKD` naming this program, every test of the receiver is one of the worker. `HOLD` as first argument makes
//! it wait with the worker at work, for a test that kills it: it prints the worker's process id.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use butterdock_tests::{WorkerProcess, receive};
use serde_json::Value;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "as butterdockd receive does")]
            {
                eprintln!("ERROR: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut words = std::env::args_os().skip(1).peekable();
    let hold = words.next_if(|word| word == "HOLD").is_some();
    ensure!(words.next().is_some_and(|word| word == "receive"), "only `receive` is known");
    let (mut stream, mut directory, mut job) = (None, None, receive());
    while let Some(word) = words.next() {
        let text = word.to_str().unwrap_or_default();
        match text {
            "-f" => stream = words.next(),
            // It is always confined.
            "-C" => {}
            "--verify" | "--force-decompress" | "--no-verity" | "--strict-parent" => {
                job["receive"][text.trim_start_matches('-').replace('-', "_")] = true.into();
            }
            _ if text.starts_with('-') => bail!("the option {text} is not known"),
            _ => directory = Some(word),
        }
    }
    let beside = std::env::current_exe()?.with_file_name("butterdockd");
    let stream = match stream {
        Some(name) => File::open(name)?,
        None => File::from(std::io::stdin().as_fd().try_clone_to_owned()?),
    };
    let directory = File::open(directory.context("into which directory?")?)?;
    let mut worker = WorkerProcess::new(&beside, &job, &[stream.as_fd(), directory.as_fd()])?;
    drop((stream, directory));
    if hold {
        worker.wait_for("began")?;
        #[expect(clippy::print_stdout, reason = "the test reads it")]
        {
            println!("{}", worker.id());
        }
    }
    let ended = worker.finish()?;
    if let Some(error) = ended.error()? {
        bail!("{}", error.get("message").and_then(Value::as_str).unwrap_or_default());
    }
    ended.success()?;
    Ok(())
}
