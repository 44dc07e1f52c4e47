//! The records themselves, and what happens to a parent while it is built on.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use butterdock_btrfs::subvolume;
use butterdock_receive::{Origin, Record, SubvolumeState};
use butterdock_tests::Receiver::Ours;
use butterdock_tests::wire::Stream;

use crate::fixture::{Fixture, PARENT, parent};

#[test]
fn a_record_is_removed_with_its_subvolume() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.receive(Ours, &parent("p", 0, "good"), &[], "dest")?.success()?;
    let dest = File::open(fixture.dest())?;
    let state = SubvolumeState::of_info(&subvolume::info(File::open(fixture.dest().join("p"))?)?);
    ensure!((state.received_uuid, state.stransid) == PARENT);
    let expected = Record { state, asked_by: 0, origin: None };
    ensure!(Record::list(dest.as_fd())? == [expected.clone()], "{:?}", Record::list(dest.as_fd())?);
    ensure!(Record::read(dest.as_fd(), state.uuid)? == Some(expected));
    let staging = fixture.dest().join(".butterdock-staging");
    let status = fs::metadata(&staging)?;
    ensure!((status.uid(), status.mode() & 0o7777) == (0, 0o700));
    // A staging directory that others may enter vouches for nothing.
    fs::set_permissions(&staging, Permissions::from_mode(0o755))?;
    ensure!(Record::read(dest.as_fd(), state.uuid)?.is_none() && Record::list(dest.as_fd())?.is_empty());
    fs::set_permissions(&staging, Permissions::from_mode(0o700))?;
    butterdock_receive::sweep(dest.as_fd())?;
    ensure!(Record::list(dest.as_fd())?.len() == 1, "the record of what is there was removed");
    butterdock_tests::snapshot::delete(&fixture.dest().join("p"))?;
    butterdock_receive::sweep(dest.as_fd())?;
    ensure!(Record::list(dest.as_fd())?.is_empty(), "the record of what is gone stays");
    Ok(())
}

#[test]
fn a_record_is_replaced_and_removed() -> Result<()> {
    let fixture = Fixture::new()?;
    let dest = File::open(fixture.dest())?;
    let state = SubvolumeState { uuid: [5; 16], received_uuid: [6; 16], stransid: 1, rtransid: 2, ctransid: 3 };
    let first = Record { state, asked_by: 1000, origin: None };
    let origin = Origin {
        machine: [1; 16],
        source: [2; 16],
        backup: "home".to_owned(),
        is_source: false,
        members: 0,
        nested: None,
    };
    let second = Record { origin: Some(origin), ..first.clone() };
    for record in [first, second] {
        record.write(dest.as_fd())?;
        ensure!(Record::read(dest.as_fd(), state.uuid)? == Some(record));
    }
    Record::remove(dest.as_fd(), state.uuid)?;
    Record::remove(dest.as_fd(), state.uuid)?;
    ensure!(Record::read(dest.as_fd(), state.uuid)?.is_none());
    Ok(())
}

#[test]
fn changing_the_parent_during_a_receive_fails() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.receive(Ours, &parent("p", 0, "good"), &[], "dest")?.success()?;
    let begun = Stream::new(1).snapshot("i", PARENT.0, PARENT.1).mkfile("more");
    let end = begun.clone().end();
    let mut command = Ours.command()?;
    command.arg(fixture.dest()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().context("no stdin")?;
    input.write_all(begun.bytes())?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line)?;
    ensure!(line == "At snapshot i\n", "{line:?}");
    let root = File::open(fixture.dest().join("p"))?;
    subvolume::set_read_only(&root, false)?;
    fs::write(fixture.dest().join("p/f"), "evil")?;
    subvolume::set_read_only(&root, true)?;
    input.write_all(end.bytes().get(begun.bytes().len()..).unwrap_or_default())?;
    drop(input);
    let mut told = String::new();
    child.stderr.take().context("no stderr")?.read_to_string(&mut told)?;
    ensure!(!child.wait()?.success() && told.contains("changed while it was read"), "{told}");
    ensure!(!fixture.dest().join("i").exists());
    Ok(())
}
