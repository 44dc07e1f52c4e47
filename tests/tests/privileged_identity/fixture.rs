//! A volume with a destination that every user can list, and the subvolumes received into it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::wire::{Attribute, Attributes, Stream, UUID, command};
use butterdock_tests::{
    Finished, Receiver, Sandbox, TIMEOUT, Volume, WorkerProcess, built_program, receive, run, shipped,
};
use serde_json::Value;

/// A user without any right.
pub(crate) const NOBODY: u64 = 65534;
/// The identity of the parent, as [`Stream::subvol`] marks it.
pub(crate) const PARENT: ([u8; 16], u64) = (UUID, 7);

/// The destination is `dest`, and `hers` is a directory of the user's. The sandbox goes last.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) volume: Volume,
    pub(crate) sandbox: Sandbox,
}

impl Fixture {
    pub(crate) fn new() -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let volume = sandbox.plain_volume("volume")?;
        for name in ["dest", "hers"] {
            fs::create_dir(volume.join(name))?;
        }
        fs::set_permissions(volume.path(), Permissions::from_mode(0o755))?;
        std::os::unix::fs::chown(volume.join("hers"), Some(65534), Some(65534))?;
        Ok(Self { volume, sandbox })
    }

    pub(crate) fn dest(&self) -> PathBuf {
        self.volume.join("dest")
    }

    fn keep(&self, stream: &Stream) -> Result<PathBuf> {
        let file = self.sandbox.join("stream");
        fs::write(&file, stream.bytes())?;
        Ok(file)
    }

    /// Receives with the product or the standard tool.
    pub(crate) fn receive(&self, by: Receiver, stream: &Stream, options: &[&str], into: &str) -> Result<Finished> {
        let mut command = by.command()?;
        command.args(options).arg("-f").arg(self.keep(stream)?).arg(self.volume.join(into));
        run(&mut command, TIMEOUT)
    }

    /// Receives for a user, as the service does: what has no record is no parent.
    pub(crate) fn serve(&self, uid: u32, stream: &Stream, into: &str) -> Result<Value> {
        let mut order = receive();
        order["receive"]["asked_by"] = uid.into();
        order["receive"]["unrecorded_if_roots"] = false.into();
        let (stream, into) = (fs::File::open(self.keep(stream)?)?, fs::File::open(self.volume.join(into))?);
        use std::os::fd::AsFd as _;
        let ended =
            WorkerProcess::new(&built_program("butterdockd")?, &order, &[stream.as_fd(), into.as_fd()])?.finish()?;
        Ok(ended.error()?.cloned().unwrap_or(Value::Null))
    }

    /// The user writes `text` into `f` of his subvolume in `directory`, which is made where it is missing, and marks it.
    pub(crate) fn mark_as_nobody(
        &self,
        directory: &Path,
        name: &str,
        (uuid, stransid): ([u8; 16], u64),
        text: &str,
    ) -> Result<()> {
        let uuid: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        let script = fs::read_to_string(shipped("tests/clients").join("mark.py"))?;
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", "--"]);
        command.args(["/usr/bin/python3", "-c", &script, name, &uuid, &stransid.to_string(), "f", text]);
        run(command.current_dir(directory), TIMEOUT)?.success()?;
        Ok(())
    }
}

/// A full stream whose root belongs to `owner`, with `text` in `f`, marked as [`PARENT`].
pub(crate) fn parent(name: &str, owner: u64, text: &str) -> Stream {
    named(name, PARENT, owner, text).end()
}

/// The same under any identity, without an end.
pub(crate) fn named(name: &str, (uuid, transid): ([u8; 16], u64), owner: u64, text: &str) -> Stream {
    add(Stream::new(1), name, (uuid, transid), owner, text)
}

/// One more subvolume in a stream.
pub(crate) fn add(stream: Stream, name: &str, (uuid, transid): ([u8; 16], u64), owner: u64, text: &str) -> Stream {
    let subvol = Attributes::path(name).bytes_of(Attribute::Uuid, uuid).u64(Attribute::Ctransid, transid);
    let owned = |path: &str| Attributes::path(path).u64(Attribute::Uid, owner).u64(Attribute::Gid, owner);
    let mode = |path: &str| Attributes::path(path).u64(Attribute::Mode, 0o755);
    stream
        .command(command::SUBVOL, &subvol)
        .mkfile("f")
        .write("f", 0, text)
        .command(command::CHOWN, &owned("f"))
        .command(command::CHMOD, &mode("f"))
        .command(command::CHOWN, &owned(""))
        .command(command::CHMOD, &mode(""))
}

/// An increment to `of` that adds a file.
pub(crate) fn increment(name: &str, of: ([u8; 16], u64)) -> Stream {
    Stream::new(1).snapshot(name, of.0, of.1).mkfile("more").end()
}

/// What `f` of a received subvolume holds.
pub(crate) fn content(of: &Path) -> Result<String> {
    Ok(fs::read_to_string(of.join("f"))?)
}

/// It failed because nothing may be built on, and the reason has these words.
pub(crate) fn refused(finished: &Finished, words: &str) -> Result<()> {
    let text = finished.err();
    ensure!(finished.code() == 1 && text.contains("is missing here") && text.contains(words), "{finished:?}");
    Ok(())
}
