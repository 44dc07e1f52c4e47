//! Lists a directory in pages, and looks for one path in several snapshots.

use std::collections::BinaryHeap;
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use butterdock_btrfs::file::{self};
use butterdock_btrfs::names;
use butterdock_receive::{Control, StreamPath};

use super::cause::{FileCause, FileError, reading};
use super::tree::{Tree, open_directory};
use super::{FileEvent, FileRow, MOST_BYTES, MOST_ROWS};
use crate::backups::Identity;

/// A directory to be listed.
#[derive(Debug)]
pub(super) struct List<'l> {
    pub tree: Tree<'l>,
    pub path: &'l StreamPath,
    /// Only names after this one.
    pub after: Option<&'l [u8]>,
    pub limit: u32,
}

impl List<'_> {
    /// Reports the names in the order of their bytes. A path that is no directory is the only row. A page of a large directory
    /// reads all names and keeps those of the page.
    pub(super) fn run(&self, report: &dyn Fn(FileEvent)) -> Result<(), FileError> {
        let path = self.path.as_bytes();
        let (parent, stat) = self.tree.find(self.path).map_err(reading(path))?;
        if !stat.is_dir() {
            report(FileEvent::Row(FileRow::of(&parent, self.path.name(), &stat).map_err(reading(path))?));
            report(FileEvent::Listed { more: false });
            return Ok(());
        }
        let name = if self.path.is_root() { c"." } else { self.path.name() };
        let directory = open_directory(&parent, name).map_err(reading(path))?;
        let (found, mut more) = self.page(&directory).map_err(reading(path))?;
        let mut bytes = 0_usize;
        for name in found {
            let whole = [path, b"/", name.to_bytes()].concat();
            let stat = file::stat_at(&directory, &name).map_err(reading(&whole))?;
            let row = FileRow::of(&directory, &name, &stat).map_err(reading(&whole))?;
            let size = row.name.len().saturating_add(row.target.as_ref().map_or(0, Vec::len));
            bytes = bytes.saturating_add(size);
            if bytes > MOST_BYTES {
                more = true;
                break;
            }
            report(FileEvent::Row(row));
        }
        report(FileEvent::Listed { more });
        Ok(())
    }

    /// The first names after the given one, and whether there are more.
    fn page(&self, directory: impl std::os::fd::AsFd) -> Result<(Vec<CString>, bool), butterdock_btrfs::Error> {
        let limit = usize::try_from(self.limit.clamp(1, MOST_ROWS)).unwrap_or(1);
        // The largest name is on top, and is the first to be dropped.
        let mut first: BinaryHeap<CString> = BinaryHeap::with_capacity(limit.saturating_add(1));
        names::entries_where(directory, |name| {
            let is_after = self.after.is_none_or(|after| name.to_bytes() > after);
            if is_after && (first.len() <= limit || first.peek().is_some_and(|last| name < last.as_c_str())) {
                first.push(name.to_owned());
                if first.len() > limit.saturating_add(1) {
                    first.pop();
                }
            }
            false
        })?;
        let mut found = first.into_sorted_vec();
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }
}

/// A path, and the snapshots that may have it.
#[derive(Debug)]
pub(super) struct Versions<'v> {
    pub snapshots: &'v [(Identity, OwnedFd)],
    pub path: &'v StreamPath,
}

impl Versions<'_> {
    /// Reports the snapshots in which the path exists and the user may look at it.
    pub(super) fn run(&self, control: &Control, report: &dyn Fn(FileEvent)) -> Result<(), FileError> {
        let (mut found, mut denied) = (false, None);
        for (snapshot, root) in self.snapshots {
            if control.is_cancelled() {
                return Err(FileError::cancelled());
            }
            match self.look(root) {
                Ok(row) => {
                    found = true;
                    report(FileEvent::Version { snapshot: *snapshot, row });
                }
                Err(error) if error.is_denied() => denied = Some(error),
                // In other snapshots it may be there, or a directory in place of a link.
                Err(FileError { cause: Some(FileCause::NotFound | FileCause::Outside), .. }) => {}
                Err(error) => return Err(error),
            }
        }
        match denied {
            Some(error) if !found => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    fn look(&self, root: &OwnedFd) -> Result<FileRow, FileError> {
        let path = self.path.as_bytes();
        let tree = Tree::new(root.as_fd()).map_err(reading(path))?;
        let (parent, stat) = tree.find(self.path).map_err(reading(path))?;
        FileRow::of(&parent, self.path.name(), &stat).map_err(reading(path))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::files::FileKind;

    fn list(root: &File, path: &[u8], after: Option<&[u8]>, limit: u32) -> Result<(Vec<FileRow>, bool), FileError> {
        let path = StreamPath::new(path).expect("a path");
        let events = RefCell::new(Vec::new());
        let tree = Tree::new(root.as_fd()).expect("a tree");
        List { tree, path: &path, after, limit }.run(&|event| events.borrow_mut().push(event))?;
        let (mut rows, mut more) = (Vec::new(), None);
        for event in events.into_inner() {
            match event {
                FileEvent::Row(row) => rows.push(row),
                FileEvent::Listed { more: is_more } => more = Some(is_more),
                other @ (FileEvent::Version { .. } | FileEvent::Total { .. } | FileEvent::Restored(_)) => {
                    panic!("{other:?}")
                }
            }
        }
        Ok((rows, more.expect("an end")))
    }

    #[test]
    fn pages_have_all_names_once_in_the_order_of_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let names: [&[u8]; 7] = [b"\xff", b"a", b"a\nb", b"B", b" ", b"-rf", "é".as_bytes()];
        for name in names {
            fs::write(folder.path().join(std::ffi::OsStr::from_bytes(name)), name).expect("written");
        }
        let root = File::open(folder.path()).expect("opened");
        for limit in [1, 2, 3, 7, 100] {
            let (mut seen, mut after) = (Vec::new(), None::<Vec<u8>>);
            loop {
                let (rows, more) = list(&root, b"", after.as_deref(), limit).expect("listed");
                assert!(rows.len() <= limit as usize && (!rows.is_empty() || !more));
                seen.extend(rows.into_iter().map(|row| row.name));
                after = seen.last().cloned();
                if !more {
                    break;
                }
            }
            let mut sorted = names.map(<[u8]>::to_vec);
            sorted.sort();
            assert_eq!(seen, sorted, "pages of {limit}");
        }
    }

    #[test]
    fn links_are_shown_and_lead_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inside")).expect("made");
        fs::write(at("inside/file"), "12345").expect("written");
        symlink("/etc", at("inside/link")).expect("linked");
        nix::unistd::mkfifo(&at("inside/pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        let root = File::open(at("inside")).expect("opened");
        let (rows, _) = list(&root, b"", None, 10).expect("listed");
        let kinds: Vec<FileKind> = rows.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, [FileKind::File, FileKind::Symlink, FileKind::Fifo]);
        assert_eq!((rows[0].size, rows[1].target.as_deref()), (5, Some(&b"/etc"[..])));
        let (rows, _) = list(&root, b"link", None, 10).expect("listed");
        assert_eq!((rows.len(), rows[0].kind), (1, FileKind::Symlink), "the link itself");
        for path in [&b"link/passwd"[..], b"file/x", b"pipe/x"] {
            let error = list(&root, path, None, 10).expect_err("refused");
            assert_eq!(error.cause, Some(FileCause::Outside), "{}", path.escape_ascii());
        }
        assert_eq!(list(&root, b"gone", None, 1).expect_err("missing").cause, Some(FileCause::NotFound));
    }

    #[test]
    fn a_page_is_bounded_in_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..300 {
            symlink("x".repeat(4000), folder.path().join(format!("{number:03}"))).expect("linked");
        }
        let root = File::open(folder.path()).expect("opened");
        let (rows, more) = list(&root, b"", None, 1000).expect("listed");
        assert!(more && (200..300).contains(&rows.len()), "{}", rows.len());
        let (rest, more) = list(&root, b"", rows.last().map(|row| row.name.as_slice()), 1000).expect("listed");
        assert_eq!((rows.len() + rest.len(), more), (300, false));
    }
}
