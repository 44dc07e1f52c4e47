//! The files in a drive's folder that may hold streams, opened.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd;

use butterdock_btrfs::{Error as Fault, directory};
use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat, openat};

/// More than this are not looked at: each takes a descriptor.
const MOST: usize = 1000;
/// How their names end.
const ENDINGS: [&[u8]; 2] = [b".btrfs", b".send"];

/// The files, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub all: Vec<Opened>,
    /// How many more there are than can be looked at.
    pub left_out: usize,
}

/// A file, open at its beginning.
#[derive(Debug)]
pub(crate) struct Opened {
    pub name: Vec<u8>,
    pub size: u64,
    pub file: File,
}

/// Opens what lies in `folder` itself and is a file; links lead nowhere.
///
/// # Errors
/// The folder cannot be read. A file that cannot be opened is left out.
pub(crate) fn open(folder: impl AsFd) -> Result<Files, Fault> {
    let mut names = directory::entries_where(&folder, |name| is_one(name.to_bytes()))?;
    names.sort();
    let left_out = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    Ok(Files { all: names.iter().filter_map(|name| opened(folder.as_fd(), name)).collect(), left_out })
}

fn is_one(name: &[u8]) -> bool {
    !name.starts_with(b".") && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn opened(folder: impl AsFd, name: &CString) -> Option<Opened> {
    // A fifo of this name must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(folder, name.as_c_str(), flags, Mode::empty()).ok()?;
    let facts = fstat(&file).ok()?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return None;
    }
    fcntl_setfl(&file, OFlags::empty()).ok()?;
    let size = u64::try_from(facts.st_size).unwrap_or_default();
    Some(Opened { name: name.to_bytes().to_vec(), size, file: File::from(file) })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_of_these_names_are_opened_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["b.send", "a.btrfs", ".hidden.send", "c.txt", "sendmail"] {
            fs::write(at(name), name).expect("written");
        }
        fs::create_dir(at("folder.send")).expect("made");
        symlink("/etc/passwd", at("link.send")).expect("linked");
        nix::unistd::mkfifo(&at("pipe.send"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        let files = open(File::open(folder.path()).expect("opened")).expect("listed");
        let names: Vec<_> = files.all.iter().map(|one| (one.name.as_slice(), one.size)).collect();
        assert_eq!(names, [(&b"a.btrfs"[..], 7), (b"b.send", 6)]);
        assert_eq!(files.left_out, 0);
    }
}
