//! What root, a member of the group and a stranger may do with backups, settings, drives, destinations and snapshots, with gdbus,
//! polkitd and the shipped rule. Files are in `file_rights`; methods with descriptors, which gdbus does not pass, in `authorization`.

use anyhow::{Context as _, Result};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{BACKUP, DESTINATION, DRIVE, MANAGER};
use butterdock_dbus::path::backup_path;
use butterdock_tests::{Polkit, Scenario, no_options};

use super::files::Calls;
use super::gdbus::Answer::{self, No, Nothing, Yes};
use super::gdbus::{GdbusObject, USERS, group_rule};

/// An interface, its method, the arguments, and what root, a member and a stranger get.
type Row = (&'static str, &'static str, &'static [&'static str], [Answer; 3]);

const ROWS: &[Row] = &[
    // The objects.
    (MANAGER, "GetPermissions", &["{}"], [Yes, Yes, Yes]),
    (MANAGER, "ListBackups", &["{}"], [Yes, Yes, Yes]),
    (MANAGER, "ListBackups", &["{'estimate': <true>}"], [Yes, Yes, No]),
    (MANAGER, "ListHistory", &["{'limit': <uint64 5>, 'backup': <'home'>}"], [Yes, Yes, Yes]),
    (BACKUP, "Run", &["{}"], [Yes, Yes, No]),
    (BACKUP, "Run", &["{'full': <true>}"], [Yes, Yes, No]),
    (DESTINATION, "Backup", &["{}"], [Yes, Yes, No]),
    (DESTINATION, "Verify", &["{}"], [Yes, Yes, No]),
    (DESTINATION, "Restore", &["SNAPSHOT", "tank", "{}"], [Yes, No, No]),
    (DRIVE, "ListMounts", &["{}"], [Yes, Yes, Yes]),
    (DRIVE, "Mount", &["{}"], [Yes, Yes, No]),
    (DRIVE, "SafelyRemove", &["{'when_idle': <true>}"], [Yes, Yes, No]),
    // Settings, and a drive as a destination with settings of its own.
    (MANAGER, "GetSettings", &["{}"], [Yes, No, No]),
    (MANAGER, "SetBackup", &["home", "{'protect': <'2d'>}", "{}"], [Yes, No, No]),
    (MANAGER, "SetDefaults", &["{'history': <int64 100>}", "{}"], [Yes, No, No]),
    (MANAGER, "SetVolume", &["tank", "{}", "{}"], [Yes, No, No]),
    (
        MANAGER,
        "SetDestination",
        &["Blue", "{'kind': <'drive'>, 'drive': <'Blue'>}", "{'create': <true>}"],
        [Yes, No, No],
    ),
    (MANAGER, "RemoveDestination", &["Blue", "{}"], [Yes, No, No]),
    (MANAGER, "RemoveBackup", &["none", "{}"], [Nothing("Error.NotFound"), No, No]),
    (MANAGER, "RemoveVolume", &["none", "{}"], [Nothing("Error.NotFound"), No, No]),
    (MANAGER, "Reload", &["{}"], [Yes, No, No]),
    // Reminders.
    (MANAGER, "ListNotifications", &["{}"], [Yes, Yes, Yes]),
    (MANAGER, "TestNotification", &["none", "{}"], [Nothing("Error.NotFound"), No, No]),
    // Snapshots.
    (DESTINATION, "EstimateDeletion", &["['SNAPSHOT']", "{}"], [Yes, No, No]),
    (DESTINATION, "HoldSnapshot", &["SNAPSHOT", "for the taxes", "{}"], [Yes, No, No]),
    (DESTINATION, "ReleaseSnapshot", &["SNAPSHOT", "{}"], [Yes, No, No]),
    (DESTINATION, "Unpin", &["{}"], [Yes, No, No]),
    (DESTINATION, "DeleteSnapshots", &["['SNAPSHOT']", "{'force': <true>}"], [Yes, No, No]),
    (BACKUP, "EstimateDeletion", &["['SNAPSHOT']", "{}"], [Yes, No, No]),
    (BACKUP, "HoldSnapshot", &["SNAPSHOT", "for the taxes", "{}"], [Yes, No, No]),
    (BACKUP, "ReleaseSnapshot", &["SNAPSHOT", "{}"], [Yes, No, No]),
    (BACKUP, "DeleteSnapshots", &["['SNAPSHOT']", "{'force': <true>}"], [Yes, No, No]),
    (DESTINATION, "Forget", &["{}"], [Yes, No, No]),
];

#[test]
fn root_a_member_and_a_stranger_do_what_they_may() -> Result<()> {
    let scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    let _polkit = Polkit::start(&scenario.fixture.sandbox, &scenario.fixture.bus, &group_rule("nogroup")?)?;
    let (drive, beside) = (Calls::new(&scenario)?.snapshots()?, Calls::of_source(&scenario).snapshots()?);
    let drive_path = scenario.fixture.one("the drive", |is| is.enrolled)?.path;
    let object = |interface, path: &str, snapshots: &[String]| -> Result<GdbusObject<'_>> {
        let snapshot = snapshots.last().context("a snapshot")?.clone();
        Ok(GdbusObject { scenario: &scenario, path: path.to_owned(), interface, snapshot })
    };
    let objects = [
        object(MANAGER, ROOT, &drive)?,
        object(BACKUP, backup_path("home").as_str(), &beside)?,
        object(DRIVE, &drive_path, &drive)?,
        object(DESTINATION, &drive_path, &drive)?,
    ];
    for (interface, method, words, expected) in ROWS {
        let object = objects.iter().find(|object| object.interface == *interface).context("an object")?;
        // Strangers first: what they may not do is still there for the others.
        for (user, expected) in USERS.into_iter().zip(expected).rev() {
            object.expect(user, method, words, *expected)?;
        }
    }
    scenario.no_worker_is_left()
}
