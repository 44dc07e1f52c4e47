//! What the methods about settings of `org.butterdock.Butterdock1.Manager` take and return.

use std::collections::HashMap;

use zbus::{DeserializeDict, OwnedVariant, SerializeDict, Type, Variant};

use crate::error::Error;
use crate::options::{Options, boolean, text, texts, unknown};

/// The answer of `GetSettings`, but for the revision.
///
/// Values have the types of TOML: `s`, `x`, `b`, lists of one of these (an empty list is `as`), `aa{sv}`, `a{sv}`. Readers
/// ignore unknown keys.
#[derive(Debug, Default, PartialEq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct Settings {
    /// Every key of butterdock.toml and its value, with the defaults.
    pub values: HashMap<String, OwnedVariant>,
    /// Where each value is from, in the same shape: `maker`, `administrator` or `default`.
    pub origins: HashMap<String, OwnedVariant>,
    /// What only the files can change: a table, or `table.key`.
    pub read_only: Vec<String>,
    /// The path of the administrator's file.
    pub file: String,
    /// Whether that file is on a filesystem that can be written.
    pub writable: bool,
}

/// The options of `SetBackup`, `SetVolume`, `SetDestination` and `SetDefaults`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// `revision`, `s`: the file must be as it was when `GetSettings` answered this.
    pub revision: Option<String>,
    /// `reset`, `as`: keys that get their default, or the maker's value; for `SetDefaults` also `table.key`.
    pub reset: Vec<String>,
    /// `create`, `b`: true: no table may have this name yet; false: one must have it. Not for `SetDefaults`.
    pub create: Option<bool>,
    /// `rename_from`, `s`: the name until now; its snapshots and records get the new one. Only for `SetBackup`, without `create`.
    pub rename_from: Option<String>,
}

/// The options of `RemoveBackup`, `RemoveVolume` and `RemoveDestination`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// `revision`, `s`: the file must be as it was when `GetSettings` answered this.
    pub revision: Option<String>,
}

impl SetOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["revision", "reset", "create", "rename_from"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "revision" => read.revision = Some(text(key, value)?),
                "reset" => read.reset = texts(key, value)?,
                "create" => read.create = Some(boolean(key, value)?),
                "rename_from" => read.rename_from = Some(text(key, value)?),
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = HashMap::new();
        if let Some(revision) = &self.revision {
            options.insert("revision", Variant::from(revision.as_str()));
        }
        if !self.reset.is_empty() {
            options.insert("reset", Variant::from(self.reset.clone()));
        }
        if let Some(create) = self.create {
            options.insert("create", Variant::from(create));
        }
        if let Some(from) = &self.rename_from {
            options.insert("rename_from", Variant::from(from.as_str()));
        }
        options
    }
}

impl RemoveOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["revision"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "revision" => read.revision = Some(text(key, value)?),
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        self.revision.iter().map(|revision| ("revision", Variant::from(revision.as_str()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;
    use crate::options::tests::{complaint, owned};

    #[test]
    fn options_of_changes_round_trip() {
        let all = SetOptions {
            revision: Some("1a".to_owned()),
            reset: vec!["schedule".to_owned(), "keep".to_owned()],
            create: Some(false),
            rename_from: Some("home".to_owned()),
        };
        for sent in [all, SetOptions::default()] {
            assert_eq!(SetOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
        for sent in [RemoveOptions { revision: Some("none".to_owned()) }, RemoveOptions::default()] {
            assert_eq!(RemoveOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
        let set = |key, value| complaint(SetOptions::from_options(&owned([(key, value)])));
        assert!(set("reset", vec![1_u32].into()).contains("type as, not au"));
        assert!(set("rest", true.into()).contains("\"rest\""));
        assert!(complaint(RemoveOptions::from_options(&owned([("reset", true.into())]))).contains("\"reset\""));
    }

    #[test]
    fn settings_round_trip() {
        let value = Variant::from("on-plug").try_into_owned().expect("owned");
        let sent = Settings {
            values: HashMap::from([("schedule".to_owned(), value)]),
            read_only: vec!["paths".to_owned()],
            writable: true,
            ..Settings::default()
        };
        let bytes = to_bytes(Context::new(LE, 0), &sent).expect("written");
        assert_eq!(bytes.deserialize::<Settings>().expect("settings").0, sent);
    }
}
