//! The methods to call, from the live introspection.

use anyhow::{Context as _, Result};
use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_tests::Client;
use zbus::fdo::IntrospectableProxy;
use zbus_xml::{ArgDirection, Node};

/// A method of an object.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    pub(crate) path: String,
    pub(crate) interface: String,
    pub(crate) name: String,
    /// The names of its arguments, and their types.
    pub(crate) arguments: Vec<(String, String)>,
}

/// Every method of every object below the service's root.
pub(crate) fn walk(client: &Client) -> Result<Vec<Method>> {
    let mut methods = Vec::new();
    let mut paths = vec![ROOT.to_owned()];
    while let Some(path) = paths.pop() {
        let xml = client.block_on(async {
            let object = IntrospectableProxy::builder(client.connection())
                .destination(BUS_NAME)
                .path(path.as_str())
                .build()
                .await?;
            object.introspect().await
        });
        // A job may be forgotten meanwhile.
        let Ok(xml) = xml else { continue };
        let node = Node::from_reader(xml.as_bytes()).with_context(|| format!("the introspection of {path}: {xml}"))?;
        read(&path, &node, &mut methods, &mut paths)?;
    }
    Ok(methods)
}

/// What a node says of itself and of what is below it; where it says nothing, that is asked in its turn.
fn read(path: &str, node: &Node<'_>, methods: &mut Vec<Method>, unasked: &mut Vec<String>) -> Result<()> {
    for child in node.nodes() {
        let path = format!("{path}/{}", child.name().context("a child without a name")?);
        if child.interfaces().is_empty() && child.nodes().is_empty() {
            unasked.push(path);
        } else {
            read(&path, child, methods, unasked)?;
        }
    }
    for interface in node.interfaces() {
        for method in interface.methods() {
            let inward = |arg: &&zbus_xml::Arg<'_>| arg.direction() != Some(ArgDirection::Out);
            let named = |arg: &zbus_xml::Arg<'_>| (arg.name().unwrap_or_default().to_owned(), arg.ty().to_string());
            methods.push(Method {
                path: path.to_owned(),
                interface: interface.name().to_string(),
                name: method.name().to_string(),
                arguments: method.args().iter().filter(inward).map(named).collect(),
            });
        }
    }
    Ok(())
}
