//! The live introspection of all objects.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use zbus_xml::{Annotation, Arg, ArgDirection, Interface, Node, PropertyAccess};

use crate::Client;

/// An object of the service's.
#[derive(Debug)]
pub struct Object {
    /// Its path.
    pub path: String,
    /// What it says that it has.
    pub node: Node<'static>,
}

/// Walks from the root of all paths to every object.
///
/// # Errors
/// When one cannot be introspected.
pub fn introspected_objects(client: &Client) -> Result<Vec<Object>> {
    let mut found = Vec::new();
    let mut paths = vec!["/".to_owned()];
    while let Some(path) = paths.pop() {
        let text = client.introspect(&path)?;
        let node = Node::from_reader(text.as_bytes()).with_context(|| format!("the introspection of {path}"))?;
        let parent = path.trim_end_matches('/');
        for child in node.nodes() {
            paths.push(format!("{parent}/{}", child.name().context("a child without a name")?));
        }
        if !node.interfaces().is_empty() {
            found.push(Object { path, node });
        }
    }
    Ok(found)
}

impl Object {
    /// One of its interfaces.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<&Interface<'static>> {
        self.node.interfaces().iter().find(|interface| interface.name().as_str() == name)
    }
}

/// Every member of an interface, one a line, in words that do not depend on the order or on how XML was written.
#[must_use]
pub fn members(interface: &Interface<'_>) -> BTreeSet<String> {
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
