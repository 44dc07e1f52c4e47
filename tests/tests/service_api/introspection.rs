//! Compares the introspection of live objects with the committed XML and with the man page of the interface.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::authority::{TABLE, row};
use butterdock_dbus::introspection;
use butterdock_dbus::names::{BUS_NAME, ROOT, interface};
use butterdock_dbus::path::backup_path;
use butterdock_tests::{
    Client, HOME, Object, Service, Stalled, TANK, butterdockd, introspected_objects, members, tank,
};
use zbus::{OwnedObjectPath, OwnedVariant};
use zbus_xml::Node;

/// A service with a job and a backup on it, so that there is an object of every kind but a drive.
fn fixture() -> Result<(Service, Client, Stalled)> {
    let service = Service::with(&[TANK], HOME)?;
    let client = service.client()?;
    let stalled = Stalled::start(&client, "sub")?;
    Ok((service, client, stalled))
}

#[test]
fn the_live_introspection_is_that_of_the_committed_xml() -> Result<()> {
    let (_service, client, stalled) = fixture()?;
    let live = introspected_objects(&client)?;
    let places = [ROOT.to_owned(), tank(), stalled.job.to_string(), backup_path("home").to_string()];
    for ((text, name), path) in introspection::ALL.into_iter().zip(interface::ALL).zip(places) {
        let node = Node::from_reader(text.as_bytes())?;
        let committed = members(node.interfaces().first().context("an interface")?);
        let object = live.iter().find(|object| object.path == path).with_context(|| format!("no object {path}"))?;
        let live = members(object.interface(name).with_context(|| format!("{path} has no {name}"))?);
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        ensure!(
            live == committed,
            "{name}\nonly live: {:#?}\nonly in the XML: {:#?}",
            only(&live, &committed),
            only(&committed, &live)
        );
    }
    Ok(())
}

#[test]
fn live_objects_have_only_committed_interfaces() -> Result<()> {
    let (_service, client, stalled) = fixture()?;
    let mut found = BTreeSet::new();
    for Object { path, node } in introspected_objects(&client)? {
        for name in node.interfaces().iter().map(|one| one.name().to_string()).filter(|name| name.starts_with(BUS_NAME))
        {
            found.insert((path.clone(), name));
        }
    }
    let [manager, volume, job, backup, _drive, _destination] = interface::ALL.map(str::to_owned);
    let home = backup_path("home").to_string();
    let expected = [(ROOT.to_owned(), manager), (tank(), volume), (stalled.job.to_string(), job), (home, backup)];
    ensure!(found == BTreeSet::from(expected), "{found:#?}");
    Ok(())
}

#[test]
fn live_methods_match_the_authority_table() -> Result<()> {
    let (_service, client, _stalled) = fixture()?;
    let mut live = BTreeSet::new();
    for object in introspected_objects(&client)? {
        for one in object.node.interfaces().iter().filter(|one| one.name().starts_with(BUS_NAME)) {
            for method in one.methods() {
                ensure!(row(&one.name(), &method.name()).is_some(), "{}.{} has no row", one.name(), method.name());
                live.insert((one.name().to_string(), method.name().to_string()));
            }
        }
    }
    // There is no drive here; the tests of the drives look at one.
    let absent = [interface::DRIVE, interface::DESTINATION];
    for row in TABLE.iter().filter(|row| !absent.contains(&row.interface)) {
        let method = (row.interface.to_owned(), row.method.to_owned());
        ensure!(live.contains(&method), "{}.{} has a row and is nowhere live", row.interface, row.method);
    }
    Ok(())
}

#[test]
fn the_object_manager_lists_every_object() -> Result<()> {
    let (_service, client, stalled) = fixture()?;
    let root = introspected_objects(&client)?.into_iter().find(|object| object.path == ROOT).context("the root")?;
    let standard = "org.freedesktop.DBus.ObjectManager";
    ensure!(root.interface(standard).is_some(), "the root has no {standard}");
    let answer = client.call(ROOT, (standard, "GetManagedObjects"), &())?;
    let body = answer.body();
    let managed: Managed = body.deserialize()?;
    for path in [tank(), stalled.job.to_string()] {
        ensure!(managed.keys().any(|known| known.as_str() == path), "{path} is not among {:?}", managed.keys());
    }
    Ok(())
}

type Managed = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>>;

#[test]
fn the_built_page_shows_every_live_member() -> Result<()> {
    let program = butterdockd()?;
    let built = program.parent().context("a folder")?.join(format!("share/man/man5/{BUS_NAME}.5"));
    let page = fs::read_to_string(&built).with_context(|| built.display().to_string())?;
    // As a reader sees it: without fonts and escapes.
    let page = page.replace(r"\fB", "").replace(r"\fI", "").replace(r"\fR", "").replace(r"\-", "-");
    let service = Service::with(&[TANK], HOME)?;
    let client = service.client()?;
    let _stalled = Stalled::start(&client, "sub")?;
    let mut seen = 0;
    for object in introspected_objects(&client)? {
        for interface in object.node.interfaces().iter().filter(|one| one.name().starts_with(BUS_NAME)) {
            let has = |line: &str| page.lines().any(|shown| shown == line);
            ensure!(has(&format!(".SH \"THE INTERFACE {}\"", interface.name())), "{}", interface.name());
            for method in interface.methods() {
                ensure!(page.lines().any(|line| line.starts_with(&format!("{}(", method.name()))), "{}", method.name());
            }
            for signal in interface.signals() {
                ensure!(page.lines().any(|line| line.starts_with(&format!("{}(", signal.name()))), "{}", signal.name());
            }
            for property in interface.properties() {
                let line = format!("{} {}", property.name(), property.ty());
                ensure!(has(&line), "the page lacks {line}");
                seen += 1;
            }
        }
    }
    ensure!(seen > 20, "only {seen} properties were live");
    Ok(())
}
