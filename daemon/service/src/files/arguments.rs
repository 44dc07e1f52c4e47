//! The arguments of requests about files.

use butterdock_receive::StreamPath;
use butterdock_worker::files::{FilePath, MOST_PATHS, SELECTION_MAX};
use uuid::Uuid;

use crate::backups::Identity;
use crate::types::{Error, ErrorCode};

/// The longest name of a file.
const LONGEST_NAME: usize = 255;

pub(super) fn identity(snapshot: &str) -> Result<Identity, Error> {
    Uuid::try_parse(snapshot).map(|uuid| Identity(uuid.into_bytes())).map_err(|_other| no_snapshot())
}

pub(super) fn no_snapshot() -> Error {
    let text =
        "there is no such snapshot there; a snapshot is named by its uuid, and butterdock ls lists the snapshots";
    Error::new(ErrorCode::NotFound, text)
}

/// A read-only subvolume that no record names as a snapshot of a backup.
pub(super) fn not_of_a_backup() -> Error {
    let text = "the subvolume is not on record as a snapshot of a backup; root can read it where it is mounted";
    Error::new(ErrorCode::NotAuthorized, text)
}

/// A path from the root of a snapshot; empty for the root.
pub(super) fn checked(path: Vec<u8>) -> Result<FilePath, Error> {
    match StreamPath::new(&path) {
        Ok(_) => Ok(FilePath(path)),
        Err(why) => Err(Error::InvalidArgs(format!(
            "a path is relative to the root of the snapshot, without empty parts, \".\" and \"..\": {why}"
        ))),
    }
}

/// The selected paths.
pub(super) fn selection(paths: Vec<Vec<u8>>) -> Result<Vec<FilePath>, Error> {
    let length: usize = paths.iter().map(Vec::len).sum();
    let refused = |text: String| Err(Error::InvalidArgs(text));
    if paths.is_empty() {
        return refused("no path is given; name the files to restore".to_owned());
    }
    if paths.len() > MOST_PATHS || length > SELECTION_MAX {
        return refused(format!(
            "up to {MOST_PATHS} paths with {SELECTION_MAX} bytes can be restored at a time; name the directory that they are in"
        ));
    }
    if paths.iter().any(Vec::is_empty) {
        let text = "the root of a snapshot is no file in it; restore the whole snapshot into a volume, or name files or directories";
        return refused(text.to_owned());
    }
    paths.into_iter().map(checked).collect()
}

/// The name of a new folder in a volume.
pub(super) fn folder_name(name: Vec<u8>) -> Result<Vec<u8>, Error> {
    let is_name = !name.is_empty() && !name.starts_with(b".") && !name.contains(&b'/') && name.len() <= LONGEST_NAME;
    if is_name && !name.contains(&0) {
        return Ok(name);
    }
    let text = "the option folder is one name of up to 255 bytes that does not begin with a dot";
    Err(Error::InvalidArgs(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_could_lead_outside_are_refused() {
        for path in [&b"/etc"[..], b"..", b"a/../b", b"a//b", b"a/", b"a\0b", &[b'x'; 300], b"./a"] {
            assert!(matches!(checked(path.to_vec()), Err(Error::InvalidArgs(_))), "{}", path.escape_ascii());
        }
        assert_eq!(checked(b"a\n\xff/b".to_vec()), Ok(FilePath(b"a\n\xff/b".to_vec())));
        assert!(selection(Vec::new()).is_err() && selection(vec![Vec::new()]).is_err());
        assert!(selection(vec![b"a".to_vec(); MOST_PATHS + 1]).is_err());
        assert!(selection(vec![vec![b'x'; 200]; SELECTION_MAX / 200 + 1]).is_err());
        for name in [&b""[..], b".", b"..", b"a/b", b".hidden", b"a\0"] {
            assert!(folder_name(name.to_vec()).is_err(), "{}", name.escape_ascii());
        }
    }
}
