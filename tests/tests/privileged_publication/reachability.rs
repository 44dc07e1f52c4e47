//! Which users can reach a destination: real directories, ACLs, mounts.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_receive::{Publication, can_others_reach};
use butterdock_tests::{Sandbox, TIMEOUT, Volume, run, snapshot};

use crate::USER;

/// A volume below a folder that root alone or every user can enter, and a folder beside it that every user can enter.
struct Directory {
    // Unmounted first.
    volume: Volume,
    open: Sandbox,
    closed: Sandbox,
}

impl Directory {
    fn new() -> Result<Self> {
        let (closed, open) = (Sandbox::new()?, Sandbox::new()?);
        set_mode(closed.path(), 0o700)?;
        set_mode(open.path(), 0o711)?;
        let volume = closed.plain_volume("ours")?;
        fs::create_dir_all(volume.join("a/b"))?;
        Ok(Self { volume, open, closed })
    }

    /// Everybody can enter what is above the mount.
    fn opened() -> Result<Self> {
        let place = Self::new()?;
        set_mode(place.closed.path(), 0o711)?;
        Ok(place)
    }

    fn destination(&self) -> PathBuf {
        self.volume.join("a/b")
    }

    fn can_be_reached(&self) -> Result<bool> {
        reached(&self.destination())
    }
}

fn reached(destination: &Path) -> Result<bool> {
    let opened = File::open(destination)?;
    let reached = can_others_reach(opened.as_fd());
    let publication = if reached { Publication::Snapshot } else { Publication::Rename };
    ensure!(Publication::of(opened.as_fd()) == publication, "{publication:?}");
    Ok(reached)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

fn setfacl(path: &Path, entries: &str) -> Result<()> {
    run(Command::new("setfacl").args(["-m", entries]).arg(path), TIMEOUT)?.success()?;
    Ok(())
}

/// Another mount, taken away when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(arguments: &[&str], what: &Path, at: PathBuf) -> Result<Self> {
        fs::create_dir_all(&at)?;
        run(Command::new("mount").args(arguments).arg(what).arg(&at), TIMEOUT)?.success()?;
        Ok(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(run(Command::new("umount").arg(&self.0), TIMEOUT));
    }
}

/// The device of a mount.
fn device(volume: &Volume) -> Result<PathBuf> {
    let found =
        run(Command::new("findmnt").args(["-n", "-o", "SOURCE", "--nofsroot", "-M"]).arg(volume.path()), TIMEOUT)?;
    Ok(PathBuf::from(found.success()?.out().trim()))
}

/// A process in a mount namespace of its own, in which these lines of a shell were run.
struct Elsewhere(Child);

impl Elsewhere {
    fn new(lines: &str) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-e", "-c", &format!("{lines}\necho ready\nread end")]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
        ensure!(line == "ready\n", "it has ended: {:?}", child.wait()?);
        Ok(Self(child))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_directory_that_everybody_can_enter_is_reached() -> Result<()> {
    ensure!(Directory::opened()?.can_be_reached()?);
    Ok(())
}

#[test]
fn the_owner_the_mode_and_the_acl_of_the_destination_count() -> Result<()> {
    let place = Directory::opened()?;
    let destination = place.destination();
    for (mode, reaches) in
        [(0o700, false), (0o711, true), (0o710, true), (0o600, false), (0o750, true), (0o1700, false)]
    {
        set_mode(&destination, mode)?;
        ensure!(place.can_be_reached()? == reaches, "{mode:o}");
    }
    set_mode(&destination, 0o700)?;
    chown(&destination, Some(USER), None)?;
    ensure!(place.can_be_reached()?, "it is his");
    chown(&destination, Some(0), None)?;
    ensure!(!place.can_be_reached()?, "it is root's again");
    setfacl(&destination, &format!("u:{USER}:x"))?;
    ensure!(place.can_be_reached()?, "he has an entry in its ACL");
    setfacl(&destination, "m::---")?;
    ensure!(!place.can_be_reached()?, "the mask takes what the entry gives");
    Ok(())
}

#[test]
fn a_closed_parent_directory_closes_the_destination() -> Result<()> {
    let place = Directory::opened()?;
    set_mode(&place.volume.join("a"), 0o700)?;
    ensure!(!place.can_be_reached()?, "in the filesystem");
    setfacl(&place.volume.join("a"), &format!("u:{USER}:x"))?;
    ensure!(place.can_be_reached()?, "he has an entry in its ACL");
    let place = Directory::new()?;
    ensure!(!place.can_be_reached()?, "above the mount");
    ensure!(!reached(place.volume.path())?, "above the mount, the root of the filesystem");
    Ok(())
}

#[test]
fn a_second_mount_at_an_open_place_opens_the_destination() -> Result<()> {
    let place = Directory::new()?;
    let (top, device) = (place.volume.path(), device(&place.volume)?);
    snapshot::create(&top.join("a/other"))?;
    let at = || place.open.join("mnt");
    {
        let _whole = Mounted::new(&[], &device, at())?;
        ensure!(place.can_be_reached()?, "the whole filesystem");
        set_mode(&top.join("a"), 0o700)?;
        ensure!(!place.can_be_reached()?, "a closed directory is on both ways");
        set_mode(&top.join("a"), 0o755)?;
    }
    ensure!(!place.can_be_reached()?, "it is gone again");
    {
        let _beside = Mounted::new(&["-o", "subvol=a/other"], &device, at())?;
        ensure!(!place.can_be_reached()?, "a subvolume that does not hold it");
    }
    set_mode(&top.join("a"), 0o700)?;
    {
        let _below = Mounted::new(&["--bind"], &place.destination(), at())?;
        ensure!(place.can_be_reached()?, "a bind mount below the closed directory");
    }
    set_mode(&top.join("a"), 0o755)?;
    let _covered = Mounted::new(&[], &device, at())?;
    let _cover = Mounted::new(&["-t", "tmpfs"], Path::new("tmpfs"), at())?;
    ensure!(place.can_be_reached()?, "one that is covered may come to light again");
    Ok(())
}

#[test]
fn a_mount_in_another_namespace_opens_the_destination() -> Result<()> {
    let place = Directory::new()?;
    let (at, destination) = (place.open.join("mnt"), place.destination());
    fs::create_dir(&at)?;
    {
        let _copy = Elsewhere::new("true")?;
        ensure!(!place.can_be_reached()?, "a copy of this namespace");
    }
    let (at, destination) = (at.display(), destination.display());
    let _bound = Elsewhere::new(&format!("mount --bind {destination} {at}"))?;
    ensure!(place.can_be_reached()?, "bound elsewhere");
    Ok(())
}
