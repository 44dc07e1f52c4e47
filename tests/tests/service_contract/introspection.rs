//! What the live objects say that they have, and what the committed XML says.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::authority::{TABLE, row};
use butterdock_dbus::introspection;
use butterdock_dbus::names::{BUS_NAME, ROOT, interface};
use butterdock_tests::service::{Client, Object, Service, Stalled, objects, tank};
use zbus::{OwnedObjectPath, OwnedVariant};
use zbus_xml::{Annotation, Arg, ArgDirection, Interface, Node, PropertyAccess};

/// A service with a job on it, so that there is an object of every kind.
fn stage() -> Result<(Service, Client, Stalled)> {
    let service = Service::start()?;
    let client = service.client()?;
    let stalled = Stalled::start(&client, "sub")?;
    Ok((service, client, stalled))
}

#[test]
fn the_live_introspection_is_that_of_the_committed_xml() -> Result<()> {
    let (_service, client, stalled) = stage()?;
    let live = objects(&client)?;
    let places = [ROOT.to_owned(), tank(), stalled.job.to_string()];
    for ((text, name), path) in introspection::ALL.into_iter().zip(interface::ALL).zip(places) {
        let node = Node::from_reader(text.as_bytes())?;
        let committed = shape(node.interfaces().first().context("an interface")?);
        let object = live.iter().find(|object| object.path == path).with_context(|| format!("no object {path}"))?;
        let live = shape(object.interface(name).with_context(|| format!("{path} has no {name}"))?);
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
fn no_live_object_has_an_interface_of_ours_that_is_not_committed() -> Result<()> {
    let (_service, client, stalled) = stage()?;
    let mut found = BTreeSet::new();
    for Object { path, node } in objects(&client)? {
        for name in node.interfaces().iter().map(|one| one.name().to_string()).filter(|name| name.starts_with(BUS_NAME))
        {
            found.insert((path.clone(), name));
        }
    }
    let [manager, volume, job, _drive] = interface::ALL.map(str::to_owned);
    let expected = [(ROOT.to_owned(), manager), (tank(), volume), (stalled.job.to_string(), job)];
    ensure!(found == BTreeSet::from(expected), "{found:#?}");
    Ok(())
}

#[test]
fn every_live_method_has_a_row_in_the_table_and_every_row_a_live_method() -> Result<()> {
    let (_service, client, _stalled) = stage()?;
    let mut live = BTreeSet::new();
    for object in objects(&client)? {
        for one in object.node.interfaces().iter().filter(|one| one.name().starts_with(BUS_NAME)) {
            for method in one.methods() {
                ensure!(row(&one.name(), &method.name()).is_some(), "{}.{} has no row", one.name(), method.name());
                live.insert((one.name().to_string(), method.name().to_string()));
            }
        }
    }
    for row in TABLE {
        let method = (row.interface.to_owned(), row.method.to_owned());
        ensure!(live.contains(&method), "{}.{} has a row and is nowhere live", row.interface, row.method);
    }
    Ok(())
}

#[test]
fn the_manager_is_beside_an_object_manager_that_knows_every_object() -> Result<()> {
    let (_service, client, stalled) = stage()?;
    let root = objects(&client)?.into_iter().find(|object| object.path == ROOT).context("the root")?;
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

/// Every member of an interface, one a line, in words that do not depend on the order or on how XML was written.
fn shape(interface: &Interface<'_>) -> BTreeSet<String> {
    let methods = interface.methods().map(|method| {
        let args = method.args().iter().map(|arg| argument(arg, true)).collect::<Vec<_>>().join(", ");
        format!("method {}({args}){}", method.name(), annotations(method.annotations()))
    });
    let signals = interface.signals().map(|signal| {
        let args = signal.args().iter().map(|arg| argument(arg, false)).collect::<Vec<_>>().join(", ");
        format!("signal {}({args}){}", signal.name(), annotations(signal.annotations()))
    });
    let properties = interface.properties().map(|property| {
        let access = match property.access() {
            PropertyAccess::Read => "read",
            PropertyAccess::Write => "write",
            PropertyAccess::ReadWrite => "readwrite",
        };
        format!("property {} {} {access}{}", property.name(), property.ty(), annotations(property.annotations()))
    });
    let whole = interface.annotations().cloned().collect::<Vec<_>>();
    let whole = std::iter::once(format!("interface {}{}", interface.name(), annotations(&whole)));
    methods.chain(signals).chain(properties).chain(whole).collect()
}

fn argument(arg: &Arg<'_>, directed: bool) -> String {
    // What has no direction goes in, and a signal's arguments have but one way.
    let way = match arg.direction() {
        _ if !directed => "",
        Some(ArgDirection::Out) => "out ",
        Some(ArgDirection::In) | None => "in ",
    };
    format!("{way}{} {}", arg.ty(), arg.name().unwrap_or("?"))
}

fn annotations(all: &[Annotation<'_>]) -> String {
    // The specification's default need not be written.
    let default = |one: &&Annotation<'_>| {
        one.name() == "org.freedesktop.DBus.Property.EmitsChangedSignal" && one.value() == "true"
    };
    let mut words: Vec<_> =
        all.iter().filter(|one| !default(one)).map(|one| format!(" {}={}", one.name(), one.value())).collect();
    words.sort();
    words.concat()
}
