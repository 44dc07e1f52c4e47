//! The files with several names that were restored, so that their other names become links again.

use std::collections::HashMap;

/// More such files are not remembered: their other names become files of their own.
const MOST: usize = 100_000;

/// The restored files with several names, by their inode in the snapshot.
#[derive(Debug, Default)]
pub(super) struct Links {
    known: HashMap<u64, Link>,
    /// Those in the work folder.
    unpublished: Vec<u64>,
}

/// One name of a restored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// The path of its directory, from the target's root.
    pub directory: Vec<u8>,
    /// Its name there.
    pub name: Vec<u8>,
    /// Its inode there.
    pub ino: u64,
}

impl Links {
    /// A name of the restored file.
    pub(super) fn get(&self, ino: u64) -> Option<&Link> {
        self.known.get(&ino)
    }

    /// A file was made in the work folder.
    pub(super) fn add(&mut self, ino: u64, link: Link) {
        if self.known.len() < MOST {
            self.known.insert(ino, link);
            self.unpublished.push(ino);
        }
    }

    /// What was at `from` has its final path, `to`.
    pub(super) fn published(&mut self, from: (&[u8], &[u8]), to: (&[u8], &[u8])) {
        let (old, new) = (super::join(from.0, from.1), super::join(to.0, to.1));
        for ino in self.unpublished.drain(..) {
            let Some(link) = self.known.get_mut(&ino) else { continue };
            if (link.directory.as_slice(), link.name.as_slice()) == from {
                (link.directory, link.name) = (to.0.to_vec(), to.1.to_vec());
            } else if let Some(rest) = link.directory.strip_prefix(old.as_slice()) {
                link.directory = [&new, rest].concat();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(directory: &[u8], name: &[u8]) -> Link {
        Link { directory: directory.to_vec(), name: name.to_vec(), ino: 7 }
    }

    #[test]
    fn a_published_path_takes_its_links_along() {
        let mut links = Links::default();
        links.add(1, link(b"a/.work/dir/sub", b"x"));
        links.add(2, link(b"a/.work", b"dir"));
        links.published((b"a/.work", b"dir"), (b"a", b"dir.restored-2026-11-28"));
        assert_eq!(links.get(1), Some(&link(b"a/dir.restored-2026-11-28/sub", b"x")));
        assert_eq!(links.get(2), Some(&link(b"a", b"dir.restored-2026-11-28")));
        links.add(3, link(b"other", b"y"));
        links.published((b"a/.work", b"dir"), (b"a", b"dir"));
        assert_eq!(links.get(3), Some(&link(b"other", b"y")), "another directory");
    }
}
