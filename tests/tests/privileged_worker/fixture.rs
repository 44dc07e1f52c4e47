//! A volume, and a worker that receives into it.

use std::fs::File;
use std::io::{PipeWriter, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::wire::Stream;
use butterdock_tests::{Ended, Sandbox, TIMEOUT, Volume, WorkerProcess, all_names, butterdockd, receive, run};

/// The start of a stream.
pub(crate) fn unfinished(name: &str) -> Stream {
    Stream::new(2).subvol(name).mkdir("d").mkfile("d/f").write("d/f", 0, [b'x'; 8192])
}

/// A worker that waits for more of its stream.
pub(crate) struct Stalled {
    pub(crate) worker: WorkerProcess,
    pub(crate) input: PipeWriter,
}

impl Stalled {
    /// In the middle of [`unfinished`]: its hidden subvolume is there.
    pub(crate) fn new(into: &Path) -> Result<Self> {
        let (reader, mut input) = std::io::pipe()?;
        let directory = File::open(into)?;
        let mut worker = WorkerProcess::new(&butterdockd()?, &receive(), &[reader.as_fd(), directory.as_fd()])?;
        input.write_all(unfinished("sub").bytes())?;
        worker.wait_for("began")?;
        ensure!(!hidden(into)?.is_empty(), "no hidden subvolume while it works");
        Ok(Self { worker, input })
    }
}

/// Receives a file through a worker.
pub(crate) fn through_worker(stream: &Path, into: &Path) -> Result<Ended> {
    let (input, directory) = (File::open(stream)?, File::open(into)?);
    WorkerProcess::new(&butterdockd()?, &receive(), &[input.as_fd(), directory.as_fd()])?.finish()
}

/// Tells a worker to sweep.
pub(crate) fn sweep(directory: &Path) -> Result<()> {
    let directory = File::open(directory)?;
    WorkerProcess::new(&butterdockd()?, &"sweep".into(), &[directory.as_fd()])?.finish()?.success()?;
    Ok(())
}

/// The hidden names in a folder.
pub(crate) fn hidden(folder: &Path) -> Result<Vec<String>> {
    Ok(butterdock_tests::names(folder)?.1)
}

/// All names in a folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>> {
    all_names(folder)
}

/// A volume of which only the subvolume `inner` is mounted.
pub(crate) fn inner_volume(sandbox: &Sandbox, fill: impl FnOnce(&Volume) -> Result<()>) -> Result<Volume> {
    let mut volume = sandbox.plain_volume("inner")?;
    fill(&volume)?;
    run(Command::new("btrfs").args(["subvolume", "create"]).arg(volume.join("inner")), TIMEOUT)?.success()?;
    volume.unmount()?;
    volume.mount("subvol=inner")?;
    Ok(volume)
}
