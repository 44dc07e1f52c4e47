//! Where the hostile streams are tried, and everything around the destination that must not change.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use butterdock_btrfs::subvolume;
use butterdock_tests::compare::{Rules, Tree, differences};
use butterdock_tests::wire::Stream;
use butterdock_tests::{LoopDevice, Receiver, Sandbox, Volume, all_names, snapshot};

/// The uuid and transaction of a good parent.
pub(crate) const PARENT: ([u8; 16], u64) = (*b"the-good-parent.", 21);
/// Of one that was made writable and changed, and is writable still.
pub(crate) const CHANGED: ([u8; 16], u64) = (*b"the-changed-one.", 22);
/// Of one that was changed and made read-only again.
pub(crate) const REFROZEN: ([u8; 16], u64) = (*b"the-refrozen-one", 23);

/// Our volume, with witnesses inside and outside it. Declared so that the sandbox goes last.
#[derive(Debug)]
pub(crate) struct Fixture {
    volume: Volume,
    disk: LoopDevice,
    witnesses: Vec<Tree>,
    names: BTreeSet<OsString>,
    own: ([u8; 16], u64),
    writable: ([u8; 16], u64),
    sandbox: Sandbox,
}

impl Fixture {
    pub(crate) fn new() -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let volume = sandbox.plain_volume("volume")?;
        let disk = sandbox.loop_device("disk", 1 << 20, 0xa5)?;
        fs::create_dir(volume.join("dest"))?;
        let beside = volume.join("beside");
        fs::create_dir_all(beside.join("folder"))?;
        fs::write(beside.join("secret"), vec![b's'; 65_536])?;
        let outside = sandbox.join("outside");
        fs::create_dir_all(outside.join("folder"))?;
        fs::write(outside.join("victim"), "not to be touched")?;
        snapshot::create(&beside.join("live"))?;
        fs::write(beside.join("live/src"), vec![b'l'; 65_536])?;
        snapshot::freeze(&beside.join("live"), &beside.join("frozen"))?;
        for (name, parent) in [("good", PARENT), ("changed", CHANGED), ("refrozen", REFROZEN)] {
            receive_parent(&sandbox, &beside, name, parent)?;
        }
        // Times of change advance with the kernel's tick.
        std::thread::sleep(std::time::Duration::from_millis(50));
        for name in ["changed", "refrozen"] {
            subvolume::set_read_only(File::open(beside.join(name))?, false)?;
            fs::write(beside.join(name).join("src"), "something else")?;
        }
        subvolume::set_read_only(File::open(beside.join("refrozen"))?, true)?;
        nix::unistd::sync();
        let identity = |name: &str| -> Result<([u8; 16], u64)> {
            let info = subvolume::info(File::open(beside.join(name))?)?;
            Ok((info.uuid, info.ctransid))
        };
        let (own, writable) = (identity("frozen")?, identity("live")?);
        let witnesses = vec![Tree::read(&beside)?, Tree::read(&outside)?];
        let names = listed(volume.path())?;
        Ok(Self { volume, disk, witnesses, names, own, writable, sandbox })
    }

    /// Where streams are received into.
    pub(crate) fn destination(&self) -> PathBuf {
        self.volume.join("dest")
    }

    /// A folder outside the volume.
    pub(crate) fn outside(&self) -> PathBuf {
        self.sandbox.join("outside")
    }

    /// The number of a block device whose content is watched.
    pub(crate) fn disk(&self) -> Result<u64> {
        device_number(self.disk.path())
    }

    /// Uuid and transaction of a read-only snapshot that was not received.
    pub(crate) const fn own(&self) -> ([u8; 16], u64) {
        self.own
    }

    /// Those of a subvolume that is being written.
    pub(crate) const fn writable(&self) -> ([u8; 16], u64) {
        self.writable
    }

    pub(crate) fn keep(&self, stream: &[u8]) -> Result<PathBuf> {
        let path = self.sandbox.join("stream");
        fs::write(&path, stream)?;
        Ok(path)
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.sandbox.join("report")
    }

    /// Tells what changed or stayed behind, and takes it away, so that the next row finds the stage as it was.
    pub(crate) fn set_right(&self) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for name in listed(&self.destination())? {
            faults.push(format!("left {} behind", name.display()));
            remove(&self.destination().join(name))?;
        }
        for name in listed(self.volume.path())?.difference(&self.names) {
            faults.push(format!("made {} beside the destination", name.display()));
            remove(&self.volume.join(name))?;
        }
        for witness in &self.witnesses {
            let now = Tree::read(&witness.root)?;
            faults.extend(differences(witness, &now, Rules::SAME).into_iter().map(|line| format!("outside: {line}")));
        }
        if !self.disk.is_untouched()? {
            bail!("the raw disk was written to");
        }
        Ok(faults)
    }
}

/// A throw-away volume for the standard receiver.
#[derive(Debug)]
pub(crate) struct Theirs {
    volume: Volume,
    sandbox: Sandbox,
}

impl Theirs {
    pub(crate) fn new() -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let volume = sandbox.plain_volume("theirs")?;
        fs::create_dir(volume.join("dest"))?;
        for (name, parent) in [("changed", CHANGED), ("good", PARENT)] {
            receive_parent(&sandbox, volume.path(), name, parent)?;
        }
        subvolume::set_read_only(File::open(volume.join("changed"))?, false)?;
        fs::write(volume.join("changed/src"), "something else")?;
        Ok(Self { volume, sandbox })
    }

    pub(crate) fn destination(&self) -> PathBuf {
        self.volume.join("dest")
    }

    pub(crate) fn keep(&self, stream: &[u8]) -> Result<PathBuf> {
        let path = self.sandbox.join("stream");
        fs::write(&path, stream)?;
        Ok(path)
    }

    /// Whether something stands beside the destination, or in it beside the subvolume.
    pub(crate) fn was_written_outside(&self) -> Result<bool> {
        let allowed = |name: &OsString| ["dest", "changed", "good"].iter().any(|known| name == known);
        let inside = listed(&self.destination())?.iter().any(|name| name != "sub");
        Ok(inside || !listed(self.volume.path())?.iter().all(allowed))
    }

    /// Whether a subvolume stays that can be written.
    pub(crate) fn has_a_part(&self) -> Result<bool> {
        Ok(!snapshot::show(&self.destination().join("sub"))?.read_only)
    }
}

fn receive_parent(sandbox: &Sandbox, into: &Path, name: &str, (uuid, transid): ([u8; 16], u64)) -> Result<()> {
    use butterdock_tests::wire::{Attribute, Attributes, command};
    let subvol = Attributes::path(name).bytes_of(Attribute::Uuid, uuid).u64(Attribute::Ctransid, transid);
    let mut stream = Stream::new(1).command(command::SUBVOL, &subvol).mkdir("folder").mkfile("src");
    for block in 0..4 {
        stream = stream.write("src", block * 16_384, vec![b'p'; 16_384]);
    }
    let stream = stream.symlink("link", "src").end();
    let file = sandbox.join("parent");
    fs::write(&file, stream.bytes())?;
    Receiver::Standard.receive(&file, into)
}

fn listed(folder: &Path) -> Result<BTreeSet<OsString>> {
    Ok(all_names(folder)?.into_iter().map(OsString::from).collect())
}

fn remove(path: &Path) -> Result<()> {
    let status = fs::symlink_metadata(path)?;
    if status.is_dir() && status.ino() == 256 {
        return snapshot::delete(path);
    }
    if status.is_dir() {
        fs::remove_dir_all(path)?
    } else {
        fs::remove_file(path)?
    }
    Ok(())
}

fn device_number(device: &Path) -> Result<u64> {
    let status = fs::metadata(device)?;
    if !status.file_type().is_block_device() {
        bail!("{} is no block device", device.display());
    }
    Ok(status.rdev())
}
