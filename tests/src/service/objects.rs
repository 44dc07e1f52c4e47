//! What is on the bus now, read from the live introspection.

use anyhow::{Context as _, Result};
use zbus_xml::{Interface, Node};

use super::Client;

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
pub fn objects(client: &Client) -> Result<Vec<Object>> {
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
