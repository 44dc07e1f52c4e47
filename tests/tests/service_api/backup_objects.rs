//! The objects of backups appear and disappear with the configuration.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{BACKUP, MANAGER};
use butterdock_dbus::path::backup_path;
use butterdock_dbus::{BackupProperties, Problem};
use butterdock_tests::{Client, Service, TANK, error_name, no_options};
use zbus::{OwnedObjectPath, OwnedVariant};

fn rule(name: &str, schedule: &str) -> String {
    format!("[[backup]]\nname = {name:?}\nsource = \"/nonexistent\"\ndrives = []\nschedule = {schedule:?}\n")
}

/// The backups that the object manager lists.
fn listed(client: &Client) -> Result<Vec<BackupProperties>> {
    type Managed = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>>;
    let answer = client.call(ROOT, ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"), &())?;
    let body = answer.body();
    let managed: Managed = body.deserialize()?;
    let mut found = Vec::new();
    for properties in managed.values().filter_map(|interfaces| interfaces.get(BACKUP)) {
        let mut backup = BackupProperties::default();
        for (name, value) in properties {
            backup.set(name, value)?;
        }
        found.push(backup);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[test]
fn backup_objects_follow_a_reload() -> Result<()> {
    let service = Service::with(&[TANK], &rule("home", "on-plug"))?;
    let client = service.client()?;
    let home = listed(&client)?;
    let [home] = home.as_slice() else { anyhow::bail!("{home:?}") };
    ensure!(home.name == "home" && home.enabled && home.schedule == ["on-plug"] && !home.due, "{home:?}");
    let problems: Vec<Problem> = client.get(backup_path("home").as_str(), BACKUP, "Problems")?;
    ensure!(
        problems == home.problems && problems.first().is_some_and(|problem| problem.code == "no-drive"),
        "{home:?}"
    );
    let refused =
        client.call(backup_path("home").as_str(), (BACKUP, "Run"), &no_options()).err().context("no drive")?;
    ensure!(error_name(&refused).ends_with(".NotFound"), "{refused}");
    let before = fs::read_to_string(service.configuration())?;
    let (first, rest) = before.split_once("[[volume]]").context("a volume")?;
    ensure!(first.contains("home"), "{first}");
    fs::write(service.configuration(), format!("{}\n[[volume]]{rest}", rule("my photos", "manual")))?;
    client.call(ROOT, (MANAGER, "Reload"), &no_options())?;
    // A client that has the answer finds the new objects.
    let names: Vec<_> = listed(&client)?.into_iter().map(|backup| (backup.name, backup.schedule)).collect();
    ensure!(names == [("my photos".to_owned(), vec!["manual".to_owned()])], "{names:?}");
    let gone = client.get::<bool>(backup_path("home").as_str(), BACKUP, "Due").err().context("it is gone")?;
    ensure!(format!("{gone:#}").contains("UnknownObject"), "{gone:#}");
    Ok(())
}
