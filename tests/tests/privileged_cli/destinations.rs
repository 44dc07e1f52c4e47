//! Where a stream may go, and where not.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::{TIMEOUT, run, snapshot, start};

use crate::fixture::{Fixture, full_stream, listed, printed, refused};

#[test]
fn a_relative_destination_is_accepted() -> Result<()> {
    let fixture = Fixture::new()?;
    fs::create_dir(fixture.volume.join("into"))?;
    for (from, to) in [
        (fixture.volume.path().to_path_buf(), "into"),
        (fixture.volume.join("into"), "."),
        (fixture.volume.join("into"), ".."),
    ] {
        let finished = run(fixture.command()?.arg("-f").arg(&fixture.full).arg(to).current_dir(&from), TIMEOUT)?;
        printed(&finished, "", "At subvol full\n")?;
        snapshot::delete(&from.join(to).join("full"))?;
    }
    Ok(())
}

#[test]
fn a_relative_file_is_found_in_the_working_directory() -> Result<()> {
    let fixture = Fixture::new()?;
    let mut command = fixture.command()?;
    command.args(["-f", "full.stream"]).arg(fixture.volume.path()).current_dir(fixture.sandbox.path());
    printed(&run(&mut command, TIMEOUT)?, "", "At subvol full\n")
}

#[test]
fn a_destination_that_is_not_btrfs_is_refused() -> Result<()> {
    let fixture = Fixture::new()?;
    let elsewhere = fixture.sandbox.join("elsewhere");
    fs::create_dir(&elsewhere)?;
    let finished = run(fixture.command()?.arg("-f").arg(&fixture.full).arg(&elsewhere), TIMEOUT)?;
    refused(&finished, "btrfs")?;
    ensure!(listed(&elsewhere)?.is_empty(), "something was made there");
    Ok(())
}

#[test]
fn a_tmpfs_over_a_directory_of_btrfs_is_refused() -> Result<()> {
    let fixture = Fixture::new()?;
    let covered = fixture.volume.join("covered");
    fs::create_dir(&covered)?;
    run(Command::new("mount").args(["-t", "tmpfs", "butterdock-sandbox"]).arg(&covered), TIMEOUT)?.success()?;
    let finished = run(fixture.command()?.arg("-f").arg(&fixture.full).arg(&covered), TIMEOUT);
    let left = listed(&covered);
    run(Command::new("umount").arg(&covered), TIMEOUT)?.success()?;
    refused(&finished?, "btrfs")?;
    ensure!(left?.is_empty() && listed(&covered)?.is_empty(), "something was made there");
    Ok(())
}

#[test]
fn a_destination_that_is_missing_or_no_directory_is_refused() -> Result<()> {
    let fixture = Fixture::new()?;
    fs::write(fixture.volume.join("file"), "x")?;
    for name in ["missing", "file"] {
        let finished = run(fixture.command()?.arg("-f").arg(&fixture.full).arg(fixture.volume.join(name)), TIMEOUT)?;
        refused(&finished, name)?;
    }
    fixture.holds(&["file"])
}

#[test]
fn a_read_only_destination_is_refused() -> Result<()> {
    let fixture = Fixture::new()?;
    snapshot::create(&fixture.volume.join("inner"))?;
    snapshot::set_read_only(&fixture.volume.join("inner"), true)?;
    let finished = run(fixture.command()?.arg("-f").arg(&fixture.full).arg(fixture.volume.join("inner")), TIMEOUT)?;
    refused(&finished, "read-only")?;
    ensure!(listed(&fixture.volume.join("inner"))?.is_empty(), "something was made there");
    Ok(())
}

#[test]
fn an_existing_name_is_not_replaced() -> Result<()> {
    let fixture = Fixture::new()?;
    for make in [|path: &Path| fs::write(path, "mine"), |path: &Path| fs::create_dir(path)] {
        let taken = fixture.volume.join("full");
        make(&taken)?;
        let before = fs::metadata(&taken)?;
        refused(&fixture.receive_full(&[])?, "exist")?;
        ensure!(fs::metadata(&taken)?.modified()? == before.modified()?, "it was changed");
        fixture.holds(&["full"])?;
        if before.is_dir() { fs::remove_dir(&taken)? } else { fs::remove_file(&taken)? }
    }
    fixture.receive_full(&[])?.success()?;
    refused(&fixture.receive_full(&[])?, "full")?;
    fixture.has("full")
}

/// Nothing that butterdock did not make is ever deleted, whatever it is called.
#[test]
fn a_directory_with_a_hidden_name_is_not_swept() -> Result<()> {
    let fixture = Fixture::new()?;
    let digits = "00112233445566778899aabbccddeeff";
    fs::create_dir(fixture.volume.join(format!(".butterdock-{digits}")))?;
    fs::write(fixture.volume.join(".butterdock-file"), "mine")?;
    snapshot::create(&fixture.volume.join(".butterdock-mine"))?;
    fixture.receive_full(&[])?.success()?;
    fixture.holds(&[&format!(".butterdock-{digits}"), ".butterdock-file", ".butterdock-mine", "full"])
}

#[test]
fn two_receives_into_one_directory_do_not_disturb_each_other() -> Result<()> {
    let fixture = Fixture::new()?;
    for round in 0..10 {
        let other = fixture.keep("other.stream", full_stream("other", 2).bytes())?;
        let one = start(fixture.command()?.arg("-f").arg(&fixture.full).arg(fixture.volume.path()))?;
        let two = start(fixture.command()?.arg("-f").arg(&other).arg(fixture.volume.path()))?;
        one.finish(TIMEOUT)?.success()?;
        two.finish(TIMEOUT)?.success()?;
        fixture.holds(&["full", "other"])?;
        for name in ["full", "other"] {
            fixture.has(name)?;
            snapshot::delete(&fixture.volume.join(name))?;
        }
        ensure!(listed(fixture.volume.path())?.is_empty(), "round {round} left something");
    }
    Ok(())
}

#[test]
fn of_two_receives_of_one_name_exactly_one_wins() -> Result<()> {
    let fixture = Fixture::new()?;
    for _ in 0..10 {
        let one = start(fixture.command()?.arg("-f").arg(&fixture.full).arg(fixture.volume.path()))?;
        let two = start(fixture.command()?.arg("-f").arg(&fixture.full).arg(fixture.volume.path()))?;
        let (one, two) = (one.finish(TIMEOUT)?, two.finish(TIMEOUT)?);
        let (won, lost) = if one.code() == 0 { (one, two) } else { (two, one) };
        won.success()?;
        refused(&lost, "full")?;
        fixture.holds(&["full"])?;
        fixture.has("full")?;
        snapshot::delete(&fixture.volume.join("full"))?;
    }
    Ok(())
}
