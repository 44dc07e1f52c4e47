//! A subvolume without a record is accepted if only root can have made or changed it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::Receiver::{Ours, Standard};
use butterdock_tests::{TIMEOUT, run, unmount};

use crate::fixture::{Fixture, NOBODY, PARENT, content, increment, parent, refused};

#[test]
fn without_a_record_the_root_must_be_roots() -> Result<()> {
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
fn a_closed_directory_above_is_as_good_as_roots_own() -> Result<()> {
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
