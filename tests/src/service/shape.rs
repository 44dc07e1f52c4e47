//! An interface in words.

use std::collections::BTreeSet;

use zbus_xml::{Annotation, Arg, ArgDirection, Interface, PropertyAccess};

/// Every member of an interface, one a line, in words that do not depend on the order or on how XML was written.
#[must_use]
pub fn shape(interface: &Interface<'_>) -> BTreeSet<String> {
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
