//! Settings that are read and changed by callers: the two files of the configuration as one answer, and the service as an editor
//! of the administrator's file.
//!
//! ```text
//! read: both files -> merged -> values, where each is from, revision
//! change: allowed? -> edited text -> the parser of check-config -> written, durably, if the file is as it was read -> reload
//! ```
//!
//! Nothing is changed by a value that the parser refuses, or if an editor has changed the file since the caller read it.
//! `change` and `reading` are pure, `edit` and `comments` know the format, `file` is the file, `allowed` says what no
//! caller may change.

mod allowed;
mod change;
mod comments;
mod defaults;
mod edit;
mod file;
mod reading;
mod requests;
#[cfg(test)]
mod tests;
mod value;
mod warnings;

use std::path::PathBuf;

pub use value::{Table, Value};
pub use warnings::SettingWarning;

/// The settings of both files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Every key and its value, as in the files together; with the defaults.
    pub values: Table,
    /// Where each is from, in the same shape: `maker`, `administrator` or `default`.
    pub origins: Table,
    /// What only the files can change: `table.key`, or a whole table.
    pub read_only: Vec<String>,
    /// The administrator's file.
    pub file: PathBuf,
    /// Whether it is on a filesystem that can be written.
    pub is_writable: bool,
    /// The administrator's file as it was read.
    pub revision: String,
}

/// A list whose tables callers may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingList {
    /// `[[backup]]`
    Backup,
    /// `[[volume]]`
    Volume,
    /// `[[destination]]`
    Destination,
}

/// A change of the administrator's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettingChange {
    /// Sets and removes keys of the table with this name; makes it if neither file has it.
    Set {
        /// The list.
        list: SettingList,
        /// The name.
        name: String,
        /// The keys and their new values.
        set: Table,
        /// The keys that get their default, or the maker's value.
        reset: Vec<String>,
        /// True: there must be none of this name; false: there must be one.
        create: Option<bool>,
        /// The name of the table until now, of a backup: its snapshots and records get the new one, too.
        rename_from: Option<String>,
    },
    /// Removes the table with this name; one of the maker's file gets `enabled = false`.
    Remove {
        /// The list.
        list: SettingList,
        /// The name.
        name: String,
    },
    /// Sets and removes keys outside of the lists.
    Defaults {
        /// The keys and their new values; of a table only the keys that are named here.
        set: Table,
        /// `key`, or `table.key`.
        reset: Vec<String>,
    },
}

/// The end of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsChanged {
    /// The administrator's file as it was written.
    pub revision: String,
    /// What check-config would warn of.
    pub warnings: Vec<SettingWarning>,
}

impl SettingList {
    /// The name of the list in the file.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Volume => "volume",
            Self::Destination => "destination",
        }
    }
}
