//! What the methods that delete snapshots take and return, on `Destination` and on `Backup`.

use std::collections::HashMap;

use zbus::{DeserializeDict, SerializeDict, Type, Variant};

use crate::error::Error;
use crate::options::{Options, boolean, unknown};

/// The largest number of snapshots in one call.
pub const DELETED_MAX: usize = 1000;
/// The longest reason of a hold, in bytes.
pub const REASON_MAX: usize = 255;

/// The options of `DeleteSnapshots`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// `force`, `b`: also snapshots that are the parent of a next increment.
    pub force: bool,
}

impl DeleteOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["force"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "force" => read.force = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        self.force.then_some(("force", Variant::from(true))).into_iter().collect()
    }
}

/// The answer of `EstimateDeletion`.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct DeletionEstimate {
    /// Bytes of data that the deletion frees at most. Missing if it takes too long to find out.
    pub bytes: Option<u64>,
    /// The backups that lose the parent of their next increment.
    pub lost: Vec<LostIncrement>,
}

/// A backup that loses the parent of its next increment.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct LostIncrement {
    /// The name of the backup.
    pub backup: String,
    /// The name of the destination, for display.
    pub destination: String,
    /// The next backup is a full one. Otherwise it starts from an older shared snapshot, if the other side still has it.
    pub full: bool,
    /// How many bytes a full one sends, about. Missing if unknown.
    pub bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;
    use crate::options::tests::{complaint, owned};

    #[test]
    fn delete_options_round_trip_and_unknown_ones_are_named() {
        for sent in [DeleteOptions::default(), DeleteOptions { force: true }] {
            assert_eq!(DeleteOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
        assert!(complaint(DeleteOptions::from_options(&owned([("dry_run", true.into())]))).contains("\"dry_run\""));
    }

    #[test]
    fn an_estimate_round_trips() {
        let lost =
            LostIncrement { backup: "home".to_owned(), destination: "Blue".to_owned(), full: true, bytes: Some(7) };
        for estimate in [DeletionEstimate::default(), DeletionEstimate { bytes: Some(9), lost: vec![lost] }] {
            let bytes = to_bytes(Context::new(LE, 0), &estimate).expect("written");
            assert_eq!(bytes.deserialize::<DeletionEstimate>().expect("read").0, estimate);
        }
    }
}
