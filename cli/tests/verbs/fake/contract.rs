//! The interfaces of the committed XML.

use std::collections::HashMap;

use butterdock_dbus::{Problem, introspection};
use zbus::wire::Signature;
use zbus::{ObjectPath, OwnedVariant, Variant};
use zbus_xml::{Arg, ArgDirection, Interface, Node};

/// The properties of one interface.
pub(crate) type Properties = HashMap<String, OwnedVariant>;

/// The XML of an interface; it is all that an object of the fake service says about itself.
pub(crate) fn xml(interface: &str) -> &'static str {
    let of = |text: &&str| text.contains(&format!("<interface name=\"{interface}\">"));
    introspection::ALL.into_iter().find(of).unwrap_or_else(|| panic!("no XML of {interface}"))
}

fn read(name: &str) -> Interface<'static> {
    let node = Node::from_reader(xml(name).as_bytes()).expect("valid XML");
    node.interfaces().first().expect("an interface").to_owned()
}

/// The signatures of the arguments and of the reply of a method; none if the interface does not have it.
pub(crate) fn method(interface: &str, member: &str) -> Option<(String, String)> {
    let interface = read(interface);
    let method = interface.methods().find(|method| method.name().as_str() == member)?;
    let out = |arg: &&Arg<'_>| arg.direction() == Some(ArgDirection::Out);
    let (out, given): (Vec<_>, Vec<_>) = method.args().iter().partition(out);
    let signature = |args: Vec<&Arg<'_>>| args.iter().map(|arg| arg.ty().to_string()).collect();
    Some((signature(given), signature(out)))
}

/// Every property of the interface: those given, and empty ones.
pub(crate) fn properties(interface: &str, given: &[(&str, Variant<'static>)]) -> Properties {
    let mut all: Properties = read(interface)
        .properties()
        .map(|property| (property.name().to_string(), empty(property.ty()).try_into().expect("owned")))
        .collect();
    change(&mut all, given);
    all
}

/// Sets properties, each to a value of its type.
pub(crate) fn change(all: &mut Properties, given: &[(&str, Variant<'static>)]) {
    for (name, value) in given {
        let now = all.get_mut(*name).unwrap_or_else(|| panic!("no property {name}"));
        assert_eq!(now.value_signature(), value.value_signature(), "{name}");
        *now = value.try_into().expect("owned");
    }
}

fn empty(of: &Signature) -> Variant<'static> {
    match of.to_string().as_str() {
        "b" => false.into(),
        "d" => 0.0.into(),
        "u" => 0_u32.into(),
        "t" => 0_u64.into(),
        "s" => "".into(),
        "as" => Vec::<String>::new().into(),
        "a{sv}" => HashMap::<String, Variant<'_>>::new().into(),
        "aa{sv}" => Vec::<HashMap<String, Variant<'_>>>::new().into(),
        "a(sst)" => Vec::<(String, String, u64)>::new().into(),
        "a(sa{sv}s)" => Vec::<Problem>::new().into(),
        "o" => ObjectPath::from_static_str_unchecked("/").into(),
        "ao" => Vec::<ObjectPath<'_>>::new().into(),
        "a{ot}" => HashMap::<ObjectPath<'_>, u64>::new().into(),
        other => panic!("no property has had the type {other} so far"),
    }
}
