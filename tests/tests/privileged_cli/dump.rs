//! `--dump`: the text that `btrfs receive --dump` prints, without root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::wire::Stream;
use butterdock_tests::{Finished, Layout, Receiver, Sandbox, TIMEOUT, butterdockd, run, trees};

const NOBODY: u32 = 65_534;

fn dumped(receiver: Receiver, stream: &Path) -> Result<Finished> {
    run(receiver.command()?.arg("--dump").arg("-f").arg(stream), TIMEOUT)?.success()
}

fn same_dump(stream: &Path) -> Result<()> {
    let (ours, standard) = (dumped(Receiver::Ours, stream)?, dumped(Receiver::Standard, stream)?);
    let differing = ours
        .out()
        .lines()
        .zip(standard.out().lines())
        .find(|(one, other)| one != other)
        .map(|(one, other)| format!("{one:?} ≠ {other:?}"));
    ensure!(ours.stdout == standard.stdout, "{}: {differing:?}", stream.display());
    Ok(())
}

#[test]
fn a_dump_is_the_text_of_the_standard_tool() -> Result<()> {
    let sandbox = Sandbox::new()?;
    for (options, protos) in [
        ("", &[Proto::One, Proto::Two][..]),
        ("compress=zstd", &[Proto::TwoCompressed]),
        ("compress=lzo", &[Proto::TwoCompressed]),
    ] {
        let source = sandbox.volume("source", &Layout::mounted(options))?;
        let live = source.join("live");
        snapshot::create(&live)?;
        trees::build(&live)?;
        snapshot::freeze(&live, &source.join("s0"))?;
        trees::change(&live)?;
        snapshot::freeze(&live, &source.join("s1"))?;
        for proto in protos {
            for parent in [None, Some(source.join("s0"))] {
                let stream = sandbox.join("stream");
                let name = if parent.is_some() { "s1" } else { "s0" };
                snapshot::send(*proto, parent.as_deref(), &source.join(name), &stream)?;
                same_dump(&stream)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_dump_needs_neither_root_nor_a_destination() -> Result<()> {
    let sandbox = Sandbox::new()?;
    fs::set_permissions(sandbox.path(), fs::Permissions::from_mode(0o755))?;
    let stream = sandbox.join("stream");
    fs::write(&stream, Stream::new(1).subvol("sub").mkfile("a").end().bytes())?;
    // The build's folder may be closed to others.
    let program = sandbox.join("butterdockd");
    fs::copy(butterdockd()?, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let mut command = Command::new(&program);
    command.args(["receive", "--dump", "-f"]).arg(&stream).uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
    let finished = run(&mut command, TIMEOUT)?.success()?;
    ensure!(finished.stdout == dumped(Receiver::Standard, &stream)?.stdout, "{}", finished.out());

    let mut command = Command::new(&program);
    command.arg("receive").arg("-f").arg(&stream).arg(sandbox.path()).uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
    let refused = run(&mut command, TIMEOUT)?;
    ensure!(refused.code() != 0 && refused.errors().len() == 1, "{}", refused.err());
    Ok(())
}

#[test]
fn no_field_of_a_dump_can_forge_a_line() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let stream = sandbox.join("stream");
    let nasty = "a\nmkfile ./forged\x1b[2J";
    let text = Stream::new(1)
        .subvol("sub")
        .mkfile(nasty)
        .symlink("s", nasty)
        .xattr("s", nasty, nasty)
        .rename("s", nasty)
        .link("l", nasty)
        .end();
    fs::write(&stream, text.bytes())?;
    let dump = dumped(Receiver::Ours, &stream)?;
    ensure!(dump.out().lines().count() <= 7, "{}", dump.out());
    ensure!(
        !dump.out().lines().any(|line| line.contains("./forged") && line.starts_with("mkfile ./forged")),
        "{}",
        dump.out()
    );
    ensure!(!dump.stdout.contains(&0x1b), "a terminal is steered");
    Ok(())
}

#[test]
fn the_dump_of_a_broken_stream_ends_with_an_error() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let stream = sandbox.join("stream");
    fs::write(&stream, Stream::new(1).subvol("sub").mkfile("a").bytes())?;
    let finished = run(Receiver::Ours.command()?.arg("--dump").arg("-f").arg(&stream), TIMEOUT)?;
    ensure!(finished.code() != 0 && finished.errors().len() == 1, "{}", finished.err());
    ensure!(finished.out().contains("mkfile"), "what came before is not shown: {}", finished.out());
    Ok(())
}
