//! The same stream through `btrfs receive` and through `butterdockd receive`: the trees must be the same, and the source's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same, stored_differences, stored_extents};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::{Layout, Receiver, Sandbox, Volume, trees};

/// A source with three snapshots `s0`, `s1`, `s2`, each changed from the one before.
struct Source {
    volume: Volume,
    streams: PathBuf,
}

impl Source {
    fn new(sandbox: &Sandbox, options: &str) -> Result<Self> {
        let source =
            Self { volume: sandbox.volume("source", &Layout::mounted(options))?, streams: sandbox.join("streams") };
        fs::create_dir(&source.streams)?;
        let live = source.volume.join("live");
        snapshot::create(&live)?;
        trees::build(&live)?;
        snapshot::freeze(&live, &source.at("s0"))?;
        trees::change(&live)?;
        snapshot::freeze(&live, &source.at("s1"))?;
        trees::change_again(&live)?;
        snapshot::freeze(&live, &source.at("s2"))?;
        Ok(source)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.volume.join(name)
    }

    fn stream(&self, proto: Proto, parent: Option<&str>, name: &str) -> Result<PathBuf> {
        let file = self.streams.join(format!("{}-{name}", parent.unwrap_or("full")));
        snapshot::send(proto, parent.map(|parent| self.at(parent)).as_deref(), &self.at(name), &file)?;
        Ok(file)
    }
}

/// The two copies that the two receivers made of one snapshot.
struct Copies<'a> {
    source: &'a Path,
    ours: PathBuf,
    standard: PathBuf,
}

impl Copies<'_> {
    fn are_the_same(&self, what: &str) -> Result<()> {
        let (source, ours) = (Tree::read(self.source)?, Tree::read(&self.ours)?);
        let standard = Tree::read(&self.standard)?;
        let rules = if what == "full" { Rules::SOURCE } else { Rules::SOURCE_OF_INCREMENT };
        same(&format!("{what}: source and ours"), &source, &ours, rules)?;
        same(&format!("{what}: standard and ours"), &standard, &ours, Rules::COPIES)?;
        self.identities(what)
    }

    fn identities(&self, what: &str) -> Result<()> {
        let (source, ours) = (snapshot::show(self.source)?, snapshot::show(&self.ours)?);
        let standard = snapshot::show(&self.standard)?;
        ensure!(ours.received_uuid == source.uuid, "{what}: received_uuid {} of {}", ours.received_uuid, source.uuid);
        ensure!(ours.received_uuid == standard.received_uuid, "{what}: received_uuid differs from the standard's");
        ensure!(
            ours.send_transid == standard.send_transid,
            "{what}: stransid {} ≠ {}",
            ours.send_transid,
            standard.send_transid
        );
        ensure!(ours.read_only && standard.read_only, "{what}: not read-only");
        Ok(())
    }

    /// Every compressed extent of ours has the bytes that it has at the source.
    fn were_not_recompressed(&self, what: &str) -> Result<usize> {
        let mut count = 0;
        for file in Tree::read(self.source)?.files() {
            let name = file.strip_prefix(self.source)?;
            let (theirs, ours) = (stored_extents(&file)?, stored_extents(&self.ours.join(name))?);
            let found = stored_differences(&theirs, &ours);
            ensure!(found.is_empty(), "{what}: {} was stored otherwise:\n  {}", name.display(), found.join("\n  "));
            count += theirs.iter().filter(|extent| extent.is_sent_as_stored()).count();
        }
        Ok(count)
    }
}

/// Full, incremental, incremental of that, and backwards; then what was received is sent on.
fn matrix(mount_options: &str, proto: Proto) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::new(&sandbox, mount_options)?;
    let mut ours = sandbox.plain_volume("ours")?;
    let standard = sandbox.plain_volume("standard")?;
    let steps = [
        (None, "s0", "", "full"),
        (Some("s0"), "s1", "", "incremental"),
        (Some("s1"), "s2", "", "incremental of an incremental"),
        (Some("s2"), "s0", "back", "backwards"),
    ];
    for volume in [&ours, &standard] {
        fs::create_dir(volume.join("back"))?;
    }
    for (parent, name, folder, _) in steps {
        let stream = source.stream(proto, parent, name)?;
        Receiver::Standard.receive(&stream, &standard.join(folder))?;
        Receiver::Ours.receive(&stream, &ours.join(folder))?;
    }
    ours.remount()?;
    for (_, name, folder, what) in steps {
        let copies = Copies {
            source: &source.at(name),
            ours: ours.join(folder).join(name),
            standard: standard.join(folder).join(name),
        };
        copies.are_the_same(what)?;
        // Backwards, an extent of which the newer file uses a part is cloned or sent anew in parts.
        if proto == Proto::TwoCompressed && what != "backwards" {
            let extents = copies.were_not_recompressed(what)?;
            ensure!(extents > 50, "{what}: only {extents} compressed extents: the comparison shows nothing");
        }
    }
    sent_on(&sandbox, &source, proto, &ours)
}

/// What we received gives the stream again that it was made from, and what that brings is the source.
fn sent_on(sandbox: &Sandbox, source: &Source, proto: Proto, ours: &Volume) -> Result<()> {
    let third = sandbox.plain_volume("third")?;
    for (parent, name) in [(None, "s0"), (Some("s0"), "s1")] {
        let first = source.stream(proto, parent, name)?;
        let second = sandbox.join("again");
        snapshot::send(proto, parent.map(|parent| ours.join(parent)).as_deref(), &ours.join(name), &second)?;
        Receiver::Standard.receive(&second, third.path())?;
        let copy = Tree::read(&third.join(name))?;
        same("sent on", &Tree::read(&source.at(name))?, &copy, Rules { holes: false, ..Rules::COPIES })?;

        if parent.is_some() {
            // The order of an increment follows the inode numbers, which are the receiver's own.
            continue;
        }
        let (first, second) = (snapshot::content_of(&first)?, snapshot::content_of(&second)?);
        let differing = first.commands.iter().zip(&second.commands).find(|(one, other)| one != other);
        ensure!(first.commands == second.commands, "{name}: sent on as {differing:?}");
        let differing = first.data.iter().find(|(path, ranges)| second.data.get(*path) != Some(ranges));
        ensure!(first.data == second.data, "{name}: other data than {differing:?}");
    }
    Ok(())
}

#[test]
fn version_1_arrives_as_through_the_standard_receiver() -> Result<()> {
    matrix("", Proto::One)
}

#[test]
fn version_2_arrives_as_through_the_standard_receiver() -> Result<()> {
    matrix("", Proto::Two)
}

#[test]
fn zlib_extents_arrive_as_stored_at_the_source() -> Result<()> {
    matrix("compress=zlib", Proto::TwoCompressed)
}

#[test]
fn zstd_extents_arrive_as_stored_at_the_source() -> Result<()> {
    matrix("compress=zstd", Proto::TwoCompressed)
}

#[test]
fn lzo_extents_arrive_as_stored_at_the_source() -> Result<()> {
    matrix("compress=lzo", Proto::TwoCompressed)
}
