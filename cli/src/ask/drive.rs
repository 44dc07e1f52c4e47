//! A drive, and finding the drive that the user names.

use std::collections::HashMap;

use butterdock_dbus::{DriveProperties, path};
use zbus::OwnedVariant;

use crate::failure::Failure;

/// A drive.
#[derive(Debug, Clone)]
pub(crate) struct Drive {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) now: DriveProperties,
}

impl Drive {
    /// A drive from its properties; `None` if the path is not a drive's.
    pub(crate) fn read(path: &str, properties: &HashMap<String, OwnedVariant>) -> Result<Option<Self>, Failure> {
        let Some(id) = path::drive_id(path) else { return Ok(None) };
        let mut now = DriveProperties::default();
        for (name, value) in properties {
            now.set(name, value).map_err(|wrong| Failure::own(wrong.to_string()))?;
        }
        Ok(Some(Self { id, path: path.to_owned(), now }))
    }

    /// Its label, model or device; `None` if all of them are empty.
    pub(crate) fn title(&self) -> Option<String> {
        let names = [&self.now.label, &self.now.model, &self.now.device];
        names.iter().any(|name| !name.trim().is_empty()).then(|| self.now.title())
    }

    /// Whether `wanted` is its id, the first letters of its id, its label or its device.
    pub(crate) fn is_called(&self, wanted: &str) -> bool {
        let device = wanted.strip_prefix("/dev/").unwrap_or(wanted);
        !wanted.is_empty() && (self.id.starts_with(wanted) || self.now.label == wanted || self.now.device == device)
    }
}

/// The one drive that `wanted` names. A complete id takes precedence.
pub(crate) fn find<'a>(drives: &'a [Drive], wanted: &str) -> Result<&'a Drive, Failure> {
    if let Some(drive) = drives.iter().find(|drive| drive.id == wanted) {
        return Ok(drive);
    }
    let found = drives.iter().filter(|drive| drive.is_called(wanted)).collect::<Vec<_>>();
    match found.as_slice() {
        [drive] => Ok(drive),
        [] => Err(Failure::usage(
            format!("there is no drive {wanted:?}"),
            "`butterdock drives` lists the attached drives; name one by its id, its label or its device",
        )),
        several => {
            let ids = several.iter().map(|drive| drive.id.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::usage(
                format!("{wanted:?} is ambiguous, {} drives match: {ids}", several.len()),
                "name the drive by its id; `butterdock drives` shows each drive",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(id: &str, label: &str, device: &str) -> Drive {
        let now = DriveProperties { label: label.to_owned(), device: device.to_owned(), ..DriveProperties::default() };
        Drive { id: id.to_owned(), path: path::drive_path(id).to_string(), now }
    }

    #[test]
    fn a_drive_is_found_by_id_prefix_label_and_device() {
        let drives = [drive("3f2a", "Attic", "sdb1"), drive("3f99", "Cellar", ""), drive("Attic2", "", "sdc1")];
        for (wanted, id) in [
            ("3f2a", "3f2a"),
            ("3f9", "3f99"),
            ("Cellar", "3f99"),
            ("sdb1", "3f2a"),
            ("/dev/sdc1", "Attic2"),
            ("Attic2", "Attic2"),
        ] {
            assert_eq!(find(&drives, wanted).map(|drive| drive.id.as_str()).ok(), Some(id), "{wanted}");
        }
        assert!(find(&drives, "3f").is_err_and(|failure| failure.message.contains("3f2a, 3f99")));
        assert!(find(&drives, "Attic").is_err(), "a label and the beginning of an id");
        assert!(find(&drives, "").is_err());
    }
}
