//! Where a stream may go, and where not.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::rig::{PATIENCE, run, start};
use butterdock_tests::snapshot;

use crate::desk::{Desk, full_stream, listed, printed, refused};

#[test]
fn a_relative_destination_is_one() -> Result<()> {
    let desk = Desk::new()?;
    fs::create_dir(desk.volume.join("into"))?;
    for (from, to) in
        [(desk.volume.path().to_path_buf(), "into"), (desk.volume.join("into"), "."), (desk.volume.join("into"), "..")]
    {
        let finished = run(desk.command()?.arg("-f").arg(&desk.full).arg(to).current_dir(&from), PATIENCE)?;
        printed(&finished, "", "At subvol full\n")?;
        snapshot::delete(&from.join(to).join("full"))?;
    }
    Ok(())
}

#[test]
fn a_relative_file_is_found_from_where_one_stands() -> Result<()> {
    let desk = Desk::new()?;
    let mut command = desk.command()?;
    command.args(["-f", "full.stream"]).arg(desk.volume.path()).current_dir(desk.rig.path());
    printed(&run(&mut command, PATIENCE)?, "", "At subvol full\n")
}

#[test]
fn a_destination_that_is_not_btrfs_is_refused() -> Result<()> {
    let desk = Desk::new()?;
    let elsewhere = desk.rig.join("elsewhere");
    fs::create_dir(&elsewhere)?;
    let finished = run(desk.command()?.arg("-f").arg(&desk.full).arg(&elsewhere), PATIENCE)?;
    refused(&finished, "btrfs")?;
    ensure!(listed(&elsewhere)?.is_empty(), "something was made there");
    Ok(())
}

#[test]
fn a_tmpfs_over_a_directory_of_btrfs_is_refused() -> Result<()> {
    let desk = Desk::new()?;
    let covered = desk.volume.join("covered");
    fs::create_dir(&covered)?;
    run(Command::new("mount").args(["-t", "tmpfs", "butterdock-rig"]).arg(&covered), PATIENCE)?.success()?;
    let finished = run(desk.command()?.arg("-f").arg(&desk.full).arg(&covered), PATIENCE);
    let left = listed(&covered);
    run(Command::new("umount").arg(&covered), PATIENCE)?.success()?;
    refused(&finished?, "btrfs")?;
    ensure!(left?.is_empty() && listed(&covered)?.is_empty(), "something was made there");
    Ok(())
}

#[test]
fn a_destination_that_is_missing_or_no_directory_is_refused() -> Result<()> {
    let desk = Desk::new()?;
    fs::write(desk.volume.join("file"), "x")?;
    for name in ["missing", "file"] {
        let finished = run(desk.command()?.arg("-f").arg(&desk.full).arg(desk.volume.join(name)), PATIENCE)?;
        refused(&finished, name)?;
    }
    desk.holds(&["file"])
}

#[test]
fn a_read_only_destination_is_refused() -> Result<()> {
    let desk = Desk::new()?;
    snapshot::create(&desk.volume.join("inner"))?;
    snapshot::set_read_only(&desk.volume.join("inner"), true)?;
    let finished = run(desk.command()?.arg("-f").arg(&desk.full).arg(desk.volume.join("inner")), PATIENCE)?;
    refused(&finished, "read-only")?;
    ensure!(listed(&desk.volume.join("inner"))?.is_empty(), "something was made there");
    Ok(())
}

#[test]
fn a_name_that_is_taken_is_left_alone() -> Result<()> {
    let desk = Desk::new()?;
    for make in [|path: &Path| fs::write(path, "mine"), |path: &Path| fs::create_dir(path)] {
        let taken = desk.volume.join("full");
        make(&taken)?;
        let before = fs::metadata(&taken)?;
        refused(&desk.receive_full(&[])?, "exist")?;
        ensure!(fs::metadata(&taken)?.modified()? == before.modified()?, "it was changed");
        desk.holds(&["full"])?;
        if before.is_dir() { fs::remove_dir(&taken)? } else { fs::remove_file(&taken)? }
    }
    desk.receive_full(&[])?.success()?;
    refused(&desk.receive_full(&[])?, "full")?;
    desk.has("full")
}

/// Nothing that butterdock did not make is ever deleted, whatever it is called.
#[test]
fn what_only_looks_like_a_hidden_subvolume_is_not_swept() -> Result<()> {
    let desk = Desk::new()?;
    let digits = "00112233445566778899aabbccddeeff";
    fs::create_dir(desk.volume.join(format!(".butterdock-{digits}")))?;
    fs::write(desk.volume.join(".butterdock-file"), "mine")?;
    snapshot::create(&desk.volume.join(".butterdock-mine"))?;
    desk.receive_full(&[])?.success()?;
    desk.holds(&[&format!(".butterdock-{digits}"), ".butterdock-file", ".butterdock-mine", "full"])
}

#[test]
fn two_receives_into_one_directory_do_not_disturb_each_other() -> Result<()> {
    let desk = Desk::new()?;
    for round in 0..10 {
        let other = desk.keep("other.stream", full_stream("other", 2).bytes())?;
        let one = start(desk.command()?.arg("-f").arg(&desk.full).arg(desk.volume.path()))?;
        let two = start(desk.command()?.arg("-f").arg(&other).arg(desk.volume.path()))?;
        one.finish(PATIENCE)?.success()?;
        two.finish(PATIENCE)?.success()?;
        desk.holds(&["full", "other"])?;
        for name in ["full", "other"] {
            desk.has(name)?;
            snapshot::delete(&desk.volume.join(name))?;
        }
        ensure!(listed(desk.volume.path())?.is_empty(), "round {round} left something");
    }
    Ok(())
}

#[test]
fn of_two_receives_of_one_name_exactly_one_wins() -> Result<()> {
    let desk = Desk::new()?;
    for _ in 0..10 {
        let one = start(desk.command()?.arg("-f").arg(&desk.full).arg(desk.volume.path()))?;
        let two = start(desk.command()?.arg("-f").arg(&desk.full).arg(desk.volume.path()))?;
        let (one, two) = (one.finish(PATIENCE)?, two.finish(PATIENCE)?);
        let (won, lost) = if one.code() == 0 { (one, two) } else { (two, one) };
        won.success()?;
        refused(&lost, "full")?;
        desk.holds(&["full"])?;
        desk.has("full")?;
        snapshot::delete(&desk.volume.join("full"))?;
    }
    Ok(())
}
