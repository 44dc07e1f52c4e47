//! The options of `Drive.Backup` and `Manager.ListBackups`.

use std::collections::HashMap;

use zbus::Variant;

use super::Options;
use super::read::{text, truth, unknown};
use crate::error::Error;

/// The options of `Drive.Backup`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupOptions {
    /// `backup`, `s`: only the configured backup of this name.
    pub backup: Option<String>,
}

impl BackupOptions {
    /// The keys there are.
    pub const KEYS: &[&str] = &["backup"];

    /// Reads them as they come off the bus.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] naming the key that is not known or whose type is not the one above.
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

    /// As they go on the bus; what is not set is left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        self.backup.iter().map(|backup| ("backup", Variant::from(backup.as_str()))).collect()
    }
}

/// The options of `Manager.ListBackups`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListBackupsOptions {
    /// `estimate`, `b`: work out what would be sent. Needs the action `estimate`, and time.
    pub estimate: bool,
}

impl ListBackupsOptions {
    /// The keys there are.
    pub const KEYS: &[&str] = &["estimate"];

    /// Reads them as they come off the bus.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] naming the key that is not known or whose type is not the one above.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "estimate" => read.estimate = truth(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// As they go on the bus; what is not set is left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        self.estimate.then_some(("estimate", Variant::from(true))).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(options: HashMap<&'static str, Variant<'_>>) -> Options {
        options.into_iter().map(|(key, value)| (key.to_owned(), value.try_into_owned().expect("owned"))).collect()
    }

    #[test]
    fn options_come_back_as_they_went() {
        for sent in [BackupOptions::default(), BackupOptions { backup: Some("home".to_owned()) }] {
            assert_eq!(BackupOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
        for sent in [ListBackupsOptions::default(), ListBackupsOptions { estimate: true }] {
            assert_eq!(ListBackupsOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let options = Options::from([("dry_run".to_owned(), true.into())]);
        for refused in [BackupOptions::from_options(&options).err(), ListBackupsOptions::from_options(&options).err()] {
            assert!(matches!(refused, Some(Error::InvalidArgs(text)) if text.contains("\"dry_run\"")));
        }
    }
}
