//! Permissions for methods of an attached drive, and their answers to unknown options.

use std::fs::File;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use butterdock_dbus::authority::{Action, Row, Rule, TABLE};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{DESTINATION, DRIVE, MANAGER};
use butterdock_tests::{
    Disk, DriveFixture, DriveObject, Polkit, Rules, Sandbox, answer, as_nobody, no_options, python,
};
use serde_json::Value;

use super::gdbus::group_rule;

const REFUSED: &str = "org.butterdock.Butterdock1.Error.NotAuthorized";
const INVALID: &str = "org.freedesktop.DBus.Error.InvalidArgs";

/// Of a drive, and what tells of all: Forget last, because nothing is left to ask then.
fn rows() -> Vec<&'static Row> {
    let of_drives = |row: &&Row| [DRIVE, DESTINATION].contains(&row.interface) || row.method == "ListBackups";
    let mut rows: Vec<_> = TABLE.iter().filter(of_drives).collect();
    rows.sort_by_key(|row| row.method == "Forget");
    rows
}

fn call(fixture: &DriveFixture, row: &Row, drive: &DriveObject, options: &str) -> Result<Command> {
    let path = if row.interface == MANAGER { ROOT } else { &drive.path };
    let mut command = python("call.py", &fixture.bus)?;
    command.args([path, row.interface, row.method]);
    match row.method {
        "Unlock" | "EnrolEncrypted" => command.arg("h:0"),
        "Restore" => command.args(["s:00000000-0000-0000-0000-000000000001", "s:tank"]),
        "ListFiles" | "OpenFile" => command.args(["s:00000000-0000-0000-0000-000000000001", "y:a"]),
        "RestoreFiles" => command.args(["s:00000000-0000-0000-0000-000000000001", "Y:a"]),
        "FileVersions" => command.arg("y:a"),
        "EstimateDeletion" | "DeleteSnapshots" => command.arg("S:00000000-0000-0000-0000-000000000001"),
        "HoldSnapshot" => command.args(["s:00000000-0000-0000-0000-000000000001", "s:why"]),
        "ReleaseSnapshot" => command.arg("s:00000000-0000-0000-0000-000000000001"),
        "Import" => command.arg("s:tank"),
        "Enrol" | "Forget" | "Mount" | "SafelyRemove" | "Backup" | "Verify" | "ListMounts" | "ListSnapshots"
        | "ListStreams" | "ListBackups" | "Unpin" => &mut command,
        method => bail!("this test does not know how to call {method}: teach it"),
    };
    command.arg(format!("o:{options}"));
    Ok(command)
}

/// The options with which the row needs an action, each set of them.
fn asked_with(row: &Row) -> Vec<String> {
    match row.rule {
        Rule::AnybodyWithout { option, .. } => vec![format!("{{\"{option}\": true}}")],
        Rule::Unless { option, .. } => vec!["{}".to_owned(), format!("{{\"{option}\": true}}")],
        Rule::Anybody | Rule::Action(_) | Rule::Own { .. } | Rule::Starter { .. } => vec!["{}".to_owned()],
    }
}

fn nobody_asks(fixture: &DriveFixture, row: &Row, drive: &DriveObject, options: &str) -> Result<Value> {
    answer(as_nobody(&call(fixture, row, drive, options)?).stdin(File::open("/dev/null")?))
}

fn enrolled() -> Result<(DriveFixture, Disk, DriveObject)> {
    let fixture = DriveFixture::with(Sandbox::new()?, "")?;
    let disk = Disk::attach(&fixture.image("a", "Blue")?)?;
    let drive = fixture.one("the drive", |is| is.filesystem_type == "btrfs")?;
    let drive = fixture.enrol_and_mount(&drive)?;
    Ok((fixture, disk, drive))
}

/// The size and serial that formatting asks for, beside what is asked.
fn confirmed(options: &str, drive: &DriveObject) -> String {
    let more =
        format!("\"format\": true, \"size\": {}, \"serial\": \"{}\"", drive.properties.size, drive.properties.serial);
    options.replace("\"format\": true", &more)
}

#[test]
fn polkit_guards_every_method_of_a_drive() -> Result<()> {
    let (fixture, _disk, drive) = enrolled()?;
    let records = fixture.records()?;
    let denying = Polkit::start(&fixture.sandbox, &fixture.bus, &Rules::Deny)?;
    for row in rows() {
        for options in asked_with(row) {
            let options = confirmed(&options, &drive);
            let said = nobody_asks(&fixture, row, &drive, &options)?;
            let is_free = row.rule == Rule::Anybody;
            ensure!((said["error"] == REFUSED) != is_free, "{} {options}: {said}", row.method);
        }
    }
    drop(denying);
    let now = fixture.one("as it was", |is| is.enrolled)?;
    ensure!(now.properties == drive.properties && fixture.records()? == records, "{now:?}");
    // The same calls, so that a service that refuses everything does not pass.
    let _allowing = Polkit::start(&fixture.sandbox, &fixture.bus, &Rules::Allow)?;
    for row in rows() {
        let options = asked_with(row).into_iter().next().context("one")?;
        let said = nobody_asks(&fixture, row, &drive, &options)?;
        ensure!(said["error"] != REFUSED, "{}: {said}", row.method);
    }
    Ok(())
}

/// What the shipped rule gives to the members of the group, of the actions that are asked for here.
const OF_MEMBERS: &[Action] = &[
    Action::Unlock,
    Action::Mount,
    Action::Backup,
    Action::Estimate,
    Action::SafelyRemove,
    Action::Verify,
    Action::RestoreOwn,
];

/// The action that the row needs with these options; none for all users.
fn action(row: &Row, options: &str) -> Option<Action> {
    match row.rule {
        Rule::Anybody => None,
        Rule::AnybodyWithout { option, with } => options.contains(option).then_some(with),
        Rule::Action(action) => Some(action),
        Rule::Unless { usual, option, with } => Some(if options.contains(option) { with } else { usual }),
        Rule::Own { others, .. } | Rule::Starter { others } => Some(others),
    }
}

#[test]
fn members_use_a_drive_and_only_root_administers_it() -> Result<()> {
    // The user `nobody` calls. It is in the group nogroup, and not in the group root.
    for (group, of_group) in [("nogroup", OF_MEMBERS), ("root", &[][..])] {
        let (fixture, _disk, drive) = enrolled()?;
        let _polkit = Polkit::start(&fixture.sandbox, &fixture.bus, &group_rule(group)?)?;
        for row in rows() {
            for options in asked_with(row) {
                let options = confirmed(&options, &drive);
                let said = nobody_asks(&fixture, row, &drive, &options)?;
                let is_allowed = action(row, &options).is_none_or(|action| of_group.contains(&action));
                ensure!((said["error"] != REFUSED) == is_allowed, "{group}: {} {options}: {said}", row.method);
            }
        }
        for row in rows() {
            let options = confirmed(&asked_with(row)[0], &drive);
            let said = answer(call(&fixture, row, &drive, &options)?.stdin(File::open("/dev/null")?))?;
            ensure!(said["error"] != REFUSED, "root: {}: {said}", row.method);
        }
    }
    Ok(())
}

#[test]
fn every_user_may_list_backups() -> Result<()> {
    let (fixture, _disk, drive) = enrolled()?;
    let row = rows().into_iter().find(|row| row.method == "ListBackups").context("a row")?;
    let said = nobody_asks(&fixture, row, &drive, "{}")?;
    ensure!(said.get("answer").is_some(), "{said}");
    let said = nobody_asks(&fixture, row, &drive, "{\"estimate\": true}")?;
    ensure!(said["error"] == REFUSED, "{said}");
    Ok(())
}

#[test]
fn an_unknown_option_is_named_and_refused() -> Result<()> {
    let (fixture, _disk, drive) = enrolled()?;
    for row in rows() {
        let said = answer(call(&fixture, row, &drive, "{\"no_such\": true}")?.stdin(File::open("/dev/null")?))?;
        ensure!(said["error"] == INVALID, "{}: {said}", row.method);
        ensure!(said["message"].as_str().is_some_and(|text| text.contains("\"no_such\"")), "{}: {said}", row.method);
    }
    let now = fixture.one("as it was", |is| is.enrolled)?;
    ensure!(now.properties == drive.properties, "{now:?}");
    let body = fixture.client.call(ROOT, (MANAGER, "ListHistory"), &no_options())?.body();
    let history: Vec<std::collections::HashMap<String, zbus::OwnedVariant>> = body.deserialize()?;
    ensure!(history.is_empty(), "{history:?}");
    Ok(())
}

/// A caller that passes the end of a pipe that stays open gets an answer at once: nothing is read for a drive that is not
/// locked.
#[test]
fn the_secret_for_an_unlocked_drive_is_not_read() -> Result<()> {
    let (fixture, _disk, drive) = enrolled()?;
    let row = rows().into_iter().find(|row| row.method == "Unlock").context("a row")?;
    let (reader, writer) = std::io::pipe()?;
    let said = answer(call(&fixture, row, &drive, "{}")?.stdin(reader))?;
    drop(writer);
    ensure!(said["message"].as_str().is_some_and(|text| text.contains("the drive is not locked")), "{said}");
    Ok(())
}
