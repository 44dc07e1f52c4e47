//! Ways on which the number beside a uuid changes and the content does not. Each ends as with the standard tool.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::rig::Receiver::{Ours, Standard};
use butterdock_tests::rig::{PATIENCE, Receiver, Rig, Volume, run};
use butterdock_tests::service::shipped;
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::trees;
use serde_json::Value;

/// Two or three filesystems. The rig goes last.
struct Stage {
    by: Receiver,
    volumes: Vec<Volume>,
    rig: Rig,
}

impl Stage {
    fn new(by: Receiver, names: &[&str]) -> Result<Self> {
        let rig = Rig::new()?;
        let volumes = names.iter().map(|name| rig.plain_volume(name)).collect::<Result<_>>()?;
        let stage = Self { by, volumes, rig };
        snapshot::create(&stage.at(0, "live"))?;
        trees::build(&stage.at(0, "live"))?;
        snapshot::freeze(&stage.at(0, "live"), &stage.at(0, "s0"))?;
        Ok(stage)
    }

    fn at(&self, volume: usize, name: &str) -> PathBuf {
        self.volumes[volume].join(name)
    }

    /// Sends a snapshot from one filesystem to another, and answers whether the parent's number differed.
    fn send(&self, parent: Option<&Path>, snapshot: &Path, into: &Path) -> Result<bool> {
        let stream = self.rig.join("stream");
        snapshot::send(Proto::One, parent, snapshot, &stream)?;
        fs::create_dir_all(into)?;
        let mut command = self.by.command()?;
        if self.by == Standard {
            run(command.arg("-f").arg(&stream).arg(into), PATIENCE)?.success()?;
            return Ok(false);
        }
        let mut strict = Ours.command()?;
        let finished = run(command.args(["--json", "-f"]).arg(&stream).arg(into), PATIENCE)?.success()?;
        ensure!(finished.err().is_empty(), "standard error is not empty: {}", finished.err());
        let out = finished.out();
        let result: Value = serde_json::from_str(out.lines().last().unwrap_or_default())?;
        let differs = result["subvolumes"][0]["parent_number_differs"] == Value::Bool(true);
        if differs {
            let beside = into.join("strict");
            fs::create_dir_all(&beside)?;
            let refused = run(strict.args(["--strict-parent", "-f"]).arg(&stream).arg(&beside), PATIENCE)?;
            ensure!(refused.code() == 1 && refused.err().contains("another number"), "{refused:?}");
        }
        Ok(differs)
    }

    /// The two hold the same.
    fn same(&self, one: &Path, other: &Path) -> Result<()> {
        let rules = Rules { holes: false, root_times: false, ..Rules::COPIES };
        same(&format!("{:?}", self.by), &Tree::read(one)?, &Tree::read(other)?, rules)
    }
}

fn both(way: impl Fn(Receiver) -> Result<()>) -> Result<()> {
    way(Ours)?;
    way(Standard)
}

#[test]
fn a_relay_goes_on_from_the_first() -> Result<()> {
    both(|by| {
        let stage = Stage::new(by, &["a", "b", "c"])?;
        stage.send(None, &stage.at(0, "s0"), &stage.at(1, "in"))?;
        stage.send(None, &stage.at(1, "in/s0"), &stage.at(2, "in"))?;
        trees::change(&stage.at(0, "live"))?;
        snapshot::freeze(&stage.at(0, "live"), &stage.at(0, "s1"))?;
        let differs = stage.send(Some(&stage.at(0, "s0")), &stage.at(0, "s1"), &stage.at(2, "in"))?;
        ensure!(differs == (by == Ours), "the number is the same");
        stage.same(&stage.at(0, "s1"), &stage.at(2, "in/s1"))
    })
}

#[test]
fn a_restore_is_backed_up_again_by_increments() -> Result<()> {
    both(|by| {
        let stage = Stage::new(by, &["a", "b", "new"])?;
        stage.send(None, &stage.at(0, "s0"), &stage.at(1, "in"))?;
        stage.send(None, &stage.at(1, "in/s0"), &stage.at(2, "in"))?;
        snapshot::branch(&stage.at(2, "in/s0"), &stage.at(2, "live"))?;
        trees::change(&stage.at(2, "live"))?;
        snapshot::freeze(&stage.at(2, "live"), &stage.at(2, "s1"))?;
        let differs = stage.send(Some(&stage.at(2, "in/s0")), &stage.at(2, "s1"), &stage.at(1, "in"))?;
        ensure!(differs == (by == Ours), "the number is the same");
        stage.same(&stage.at(2, "s1"), &stage.at(1, "in/s1"))
    })
}

/// The standard tool of btrfs-progs 6.2 fails here: it finds the parent, and not the clone source.
#[test]
fn a_change_is_synced_back_to_the_original() -> Result<()> {
    let stage = Stage::new(Ours, &["a", "b"])?;
    stage.send(None, &stage.at(0, "s0"), &stage.at(1, "in"))?;
    snapshot::branch(&stage.at(1, "in/s0"), &stage.at(1, "live"))?;
    trees::change(&stage.at(1, "live"))?;
    snapshot::freeze(&stage.at(1, "live"), &stage.at(1, "s1"))?;
    let differs = stage.send(Some(&stage.at(1, "in/s0")), &stage.at(1, "s1"), &stage.at(0, "in"))?;
    ensure!(differs, "the number is the same");
    stage.same(&stage.at(1, "s1"), &stage.at(0, "in/s1"))
}

#[test]
fn a_source_is_deduplicated_between_two_increments() -> Result<()> {
    both(|by| {
        let stage = Stage::new(by, &["a", "b"])?;
        for name in ["one", "two"] {
            fs::write(stage.at(0, "live").join(name), vec![b'd'; 8192])?;
        }
        snapshot::freeze(&stage.at(0, "live"), &stage.at(0, "d0"))?;
        stage.send(None, &stage.at(0, "d0"), &stage.at(1, "in"))?;
        let script = shipped("tests/clients").join("dedupe.py");
        let mut command = Command::new("/usr/bin/python3");
        run(command.arg(script).args([stage.at(0, "d0/one"), stage.at(0, "d0/two")]), PATIENCE)?.success()?;
        nix::unistd::sync();
        trees::change(&stage.at(0, "live"))?;
        snapshot::freeze(&stage.at(0, "live"), &stage.at(0, "d1"))?;
        let differs = stage.send(Some(&stage.at(0, "d0")), &stage.at(0, "d1"), &stage.at(1, "in"))?;
        ensure!(differs == (by == Ours), "the number is the same");
        stage.same(&stage.at(0, "d1"), &stage.at(1, "in/d1"))
    })
}

#[test]
fn a_parent_that_was_deduplicated_here_is_used() -> Result<()> {
    let stage = Stage::new(Ours, &["a", "b"])?;
    for name in ["one", "two"] {
        fs::write(stage.at(0, "live").join(name), vec![b'd'; 8192])?;
    }
    snapshot::freeze(&stage.at(0, "live"), &stage.at(0, "d0"))?;
    stage.send(None, &stage.at(0, "d0"), &stage.at(1, "in"))?;
    let script = shipped("tests/clients").join("dedupe.py");
    let mut command = Command::new("/usr/bin/python3");
    run(command.arg(script).args([stage.at(1, "in/d0/one"), stage.at(1, "in/d0/two")]), PATIENCE)?.success()?;
    nix::unistd::sync();
    trees::change(&stage.at(0, "live"))?;
    snapshot::freeze(&stage.at(0, "live"), &stage.at(0, "d1"))?;
    ensure!(!stage.send(Some(&stage.at(0, "d0")), &stage.at(0, "d1"), &stage.at(1, "in"))?, "the number differs");
    stage.same(&stage.at(0, "d1"), &stage.at(1, "in/d1"))
}
