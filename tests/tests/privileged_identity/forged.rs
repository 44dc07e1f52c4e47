//! What a user makes under an identity that is not his.

use std::fs::{self, File};
use std::os::unix::fs::chown;

use anyhow::{Result, ensure};
use butterdock_btrfs::subvolume;
use butterdock_tests::rig::Receiver::{Ours, Standard};
use butterdock_tests::wire::Stream;

use crate::stage::{NOBODY, PARENT, Stage, add, content, increment, named, parent, refused};

#[test]
fn what_its_owner_changed_and_marked_anew_is_no_parent() -> Result<()> {
    let stage = Stage::new()?;
    stage.receive(Ours, &parent("p", NOBODY, "good"), &[], "dest")?.success()?;
    stage.receive(Ours, &increment("before", PARENT), &[], "dest")?.success()?;
    stage.mark_as_nobody(&stage.dest(), "p", PARENT, "evil")?;
    refused(&stage.receive(Ours, &increment("after", PARENT), &[], "dest")?, "its record differs")?;
    ensure!(!stage.dest().join("after").exists() && content(&stage.dest().join("before"))? == "good");
    ensure!(!stage.serve(0, &increment("served", PARENT), "dest")?.is_null());
    Ok(())
}

#[test]
fn a_forged_one_elsewhere_is_never_used() -> Result<()> {
    let stage = Stage::new()?;
    let hers = stage.volume.join("hers");
    stage.mark_as_nobody(&hers, "first", PARENT, "evil")?;
    refused(&stage.receive(Ours, &increment("alone", PARENT), &[], "dest")?, "has no record")?;
    stage.receive(Ours, &parent("p", 0, "good"), &[], "dest")?.success()?;
    stage.mark_as_nobody(&hers, "later", PARENT, "evil")?;
    stage.receive(Ours, &increment("i", PARENT), &[], "dest")?.success()?;
    ensure!(content(&stage.dest().join("i"))? == "good", "built on the forged one");
    ensure!(stage.serve(0, &increment("served", PARENT), "dest")?.is_null());
    ensure!(content(&stage.dest().join("served"))? == "good", "built on the forged one");
    butterdock_tests::snapshot::delete(&stage.dest().join("p"))?;
    refused(&stage.receive(Ours, &increment("gone", PARENT), &[], "dest")?, "has no record")
}

#[test]
fn a_forged_clone_source_is_never_read() -> Result<()> {
    let stage = Stage::new()?;
    let (good, evil) = ("g".repeat(8192), "e".repeat(8192));
    let clone = |name| {
        let identity = (*b"another-identity", 3);
        named(name, identity, 0, "own").mkfile("x").clone_from("x", 0, 8192, (PARENT, "f", 0)).end()
    };
    stage.mark_as_nobody(&stage.volume.join("hers"), "forged", PARENT, &evil)?;
    refused(&stage.receive(Ours, &clone("alone"), &[], "dest")?, "the clone source")?;
    stage.receive(Ours, &parent("p", NOBODY, &good), &[], "dest")?.success()?;
    stage.receive(Ours, &clone("c"), &[], "dest")?.success()?;
    ensure!(fs::read_to_string(stage.dest().join("c/x"))? == good, "read from the forged one");
    stage.mark_as_nobody(&stage.dest(), "p", PARENT, &evil)?;
    refused(&stage.receive(Ours, &clone("again"), &[], "dest")?, "its record differs")
}

/// First come does not win: the user names all numbers that the real one may get.
#[test]
fn two_hundred_forged_numbers_before_the_real_one_change_nothing() -> Result<()> {
    let stage = Stage::new()?;
    // As `btrfs send -e` writes it: one header, and one END behind the last.
    let one = |stream, number| add(stream, &format!("x{number}"), (PARENT.0, number), 0, "evil");
    let forged = (0..200).fold(Stream::new(1), one).end();
    ensure!(stage.serve(1000, &forged, "dest")?.is_null());
    ensure!(content(&stage.dest().join("x199"))? == "evil");
    refused(&stage.receive(Ours, &increment("none", PARENT), &[], "dest")?, "was received for another user")?;
    ensure!(!stage.serve(0, &increment("none", PARENT), "dest")?.is_null());
    ensure!(!stage.serve(1001, &increment("none", PARENT), "dest")?.is_null());
    ensure!(stage.serve(0, &parent("real", 0, "good"), "dest")?.is_null());
    for (name, uid) in [("roots", 0), ("others", 1001)] {
        ensure!(stage.serve(uid, &increment(name, PARENT), "dest")?.is_null());
        ensure!(content(&stage.dest().join(name))? == "good", "{name} builds on a forged one");
    }
    stage.receive(Ours, &increment("i", PARENT), &[], "dest")?.success()?;
    ensure!(content(&stage.dest().join("i"))? == "good", "builds on a forged one");
    Ok(())
}

/// A uuid is known to everybody who saw a stream, or a list of snapshots: for another user than root that is not enough.
#[test]
fn a_user_builds_on_what_is_roots_by_its_very_number_only() -> Result<()> {
    let stage = Stage::new()?;
    ensure!(stage.serve(0, &parent("p", 0, "good"), "dest")?.is_null());
    let other = (PARENT.0, PARENT.1 + 1);
    let error = stage.serve(1000, &increment("guessed", other), "dest")?.to_string();
    ensure!(error.contains("is root's, and has another number"), "{error}");
    ensure!(!stage.dest().join("guessed").exists());
    ensure!(stage.serve(1000, &increment("known", PARENT), "dest")?.is_null());
    ensure!(stage.serve(0, &increment("roots", other), "dest")?.is_null(), "for root it is a preference");
    let own = (*b"another-identity", 3);
    ensure!(stage.serve(1000, &named("own", own, 0, "hers").end(), "dest")?.is_null());
    ensure!(stage.serve(1000, &increment("more", (own.0, 4)), "dest")?.is_null(), "her own needs no number");
    Ok(())
}

/// What comes later under an identity that is there stands behind it, for the product and for the standard tool.
#[test]
fn an_identity_that_is_there_cannot_be_taken_over() -> Result<()> {
    for first in [Ours, Standard] {
        let stage = Stage::new()?;
        stage.receive(first, &parent("p", 0, "good"), &[], "dest")?.success()?;
        ensure!(stage.serve(1000, &parent("x", 0, "evil"), "dest")?.is_null());
        stage.mark_as_nobody(&stage.volume.join("hers"), "forged", PARENT, "evil")?;
        for by in [Ours, Standard] {
            let name = if by == Ours { "ours" } else { "standard" };
            stage.receive(by, &increment(name, PARENT), &[], "dest")?.success()?;
            ensure!(content(&stage.dest().join(name))? == "good", "{name} after {first:?}");
        }
        ensure!(stage.serve(1000, &increment("hers", PARENT), "dest")?.is_null());
    }
    Ok(())
}

/// The owner of a directory may rename what root keeps in it: then nothing tells who asked.
#[test]
fn a_record_that_was_taken_away_makes_no_trust() -> Result<()> {
    let stage = Stage::new()?;
    ensure!(stage.serve(1000, &parent("x", 0, "evil"), "hers")?.is_null());
    refused(&stage.receive(Ours, &increment("i", PARENT), &[], "dest")?, "was received for another user")?;
    let hers = stage.volume.join("hers");
    fs::rename(hers.join(".butterdock-staging"), hers.join("away"))?;
    refused(&stage.receive(Ours, &increment("i", PARENT), &[], "dest")?, "has no record")?;
    // One of her own making, with a record of her own writing, in a directory that she cannot make root's.
    fs::create_dir(hers.join(".butterdock-staging"))?;
    chown(hers.join(".butterdock-staging"), Some(65534), Some(65534))?;
    refused(&stage.receive(Ours, &increment("i", PARENT), &[], "dest")?, "has no record")
}

#[test]
fn what_was_changed_since_it_was_recorded_is_no_parent() -> Result<()> {
    let stage = Stage::new()?;
    stage.receive(Ours, &parent("p", 0, "good"), &[], "dest")?.success()?;
    let set =
        |read_only| -> Result<()> { Ok(subvolume::set_read_only(File::open(stage.dest().join("p"))?, read_only)?) };
    set(false)?;
    set(true)?;
    stage.receive(Ours, &increment("same", PARENT), &[], "dest")?.success()?;
    set(false)?;
    refused(&stage.receive(Ours, &increment("writable", PARENT), &[], "dest")?, "is not read-only")?;
    fs::write(stage.dest().join("p/f"), "evil")?;
    set(true)?;
    refused(&stage.receive(Ours, &increment("changed", PARENT), &[], "dest")?, "was changed after it was received")
}

#[test]
fn two_of_one_identity_need_a_record() -> Result<()> {
    let stage = Stage::new()?;
    fs::create_dir(stage.volume.join("other"))?;
    for into in ["dest", "other"] {
        stage.receive(Standard, &parent("p", 0, into), &[], into)?.success()?;
    }
    refused(&stage.receive(Ours, &increment("i", PARENT), &[], "dest")?, "neither has a record")?;
    fs::create_dir(stage.volume.join("third"))?;
    stage.receive(Ours, &parent("p", 0, "recorded"), &[], "third")?.success()?;
    stage.receive(Ours, &increment("i", PARENT), &[], "dest")?.success()?;
    ensure!(content(&stage.dest().join("i"))? == "recorded");
    Ok(())
}
