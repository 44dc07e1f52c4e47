//! What root, a member of the group and a stranger may do with files in snapshots, on a drive and beside the source: with gdbus,
//! polkitd and the shipped rule.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::{BACKUP, DESTINATION};
use butterdock_dbus::path::backup_path;
use butterdock_tests::{Polkit, Scenario, no_options};

use super::files::Calls;
use super::gdbus::Answer::{self, Content, No, Yes};
use super::gdbus::{FAMILY, GdbusObject, MEMBER, USERS, User, group_rule};

/// A method, its arguments in the text format of gdbus, where `SNAPSHOT` is the snapshot, and what root, a member and a stranger get.
type Row = (&'static str, &'static [&'static str], [Answer; 3]);

const ROWS: &[Row] = &[
    ("ListSnapshots", &["{}"], [Yes, No, No]),
    ("ListSnapshots", &["{'own': <true>}"], [Yes, Yes, No]),
    ("ListFiles", &["SNAPSHOT", "b''", "{}"], [Yes, Yes, No]),
    ("ListFiles", &["SNAPSHOT", "b'own'", "{}"], [Yes, Yes, No]),
    ("ListFiles", &["SNAPSHOT", "b'private'", "{}"], [Yes, No, No]),
    ("ListFiles", &["SNAPSHOT", "b''", "{'as_root': <true>}"], [Yes, No, No]),
    ("FileVersions", &["b'own/mine'", "{}"], [Yes, Yes, No]),
    ("FileVersions", &["b'private/inside'", "{}"], [Yes, No, No]),
    ("FileVersions", &["b'own/mine'", "{'as_root': <true>}"], [Yes, No, No]),
    ("OpenFile", &["SNAPSHOT", "b'own/mine'", "{}"], [Content, Content, No]),
    ("OpenFile", &["SNAPSHOT", "b'family'", "{}"], [Content, Content, No]),
    ("OpenFile", &["SNAPSHOT", "b'secret'", "{}"], [Content, No, No]),
    ("OpenFile", &["SNAPSHOT", "b'private/inside'", "{}"], [Content, No, No]),
    ("OpenFile", &["SNAPSHOT", "b'own/mine'", "{'as_root': <true>}"], [Content, No, No]),
    ("RestoreFiles", &["SNAPSHOT", "[b'own/mine']", "{}"], [Yes, Yes, No]),
    // What the member may read goes to a directory of root's.
    ("RestoreFiles", &["SNAPSHOT", "[b'family']", "{}"], [Yes, No, No]),
    ("RestoreFiles", &["SNAPSHOT", "[b'secret']", "{}"], [Yes, No, No]),
    ("RestoreFiles", &["SNAPSHOT", "[b'own/mine']", "{'target': <'tank'>}"], [Yes, No, No]),
    ("RestoreFiles", &["SNAPSHOT", "[b'own/mine']", "{'as_root': <true>}"], [Yes, No, No]),
];

fn source(scenario: &Scenario) -> Result<()> {
    let at = |path: &str| scenario.source.join(path);
    fs::set_permissions(&scenario.source, Permissions::from_mode(0o755))?;
    for (path, owner, group, mode) in [
        ("own/", MEMBER, MEMBER, 0o700),
        ("own/mine", MEMBER, MEMBER, 0o600),
        ("family", 0, FAMILY, 0o640),
        ("secret", 0, 0, 0o600),
        ("private/", 0, 0, 0o700),
        ("private/inside", 0, 0, 0o644),
    ] {
        if path.ends_with('/') {
            fs::create_dir(at(path))?;
        } else {
            fs::write(at(path), path)?;
        }
        fs::set_permissions(at(path), Permissions::from_mode(mode))?;
        chown(at(path), Some(owner), Some(group))?;
    }
    Ok(())
}

#[test]
fn root_a_member_and_a_stranger_reach_the_files_that_they_may() -> Result<()> {
    let scenario = Scenario::begin()?;
    source(&scenario)?;
    scenario.job("Backup", &no_options())?;
    let _polkit = Polkit::start(&scenario.fixture.sandbox, &scenario.fixture.bus, &group_rule("nogroup")?)?;
    let (drive, beside) = (Calls::new(&scenario)?, Calls::of_source(&scenario));
    let drive_path = scenario.fixture.one("the drive", |is| is.enrolled)?.path;
    let mut objects = Vec::new();
    for (calls, path, interface) in
        [(drive, drive_path, DESTINATION), (beside, backup_path("home").to_string(), BACKUP)]
    {
        let snapshot = calls.snapshots()?.pop().context("a snapshot")?;
        objects.push(GdbusObject { scenario: &scenario, path, interface, snapshot });
    }
    for object in &objects {
        for (method, words, expected) in ROWS {
            for (user, expected) in USERS.into_iter().zip(expected) {
                object.expect(user, method, words, *expected)?;
            }
        }
    }
    // A whole snapshot is root's.
    for user in [User::Member, User::Stranger] {
        objects[0].expect(user, "Restore", &["SNAPSHOT", "tank", "{}"], No)?;
    }
    // A restored file keeps its owner; the caller does not become its owner.
    for entry in fs::read_dir(scenario.source.join("own"))?.flatten() {
        ensure!(entry.metadata()?.uid() == MEMBER, "{:?}", entry.path());
    }
    for entry in fs::read_dir(&scenario.source)?.flatten().filter(|entry| entry.path().is_file()) {
        ensure!(entry.metadata()?.uid() == 0, "{:?}", entry.path());
    }
    ensure!(
        !scenario.tank.join("restored-").exists() && fs::read_dir(scenario.tank.path())?.count() == 2,
        "of root's calls"
    );
    scenario.no_worker_is_left()
}
