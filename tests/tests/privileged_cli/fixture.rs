//! The common fixture of these tests.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::wire::{Attribute, Attributes, Stream, UUID, command};
use butterdock_tests::{Finished, Receiver, Sandbox, TIMEOUT, Volume, all_names, run};

/// A volume, and two small streams: a full one, `full`, and an incremental one on top of it, `child`.
pub(crate) struct Fixture {
    pub(crate) volume: Volume,
    pub(crate) full: PathBuf,
    pub(crate) child: PathBuf,
    pub(crate) sandbox: Sandbox,
}

impl Fixture {
    pub(crate) fn new() -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let volume = sandbox.plain_volume("volume")?;
        let full = sandbox.join("full.stream");
        fs::write(&full, full_stream("full", 1).bytes())?;
        let child = sandbox.join("child.stream");
        let stream = Stream::new(1).snapshot("child", UUID, 7).write("file", 5, "changed").end();
        fs::write(&child, stream.bytes())?;
        Ok(Self { volume, full, child, sandbox })
    }

    /// Runs `butterdockd receive` with these arguments.
    pub(crate) fn receive<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Finished> {
        run(self.command()?.args(arguments), TIMEOUT)
    }

    pub(crate) fn command(&self) -> Result<Command> {
        Receiver::Ours.command()
    }

    /// With `-f` the full stream into the volume, beside these options.
    pub(crate) fn receive_full(&self, options: &[&str]) -> Result<Finished> {
        run(self.command()?.args(options).arg("-f").arg(&self.full).arg(self.volume.path()), TIMEOUT)
    }

    /// That the content of the full stream is there.
    pub(crate) fn has(&self, name: &str) -> Result<()> {
        let text = fs::read_to_string(self.volume.join(name).join("file"))?;
        ensure!(text.starts_with("content of"), "{name}: {text}");
        Ok(())
    }

    /// That these names, and no others, are in the volume.
    pub(crate) fn holds(&self, names: &[&str]) -> Result<()> {
        let found = listed(self.volume.path())?;
        ensure!(found == names, "found {found:?}, not {names:?}");
        Ok(())
    }

    /// A file of these bytes.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.sandbox.join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }
}

/// A full stream of one subvolume; `number` makes its uuid.
pub(crate) fn full_stream(name: &str, number: u8) -> Stream {
    let uuid = if number == 1 { UUID } else { [number; 16] };
    let attributes = Attributes::path(name).bytes_of(Attribute::Uuid, uuid).u64(Attribute::Ctransid, 7);
    let text = format!("content of {name}, long enough to be changed\n");
    Stream::new(1)
        .command(command::SUBVOL, &attributes)
        .mkfile("file")
        .write("file", 0, text)
        .chmod("file", 0o644)
        .end()
}

/// The sorted names of a folder, but that of the staging directory.
pub(crate) fn listed(folder: &Path) -> Result<Vec<String>> {
    all_names(folder)
}

/// That a run succeeded and printed exactly this on stdout and stderr.
pub(crate) fn printed(finished: &Finished, stdout: &str, stderr: &str) -> Result<()> {
    ensure!(finished.code() == 0, "{} ended with {}: {}", finished.what, finished.code(), finished.err());
    ensure!(finished.out() == stdout, "{}: stdout {:?}, not {stdout:?}", finished.what, finished.out());
    ensure!(finished.err() == stderr, "{}: stderr {:?}, not {stderr:?}", finished.what, finished.err());
    Ok(())
}

/// That a run failed with one line of error that has this word (in small letters).
pub(crate) fn refused(finished: &Finished, word: &str) -> Result<()> {
    ensure!(finished.code() != 0, "{} succeeded", finished.what);
    let errors = finished.errors();
    ensure!(errors.len() == 1, "{}: not one error: {:?}", finished.what, finished.err());
    ensure!(
        finished.err().to_lowercase().contains(word),
        "{}: does not say {word:?}: {}",
        finished.what,
        finished.err()
    );
    Ok(())
}
