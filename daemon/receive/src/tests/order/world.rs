//! The state of the subvolume after the generated commands, from which the generator chooses existing files.

use std::collections::BTreeMap;

use crate::tests::order::command::What;

/// The names and their inodes.
#[derive(Debug, Clone)]
pub(crate) struct World {
    /// By path; the root has the empty path.
    names: BTreeMap<String, usize>,
    nodes: Vec<InodeState>,
    made: u64,
}

/// The state of an inode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InodeState {
    pub(crate) what: What,
    pub(crate) size: u64,
    /// Written in place, without checksums.
    pub(crate) nocow: bool,
    /// Has a compression property, or a compression flag.
    pub(crate) compression: bool,
    /// Is immutable or append-only at the end.
    pub(crate) refusing: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = InodeState { what: What::Directory, size: 0, nocow: false, compression: false, refusing: false };
        Self { names: BTreeMap::from([(String::new(), 0)]), nodes: vec![root], made: 256 }
    }

    /// A temporary name of the sender's form.
    pub(crate) fn temporary(&mut self) -> String {
        self.made += 1;
        format!("o{}-{}-0", self.made, self.made % 9)
    }

    /// A free name in an existing directory.
    pub(crate) fn free(&mut self, dice: u16) -> String {
        let directory = self.pick(dice, |known| known.what == What::Directory).unwrap_or_default();
        self.made += 1;
        join(&directory, &format!("n{}", self.made))
    }

    pub(crate) fn known(&mut self, path: &str) -> &mut InodeState {
        let node = self.names[path];
        &mut self.nodes[node]
    }

    /// A path whose inode fits, the root's too.
    pub(crate) fn pick(&self, dice: u16, fits: impl Fn(&InodeState) -> bool) -> Option<String> {
        self.pick_path(dice, |_, known| fits(known))
    }

    pub(crate) fn pick_path(&self, dice: u16, fits: impl Fn(&str, &InodeState) -> bool) -> Option<String> {
        let fitting: Vec<_> = self.names.iter().filter(|(path, node)| fits(path, &self.nodes[**node])).collect();
        let (path, _) = fitting.get(usize::from(dice) % fitting.len().max(1))?;
        Some((*path).clone())
    }

    /// A directory below the root that is empty, or not empty.
    pub(crate) fn directory(&self, dice: u16, empty: bool) -> Option<String> {
        self.pick_path(dice, |path, known| {
            known.what == What::Directory && !path.is_empty() && self.is_empty(path) == empty
        })
    }

    pub(crate) fn is_empty(&self, path: &str) -> bool {
        !self.names.keys().any(|name| name.len() > path.len() && within(name, path))
    }

    pub(crate) fn same(&self, a: &str, b: &str) -> bool {
        self.names.get(a).is_some_and(|node| self.names.get(b) == Some(node))
    }

    pub(crate) fn make(&mut self, path: &str, what: What) {
        let parent = self.names[path.rsplit_once('/').map_or("", |(parent, _)| parent)];
        let InodeState { nocow, compression, .. } = self.nodes[parent];
        self.nodes.push(InodeState { what, size: 0, nocow, compression, refusing: false });
        self.names.insert(path.to_owned(), self.nodes.len() - 1);
    }

    pub(crate) fn link(&mut self, path: &str, existing: &str) {
        self.names.insert(path.to_owned(), self.names[existing]);
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.names.remove(path);
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let moved: Vec<String> = self.names.keys().filter(|name| within(name, from)).cloned().collect();
        self.names.remove(to);
        for name in moved {
            if let Some(node) = self.names.remove(&name) {
                self.names.insert(format!("{to}{}", &name[from.len()..]), node);
            }
        }
    }
}

pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// Whether `path` is `other` or lies below it.
pub(crate) fn within(path: &str, other: &str) -> bool {
    other.is_empty() || path == other || path.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'))
}
