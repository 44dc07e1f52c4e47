//! Object paths of volumes, drives, destinations, backups and jobs: built from a name or an id, and parsed.
//!
//! A path element contains only ASCII letters, digits and `_`. A volume's name is encoded as systemd encodes names
//! (`sd_bus_path_encode`): every other byte, `_`, and a digit at the beginning become `_` and two hex digits; an empty name
//! becomes `_`. The ids of drives and destinations and the names of backups are encoded in the same way. A job's id is a UUID with
//! `_` in place of `-`.

use uuid::Uuid;
use zbus::{ObjectPath, OwnedObjectPath};

use crate::names::{BACKUPS, DESTINATIONS, DRIVES, JOBS, VOLUMES};

/// The value of a path property that names no object.
pub const NONE: &str = "/";

/// The path of the volume with this configured name.
#[must_use]
pub fn volume_path(name: &str) -> OwnedObjectPath {
    path(format!("{VOLUMES}{}", encode(name)))
}

/// The name of the volume at this path; `None` if it is not the path of a volume.
#[must_use]
pub fn volume_name(path: &str) -> Option<String> {
    decode(path.strip_prefix(VOLUMES)?)
}

/// The path of the drive with this id.
#[must_use]
pub fn drive_path(id: &str) -> OwnedObjectPath {
    path(format!("{DRIVES}{}", encode(id)))
}

/// The id of the drive at this path; `None` if it is not the path of a drive.
#[must_use]
pub fn drive_id(path: &str) -> Option<String> {
    decode(path.strip_prefix(DRIVES)?)
}

/// The path of the destination with this id, which is no drive. The destination of an enrolled drive is at its
/// [`drive_path`].
#[must_use]
pub fn destination_path(id: &str) -> OwnedObjectPath {
    path(format!("{DESTINATIONS}{}", encode(id)))
}

/// The id of the destination at this path, which may be the path of a drive; `None` if it is neither.
#[must_use]
pub fn destination_id(path: &str) -> Option<String> {
    path.strip_prefix(DESTINATIONS).map_or_else(|| drive_id(path), decode)
}

/// The path of the backup with this configured name.
#[must_use]
pub fn backup_path(name: &str) -> OwnedObjectPath {
    path(format!("{BACKUPS}{}", encode(name)))
}

/// The name of the backup at this path; `None` if it is not the path of a backup.
#[must_use]
pub fn backup_name(path: &str) -> Option<String> {
    decode(path.strip_prefix(BACKUPS)?)
}

/// The path of a job.
#[must_use]
pub fn job_path(id: Uuid) -> OwnedObjectPath {
    path(format!("{JOBS}{}", id.hyphenated().to_string().replace('-', "_")))
}

/// The id of the job at this path; `None` if it is not the path of a job.
#[must_use]
pub fn job_id(path: &str) -> Option<Uuid> {
    let element = path.strip_prefix(JOBS)?;
    // A job has one path: other spellings of its UUID are refused.
    let id = Uuid::try_parse(&element.replace('_', "-")).ok()?;
    (job_path(id).as_str() == path).then_some(id)
}

fn path(text: String) -> OwnedObjectPath {
    // Only letters, digits and `_` follow a valid prefix, so this does not fail; there is no object at NONE.
    ObjectPath::try_from(text).unwrap_or_else(|_| ObjectPath::from_static_str_unchecked(NONE)).into()
}

fn encode(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    let mut out = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit()) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("_{byte:02x}"));
        }
    }
    out
}

fn decode(element: &str) -> Option<String> {
    if element == "_" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(element.len());
    let mut rest = element.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'_' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    // A volume has one path: `_61` for `a` is refused.
    (!name.is_empty() && encode(&name) == element).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_names_round_trip() {
        for name in ["tank", "2nd", "back-up", "my_disk", "büro 1", "", "a/b", "9"] {
            let path = volume_path(name);
            assert!(ObjectPath::try_from(path.as_str()).is_ok(), "{path}");
            assert_eq!(volume_name(path.as_str()).as_deref(), Some(name));
        }
        assert_eq!(volume_path("back-up").as_str(), "/org/butterdock/Butterdock1/volumes/back_2dup");
    }

    #[test]
    fn other_paths_have_no_volume_name() {
        for path in ["/", "/org/butterdock/Butterdock1/volumes/", "/org/butterdock/Butterdock1/jobs/tank"] {
            assert_eq!(volume_name(path), None, "{path}");
        }
        for element in ["_6", "_zz", "_61", "_+1", "_2D", "_ff", "2nd"] {
            assert_eq!(volume_name(&format!("{VOLUMES}{element}")), None, "{element}");
        }
    }

    #[test]
    fn drive_ids_round_trip_and_are_no_volumes() {
        for id in ["3f2a-91", "sdb1", "0a"] {
            let path = drive_path(id);
            assert_eq!(drive_id(path.as_str()).as_deref(), Some(id));
            assert_eq!(volume_name(path.as_str()), None);
        }
        assert_eq!(drive_id(NONE), None);
        let path = backup_path("my home");
        assert_eq!((backup_name(path.as_str()).as_deref(), drive_id(path.as_str())), (Some("my home"), None));
    }

    #[test]
    fn a_destination_is_a_drive_or_has_a_path_of_its_own() {
        let path = destination_path("second-pool");
        assert_eq!(path.as_str(), "/org/butterdock/Butterdock1/destinations/second_2dpool");
        assert_eq!((destination_id(path.as_str()).as_deref(), drive_id(path.as_str())), (Some("second-pool"), None));
        assert_eq!(destination_id(drive_path("3f2a").as_str()).as_deref(), Some("3f2a"));
        assert_eq!(destination_id(volume_path("tank").as_str()), None);
    }

    #[test]
    fn job_ids_round_trip() {
        let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let path = job_path(id);
        assert_eq!(path.as_str(), "/org/butterdock/Butterdock1/jobs/01234567_89ab_cdef_0123_456789abcdef");
        assert_eq!(job_id(path.as_str()), Some(id));
        assert_eq!(job_id(&format!("{JOBS}{}", id.simple())), None);
        assert_eq!(job_id(&path.as_str().to_uppercase()), None);
    }
}
