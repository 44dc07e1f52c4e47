//! What the methods about files in snapshots take and return, on `Destination` and on `Backup`: `ListFiles`, `FileVersions`,
//! `OpenFile` and `RestoreFiles`.

use std::collections::HashMap;

use zbus::{DeserializeDict, SerializeDict, Type, Variant};

use crate::error::Error;
use crate::options::{Options, boolean, bytes, number, text, unknown};
use crate::word::word;

word! {
    /// The type of a file.
    FileKind {
        /// A regular file.
        File = "file",
        /// A directory.
        Directory = "directory",
        /// A symbolic link. It is never followed.
        Symlink = "symlink",
        /// A named pipe.
        Fifo = "fifo",
        /// A socket.
        Socket = "socket",
        /// A block device.
        BlockDevice = "block-device",
        /// A character device.
        CharacterDevice = "character-device",
    }
    other
        /// A type of a later version.
        Other
}

word! {
    /// What happens to a file that has the name of a restored one.
    Conflict {
        /// It stays, and the restored one gets another name: `NAME.restored-2026-11-28`.
        KeepBoth = "keep-both",
        /// The restored one replaces it.
        Replace = "replace",
        /// Nothing is restored.
        Fail = "fail",
    }
}

/// A row of `ListFiles`.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct FileRow {
    /// Its name: bytes.
    pub name: Vec<u8>,
    /// A word of [`FileKind`].
    #[zbus(rename = "type")]
    pub kind: String,
    /// Its size in bytes.
    pub size: u64,
    /// When its content last changed, in microseconds since 1970; may be negative.
    pub modified: i64,
    /// The lower 12 bits of the mode.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The target of a symbolic link: bytes.
    pub target: Option<Vec<u8>>,
}

/// A row of `FileVersions`: a file as it is in one snapshot, and in older ones next to it.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct FileVersionRow {
    /// The UUID of the newest snapshot that has it.
    pub snapshot: String,
    /// The name of that snapshot: bytes.
    pub snapshot_name: Vec<u8>,
    /// The name of its backup on the machine that made it.
    pub backup: Option<String>,
    /// The id of another machine on destinations.
    pub machine: Option<String>,
    /// When that snapshot was made, in microseconds since 1970.
    pub created: Option<u64>,
    /// When the oldest snapshot with this version was made.
    pub oldest: Option<u64>,
    /// The number of snapshots with this version.
    pub snapshots: u64,
    /// A word of [`FileKind`].
    #[zbus(rename = "type")]
    pub kind: String,
    /// Its size in bytes.
    pub size: u64,
    /// When its content last changed, in microseconds since 1970; may be negative.
    pub modified: i64,
}

/// The options of `ListFiles`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListFilesOptions {
    /// `after`, `ay` or `s`: only names after this one.
    pub after: Option<Vec<u8>>,
    /// `limit`, `t`: up to this many names (default and most: 5000).
    pub limit: Option<u64>,
    /// `as_root`, `b`: root's rights decide. Needs the action `restore`.
    pub as_root: bool,
}

impl ListFilesOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["after", "limit", "as_root"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "after" => read.after = Some(bytes(key, value)?),
                "limit" => read.limit = Some(number(key, value)?),
                "as_root" => read.as_root = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = of_root(self.as_root);
        if let Some(after) = &self.after {
            options.insert("after", Variant::from(after.clone()));
        }
        if let Some(limit) = self.limit {
            options.insert("limit", Variant::from(limit));
        }
        options
    }
}

/// The options of `FileVersions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileVersionsOptions {
    /// `backup`, `s`: only snapshots of the backup with this name.
    pub backup: Option<String>,
    /// `as_root`, `b`: root's rights decide. Needs the action `restore`.
    pub as_root: bool,
}

impl FileVersionsOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["backup", "as_root"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "backup" => read.backup = Some(text(key, value)?),
                "as_root" => read.as_root = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = of_root(self.as_root);
        if let Some(backup) = &self.backup {
            options.insert("backup", Variant::from(backup.as_str()));
        }
        options
    }
}

/// The options of `OpenFile`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenFileOptions {
    /// `as_root`, `b`: root's rights decide. Needs the action `restore`.
    pub as_root: bool,
}

impl OpenFileOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["as_root"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "as_root" => read.as_root = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        of_root(self.as_root)
    }
}

/// The options of `RestoreFiles`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreFilesOptions {
    /// `target`, `s`: `original` (default), or the configured name of a volume.
    pub target: Option<String>,
    /// `folder`, `ay` or `s`: the name of the new folder in the volume (default: `restored-` and the day).
    pub folder: Option<Vec<u8>>,
    /// `conflict`, `s`: a word of [`Conflict`] (default: `keep-both`).
    pub conflict: Option<Conflict>,
    /// `as_root`, `b`: root's rights decide. Needs the action `restore`.
    pub as_root: bool,
}

impl RestoreFilesOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["target", "folder", "conflict", "as_root"];
    /// The target that is no volume.
    pub const ORIGINAL: &str = "original";

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key, a wrong type or an unknown word.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "target" => read.target = Some(text(key, value)?),
                "folder" => read.folder = Some(bytes(key, value)?),
                "conflict" => {
                    let word = text(key, value)?;
                    let words = Conflict::WORDS.join(", ");
                    let wrong = |_unknown| Error::InvalidArgs(format!("the option conflict is one of {words}"));
                    read.conflict = Some(word.parse().map_err(wrong)?);
                }
                "as_root" => read.as_root = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = of_root(self.as_root);
        if let Some(target) = &self.target {
            options.insert("target", Variant::from(target.as_str()));
        }
        if let Some(folder) = &self.folder {
            options.insert("folder", Variant::from(folder.clone()));
        }
        if let Some(conflict) = &self.conflict {
            options.insert("conflict", Variant::from(conflict.as_str()));
        }
        options
    }
}

/// The options of `ListSnapshots`, of a destination and of a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListSnapshotsOptions {
    /// `own`, `b`: only those of this machine. Needs the action `restore-own` in place of `restore`.
    pub own: bool,
}

impl ListSnapshotsOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["own"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type; `own` may not be false, because its key chooses the action.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "own" => read.own = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
            if !read.own {
                return Err(Error::InvalidArgs("the option own is true, or not given".to_owned()));
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        if self.own { HashMap::from([("own", Variant::from(true))]) } else { HashMap::new() }
    }
}

fn of_root(as_root: bool) -> HashMap<&'static str, Variant<'static>> {
    if as_root { HashMap::from([("as_root", Variant::from(true))]) } else { HashMap::new() }
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;
    use crate::options::tests::{complaint, owned};

    #[test]
    fn options_are_read_as_they_are_written() {
        let list = ListFilesOptions { after: Some(b"a\xff".to_vec()), limit: Some(7), as_root: true };
        assert_eq!(ListFilesOptions::from_options(&owned(list.to_options())), Ok(list));
        let versions = FileVersionsOptions { backup: Some("home".to_owned()), as_root: false };
        assert_eq!(FileVersionsOptions::from_options(&owned(versions.to_options())), Ok(versions));
        let open = OpenFileOptions { as_root: true };
        assert_eq!(OpenFileOptions::from_options(&owned(open.to_options())), Ok(open));
        let restore = RestoreFilesOptions {
            target: Some("tank".to_owned()),
            folder: Some(b"new".to_vec()),
            conflict: Some(Conflict::Replace),
            as_root: true,
        };
        assert_eq!(RestoreFilesOptions::from_options(&owned(restore.to_options())), Ok(restore));
        let own = ListSnapshotsOptions { own: true };
        assert_eq!(ListSnapshotsOptions::from_options(&owned(own.to_options())), Ok(own));
    }

    #[test]
    fn unknown_options_and_words_are_refused() {
        for message in [
            complaint(ListFilesOptions::from_options(&owned([("all", true.into())]))),
            complaint(FileVersionsOptions::from_options(&owned([("after", "a".into())]))),
            complaint(OpenFileOptions::from_options(&owned([("offset", 7_u64.into())]))),
            complaint(RestoreFilesOptions::from_options(&owned([("overwrite", true.into())]))),
        ] {
            assert!(message.starts_with("there is no option"), "{message}");
        }
        let message = complaint(RestoreFilesOptions::from_options(&owned([("conflict", "ask".into())])));
        assert_eq!(message, "the option conflict is one of keep-both, replace, fail");
        assert!(complaint(ListSnapshotsOptions::from_options(&owned([("own", false.into())]))).contains("is true"));
    }

    #[test]
    fn rows_round_trip() {
        let context = Context::new(LE, 0);
        let row = FileRow { name: b"a\xff".to_vec(), modified: -7, target: Some(b"b".to_vec()), ..FileRow::default() };
        let bytes = to_bytes(context, &row).expect("written");
        assert_eq!(bytes.deserialize::<FileRow>().expect("a row").0, row);
        let row = FileVersionRow { snapshots: 3, oldest: Some(1), ..FileVersionRow::default() };
        let bytes = to_bytes(context, &row).expect("written");
        assert_eq!(bytes.deserialize::<FileVersionRow>().expect("a row").0, row);
    }
}
