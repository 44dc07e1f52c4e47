//! The options of the methods of `Destination`: `Backup`, `Restore` and `Unpin`.

use std::collections::HashMap;

use zbus::Variant;

use crate::error::Error;
use crate::options::{Options, bare_name, boolean, text, unknown};

/// The options of `Destination.Backup`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupOptions {
    /// `backup`, `s`: run only the backup with this name.
    pub backup: Option<String>,
    /// `full`, `b`: send everything again, whatever the source and the destination share.
    pub full: bool,
    /// `new_source`, `b`: the subvolume that is at the source's path now is the source from now on, although another one was
    /// backed up before. Only with `backup`. Needs the action `manage`.
    pub new_source: bool,
}

impl BackupOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["backup", "full", "new_source"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "backup" => read.backup = Some(text(key, value)?),
                "full" => read.full = boolean(key, value)?,
                "new_source" => read.new_source = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = HashMap::new();
        if let Some(backup) = &self.backup {
            options.insert("backup", Variant::from(backup.as_str()));
        }
        for (key, is_set) in [("full", self.full), ("new_source", self.new_source)] {
            if is_set {
                options.insert(key, Variant::from(true));
            }
        }
        options
    }
}

/// The options of `Destination.Restore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// `name`, `ay` or `s`: the subvolume's name in the volume (default: the snapshot's name).
    pub name: Option<Vec<u8>>,
}

impl RestoreOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["name"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key, a wrong type, or an invalid name.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "name" => read.name = Some(bare_name(key, value)?),
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        self.name.iter().map(|name| ("name", Variant::from(name.as_slice()))).collect()
    }
}

/// The options of `Destination.Unpin`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnpinOptions {
    /// `backup`, `s`: only for the backup with this name.
    pub backup: Option<String>,
}

impl UnpinOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["backup"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "backup" => read.backup = Some(text(key, value)?),
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        self.backup.iter().map(|backup| ("backup", Variant::from(backup.as_str()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::{complaint, owned};

    #[test]
    fn backup_options_round_trip() {
        let home = BackupOptions { backup: Some("home".to_owned()), full: true, new_source: true };
        for sent in [BackupOptions::default(), home] {
            assert_eq!(BackupOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
    }

    #[test]
    fn restore_options_round_trip_and_a_path_is_refused() {
        let sent = RestoreOptions { name: Some(b"a\xff".to_vec()) };
        assert_eq!(RestoreOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        assert!(RestoreOptions::from_options(&owned([("name", "../x".into())])).is_err());
    }

    #[test]
    fn unpin_options_round_trip() {
        for sent in [UnpinOptions::default(), UnpinOptions { backup: Some("home".to_owned()) }] {
            assert_eq!(UnpinOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let backup = BackupOptions::from_options(&owned([("dry_run", true.into())]));
        assert!(complaint(backup).contains("\"dry_run\""));
    }
}
