//! Ways on which the number beside a uuid changes and the content does not. Each ends as with the standard tool.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::Receiver::{Ours, Standard};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::{Receiver, Sandbox, TIMEOUT, Volume, run, shipped, trees};
use serde_json::Value;

/// Two or three filesystems. The sandbox goes last.
struct Fixture {
    by: Receiver,
    volumes: Vec<Volume>,
    sandbox: Sandbox,
}

impl Fixture {
    fn new(by: Receiver, names: &[&str]) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let volumes = names.iter().map(|name| sandbox.plain_volume(name)).collect::<Result<_>>()?;
        let fixture = Self { by, volumes, sandbox };
        snapshot::create(&fixture.at(0, "live"))?;
        trees::build(&fixture.at(0, "live"))?;
        snapshot::freeze(&fixture.at(0, "live"), &fixture.at(0, "s0"))?;
        Ok(fixture)
    }

    fn at(&self, volume: usize, name: &str) -> PathBuf {
        self.volumes[volume].join(name)
    }

    /// Sends a snapshot from one filesystem to another, and answers whether the parent's number differed.
    fn send(&self, parent: Option<&Path>, snapshot: &Path, into: &Path) -> Result<bool> {
        let stream = self.sandbox.join("stream");
        snapshot::send(Proto::One, parent, snapshot, &stream)?;
        fs::create_dir_all(into)?;
        let mut command = self.by.command()?;
        if self.by == Standard {
            run(command.arg("-f").arg(&stream).arg(into), TIMEOUT)?.success()?;
            return Ok(false);
        }
        let mut strict = Ours.command()?;
        let finished = run(command.args(["--json", "-f"]).arg(&stream).arg(into), TIMEOUT)?.success()?;
        ensure!(finished.err().is_empty(), "standard error is not empty: {}", finished.err());
        let out = finished.out();
        let result: Value = serde_json::from_str(out.lines().last().unwrap_or_default())?;
        let differs = result["subvolumes"][0]["parent_number_differs"] == Value::Bool(true);
        if differs {
            let beside = into.join("strict");
            fs::create_dir_all(&beside)?;
            let refused = run(strict.args(["--strict-parent", "-f"]).arg(&stream).arg(&beside), TIMEOUT)?;
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
fn a_relay_continues_with_increments() -> Result<()> {
    both(|by| {
        let fixture = Fixture::new(by, &["a", "b", "c"])?;
        fixture.send(None, &fixture.at(0, "s0"), &fixture.at(1, "in"))?;
        fixture.send(None, &fixture.at(1, "in/s0"), &fixture.at(2, "in"))?;
        trees::change(&fixture.at(0, "live"))?;
        snapshot::freeze(&fixture.at(0, "live"), &fixture.at(0, "s1"))?;
        let differs = fixture.send(Some(&fixture.at(0, "s0")), &fixture.at(0, "s1"), &fixture.at(2, "in"))?;
        ensure!(differs == (by == Ours), "the number is the same");
        fixture.same(&fixture.at(0, "s1"), &fixture.at(2, "in/s1"))
    })
}

#[test]
fn a_restore_is_backed_up_again_by_increments() -> Result<()> {
    both(|by| {
        let fixture = Fixture::new(by, &["a", "b", "new"])?;
        fixture.send(None, &fixture.at(0, "s0"), &fixture.at(1, "in"))?;
        fixture.send(None, &fixture.at(1, "in/s0"), &fixture.at(2, "in"))?;
        snapshot::branch(&fixture.at(2, "in/s0"), &fixture.at(2, "live"))?;
        trees::change(&fixture.at(2, "live"))?;
        snapshot::freeze(&fixture.at(2, "live"), &fixture.at(2, "s1"))?;
        let differs = fixture.send(Some(&fixture.at(2, "in/s0")), &fixture.at(2, "s1"), &fixture.at(1, "in"))?;
        ensure!(differs == (by == Ours), "the number is the same");
        fixture.same(&fixture.at(2, "s1"), &fixture.at(1, "in/s1"))
    })
}

/// The standard tool of btrfs-progs 6.2 fails here: it finds the parent, and not the clone source.
#[test]
fn a_change_is_synced_back_to_the_original() -> Result<()> {
    let fixture = Fixture::new(Ours, &["a", "b"])?;
    fixture.send(None, &fixture.at(0, "s0"), &fixture.at(1, "in"))?;
    snapshot::branch(&fixture.at(1, "in/s0"), &fixture.at(1, "live"))?;
    trees::change(&fixture.at(1, "live"))?;
    snapshot::freeze(&fixture.at(1, "live"), &fixture.at(1, "s1"))?;
    let differs = fixture.send(Some(&fixture.at(1, "in/s0")), &fixture.at(1, "s1"), &fixture.at(0, "in"))?;
    ensure!(differs, "the number is the same");
    fixture.same(&fixture.at(1, "s1"), &fixture.at(0, "in/s1"))
}

#[test]
fn a_source_is_deduplicated_between_two_increments() -> Result<()> {
    both(|by| {
        let fixture = Fixture::new(by, &["a", "b"])?;
        for name in ["one", "two"] {
            fs::write(fixture.at(0, "live").join(name), vec![b'd'; 8192])?;
        }
        snapshot::freeze(&fixture.at(0, "live"), &fixture.at(0, "d0"))?;
        fixture.send(None, &fixture.at(0, "d0"), &fixture.at(1, "in"))?;
        let script = shipped("tests/clients").join("dedupe.py");
        let mut command = Command::new("/usr/bin/python3");
        run(command.arg(script).args([fixture.at(0, "d0/one"), fixture.at(0, "d0/two")]), TIMEOUT)?.success()?;
        nix::unistd::sync();
        trees::change(&fixture.at(0, "live"))?;
        snapshot::freeze(&fixture.at(0, "live"), &fixture.at(0, "d1"))?;
        let differs = fixture.send(Some(&fixture.at(0, "d0")), &fixture.at(0, "d1"), &fixture.at(1, "in"))?;
        ensure!(differs == (by == Ours), "the number is the same");
        fixture.same(&fixture.at(0, "d1"), &fixture.at(1, "in/d1"))
    })
}

#[test]
fn a_parent_that_was_deduplicated_here_is_used() -> Result<()> {
    let fixture = Fixture::new(Ours, &["a", "b"])?;
    for name in ["one", "two"] {
        fs::write(fixture.at(0, "live").join(name), vec![b'd'; 8192])?;
    }
    snapshot::freeze(&fixture.at(0, "live"), &fixture.at(0, "d0"))?;
    fixture.send(None, &fixture.at(0, "d0"), &fixture.at(1, "in"))?;
    let script = shipped("tests/clients").join("dedupe.py");
    let mut command = Command::new("/usr/bin/python3");
    run(command.arg(script).args([fixture.at(1, "in/d0/one"), fixture.at(1, "in/d0/two")]), TIMEOUT)?.success()?;
    nix::unistd::sync();
    trees::change(&fixture.at(0, "live"))?;
    snapshot::freeze(&fixture.at(0, "live"), &fixture.at(0, "d1"))?;
    ensure!(
        !fixture.send(Some(&fixture.at(0, "d0")), &fixture.at(0, "d1"), &fixture.at(1, "in"))?,
        "the number differs"
    );
    fixture.same(&fixture.at(0, "d1"), &fixture.at(1, "in/d1"))
}
