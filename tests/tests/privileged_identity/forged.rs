//! Subvolumes that a user makes with a forged identity, and subvolumes without a record.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_btrfs::subvolume;
use butterdock_tests::Receiver::{Ours, Standard};
use butterdock_tests::wire::Stream;
use butterdock_tests::{TIMEOUT, run, unmount};

use crate::fixture::{Fixture, NOBODY, PARENT, add, content, increment, named, parent, refused};

#[test]
fn a_subvolume_changed_by_its_owner_is_no_parent() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.receive(Ours, &parent("p", NOBODY, "good"), &[], "dest")?.success()?;
    fixture.receive(Ours, &increment("before", PARENT), &[], "dest")?.success()?;
    fixture.mark_as_nobody(&fixture.dest(), "p", PARENT, "evil")?;
    refused(&fixture.receive(Ours, &increment("after", PARENT), &[], "dest")?, "its record differs")?;
    ensure!(!fixture.dest().join("after").exists() && content(&fixture.dest().join("before"))? == "good");
    ensure!(!fixture.serve(0, &increment("served", PARENT), "dest")?.is_null());
    Ok(())
}

#[test]
fn a_forged_subvolume_elsewhere_is_never_used() -> Result<()> {
    let fixture = Fixture::new()?;
    let hers = fixture.volume.join("hers");
    fixture.mark_as_nobody(&hers, "first", PARENT, "evil")?;
    refused(&fixture.receive(Ours, &increment("alone", PARENT), &[], "dest")?, "has no record")?;
    fixture.receive(Ours, &parent("p", 0, "good"), &[], "dest")?.success()?;
    fixture.mark_as_nobody(&hers, "later", PARENT, "evil")?;
    fixture.receive(Ours, &increment("i", PARENT), &[], "dest")?.success()?;
    ensure!(content(&fixture.dest().join("i"))? == "good", "built on the forged one");
    ensure!(fixture.serve(0, &increment("served", PARENT), "dest")?.is_null());
    ensure!(content(&fixture.dest().join("served"))? == "good", "built on the forged one");
    butterdock_tests::snapshot::delete(&fixture.dest().join("p"))?;
    refused(&fixture.receive(Ours, &increment("gone", PARENT), &[], "dest")?, "has no record")
}

#[test]
fn a_forged_clone_source_is_never_read() -> Result<()> {
    let fixture = Fixture::new()?;
    let (good, evil) = ("g".repeat(8192), "e".repeat(8192));
    let clone = |name| {
        let identity = (*b"another-identity", 3);
        named(name, identity, 0, "own").mkfile("x").clone_from("x", 0, 8192, (PARENT, "f", 0)).end()
    };
    fixture.mark_as_nobody(&fixture.volume.join("hers"), "forged", PARENT, &evil)?;
    refused(&fixture.receive(Ours, &clone("alone"), &[], "dest")?, "the clone source")?;
    fixture.receive(Ours, &parent("p", NOBODY, &good), &[], "dest")?.success()?;
    fixture.receive(Ours, &clone("c"), &[], "dest")?.success()?;
    ensure!(fs::read_to_string(fixture.dest().join("c/x"))? == good, "read from the forged one");
    fixture.mark_as_nobody(&fixture.dest(), "p", PARENT, &evil)?;
    refused(&fixture.receive(Ours, &clone("again"), &[], "dest")?, "its record differs")
}

/// First come does not win: the user names all numbers that the real one may get.
#[test]
fn two_hundred_forged_numbers_before_the_real_one_change_nothing() -> Result<()> {
    let fixture = Fixture::new()?;
    // As `btrfs send -e` writes it: one header, and one END behind the last.
    let one = |stream, number| add(stream, &format!("x{number}"), (PARENT.0, number), 0, "evil");
    let forged = (0..200).fold(Stream::new(1), one).end();
    ensure!(fixture.serve(1000, &forged, "dest")?.is_null());
    ensure!(content(&fixture.dest().join("x199"))? == "evil");
    refused(&fixture.receive(Ours, &increment("none", PARENT), &[], "dest")?, "was received for another user")?;
    ensure!(!fixture.serve(0, &increment("none", PARENT), "dest")?.is_null());
    ensure!(!fixture.serve(1001, &increment("none", PARENT), "dest")?.is_null());
    ensure!(fixture.serve(0, &parent("real", 0, "good"), "dest")?.is_null());
    for (name, uid) in [("roots", 0), ("others", 1001)] {
        ensure!(fixture.serve(uid, &increment(name, PARENT), "dest")?.is_null());
        ensure!(content(&fixture.dest().join(name))? == "good", "{name} builds on a forged one");
    }
    fixture.receive(Ours, &increment("i", PARENT), &[], "dest")?.success()?;
    ensure!(content(&fixture.dest().join("i"))? == "good", "builds on a forged one");
    Ok(())
}

/// Every user who saw a stream or a list of snapshots knows a uuid: for other users than root that is not enough.
#[test]
fn a_users_parent_of_root_needs_the_exact_generation() -> Result<()> {
    let fixture = Fixture::new()?;
    ensure!(fixture.serve(0, &parent("p", 0, "good"), "dest")?.is_null());
    let other = (PARENT.0, PARENT.1 + 1);
    let error = fixture.serve(1000, &increment("guessed", other), "dest")?.to_string();
    ensure!(error.contains("is root's, and has another number"), "{error}");
    ensure!(!fixture.dest().join("guessed").exists());
    ensure!(fixture.serve(1000, &increment("known", PARENT), "dest")?.is_null());
    ensure!(fixture.serve(0, &increment("roots", other), "dest")?.is_null(), "for root it is a preference");
    let own = (*b"another-identity", 3);
    ensure!(fixture.serve(1000, &named("own", own, 0, "hers").end(), "dest")?.is_null());
    ensure!(fixture.serve(1000, &increment("more", (own.0, 4)), "dest")?.is_null(), "her own needs no number");
    Ok(())
}

/// What comes later under an identity that is there stands behind it, for the product and for the standard tool.
#[test]
fn an_existing_identity_cannot_be_taken_over() -> Result<()> {
    for first in [Ours, Standard] {
        let fixture = Fixture::new()?;
        fixture.receive(first, &parent("p", 0, "good"), &[], "dest")?.success()?;
        ensure!(fixture.serve(1000, &parent("x", 0, "evil"), "dest")?.is_null());
        fixture.mark_as_nobody(&fixture.volume.join("hers"), "forged", PARENT, "evil")?;
        for by in [Ours, Standard] {
            let name = if by == Ours { "ours" } else { "standard" };
            fixture.receive(by, &increment(name, PARENT), &[], "dest")?.success()?;
            ensure!(content(&fixture.dest().join(name))? == "good", "{name} after {first:?}");
        }
        ensure!(fixture.serve(1000, &increment("hers", PARENT), "dest")?.is_null());
    }
    Ok(())
}

/// The owner of a directory may rename what root keeps in it: then nothing tells who asked.
#[test]
fn without_its_record_a_subvolume_is_not_trusted() -> Result<()> {
    let fixture = Fixture::new()?;
    ensure!(fixture.serve(1000, &parent("x", 0, "evil"), "hers")?.is_null());
    refused(&fixture.receive(Ours, &increment("i", PARENT), &[], "dest")?, "was received for another user")?;
    let hers = fixture.volume.join("hers");
    fs::rename(hers.join(".butterdock-staging"), hers.join("away"))?;
    refused(&fixture.receive(Ours, &increment("i", PARENT), &[], "dest")?, "has no record")?;
    // One of her own making, with a record of her own writing, in a directory that she cannot make root's.
    fs::create_dir(hers.join(".butterdock-staging"))?;
    chown(hers.join(".butterdock-staging"), Some(65534), Some(65534))?;
    refused(&fixture.receive(Ours, &increment("i", PARENT), &[], "dest")?, "has no record")
}

#[test]
fn a_subvolume_changed_since_its_record_is_no_parent() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.receive(Ours, &parent("p", 0, "good"), &[], "dest")?.success()?;
    let set =
        |read_only| -> Result<()> { Ok(subvolume::set_read_only(File::open(fixture.dest().join("p"))?, read_only)?) };
    set(false)?;
    set(true)?;
    fixture.receive(Ours, &increment("same", PARENT), &[], "dest")?.success()?;
    set(false)?;
    refused(&fixture.receive(Ours, &increment("writable", PARENT), &[], "dest")?, "is not read-only")?;
    fs::write(fixture.dest().join("p/f"), "evil")?;
    set(true)?;
    refused(&fixture.receive(Ours, &increment("changed", PARENT), &[], "dest")?, "was changed after it was received")
}

#[test]
fn two_subvolumes_of_one_identity_need_a_record() -> Result<()> {
    let fixture = Fixture::new()?;
    fs::create_dir(fixture.volume.join("other"))?;
    for into in ["dest", "other"] {
        fixture.receive(Standard, &parent("p", 0, into), &[], into)?.success()?;
    }
    refused(&fixture.receive(Ours, &increment("i", PARENT), &[], "dest")?, "neither has a record")?;
    fs::create_dir(fixture.volume.join("third"))?;
    fixture.receive(Ours, &parent("p", 0, "recorded"), &[], "third")?.success()?;
    fixture.receive(Ours, &increment("i", PARENT), &[], "dest")?.success()?;
    ensure!(content(&fixture.dest().join("i"))? == "recorded");
    Ok(())
}

#[test]
fn without_a_record_root_must_own_the_subvolume() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.receive(Standard, &parent("p", NOBODY, "hers"), &[], "dest")?.success()?;
    refused(&fixture.receive(Ours, &increment("i", PARENT), &[], "dest")?, "has no record")?;
    butterdock_tests::snapshot::delete(&fixture.dest().join("p"))?;
    fixture.receive(Standard, &parent("p", 0, "roots"), &[], "dest")?.success()?;
    fixture.receive(Ours, &increment("i", PARENT), &[], "dest")?.success()?;
    ensure!(content(&fixture.dest().join("i"))? == "roots");
    Ok(())
}

#[test]
fn a_closed_parent_directory_protects_like_ownership_by_root() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.receive(Standard, &parent("p", NOBODY, "hers"), &[], "dest")?.success()?;
    fs::set_permissions(fixture.dest(), Permissions::from_mode(0o700))?;
    fixture.receive(Ours, &increment("i", PARENT), &[], "dest")?.success()?;
    // A mount of what is below leads around it.
    let at = fixture.sandbox.join("around");
    fs::create_dir(&at)?;
    run(Command::new("mount").arg("--bind").arg(fixture.dest().join("p")).arg(&at), TIMEOUT)?.success()?;
    let answer = fixture.receive(Ours, &increment("j", PARENT), &[], "dest");
    unmount(&at)?;
    refused(&answer?, "has no record")?;
    fs::set_permissions(fixture.dest(), Permissions::from_mode(0o710))?;
    refused(&fixture.receive(Ours, &increment("j", PARENT), &[], "dest")?, "has no record")
}
