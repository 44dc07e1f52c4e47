//! The options of the methods of `Drive`: `Enrol`, `SafelyRemove` and `Import`, and the limit of `Unlock`.

use std::collections::HashMap;

use zbus::Variant;

use crate::error::Error;
use crate::options::{Options, bare_name, boolean, number, text, unknown};

/// The longest secret that `Unlock` accepts, in bytes: the capacity of a pipe, so that a client can write the secret before
/// the call.
pub const SECRET_MAX: usize = 65536;

/// The options of `Drive.Enrol`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnrolOptions {
    /// `format`, `b`: erase everything on the drive first and make a new btrfs filesystem. Needs the action `format`.
    pub format: bool,
    /// `whole_disk`, `b`: erase the whole disk that the drive is a partition of. Only with `format`.
    pub whole_disk: bool,
    /// `size`, `t`: the drive's size, with `whole_disk` the disk's. Required with `format`; must match.
    pub size: Option<u64>,
    /// `serial`, `s`: the drive's serial number, empty if it has none. Required with `format`; must match the drive.
    pub serial: Option<String>,
    /// `label`, `s`: the new filesystem's label. Only with `format`.
    pub label: Option<String>,
    /// `unmount`, `b`: unmount it first, if another program has it mounted.
    pub unmount: bool,
    /// `no_backup`, `b`: begin no backup, also where one is due.
    pub no_backup: bool,
}

impl EnrolOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["format", "whole_disk", "size", "serial", "label", "unmount", "no_backup"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key, a wrong type, a key that `format` requires, or an invalid label. The
    /// service compares size and serial number with the drive's.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "format" => read.format = boolean(key, value)?,
                "whole_disk" => read.whole_disk = boolean(key, value)?,
                "size" => read.size = Some(number(key, value)?),
                "serial" => read.serial = Some(text(key, value)?),
                "label" => read.label = Some(label(text(key, value)?)?),
                "unmount" => read.unmount = boolean(key, value)?,
                "no_backup" => read.no_backup = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        if read.format && (read.size.is_none() || read.serial.is_none()) {
            return Err(refused(
                "to format a drive, its size and its serial number must be repeated: give size and serial",
            ));
        }
        if !read.format && read.whole_disk {
            return Err(refused("the option whole_disk erases a disk; give format with it, or leave it out"));
        }
        if !read.format && read.label.is_some() {
            return Err(refused("the option label names a new filesystem; give format with it, or leave it out"));
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = HashMap::new();
        if self.format {
            options.insert("format", Variant::from(true));
        }
        if self.whole_disk {
            options.insert("whole_disk", Variant::from(true));
        }
        if let Some(size) = self.size {
            options.insert("size", Variant::from(size));
        }
        if let Some(serial) = &self.serial {
            options.insert("serial", Variant::from(serial.as_str()));
        }
        if let Some(label) = &self.label {
            options.insert("label", Variant::from(label.as_str()));
        }
        if self.unmount {
            options.insert("unmount", Variant::from(true));
        }
        if self.no_backup {
            options.insert("no_backup", Variant::from(true));
        }
        options
    }
}

/// The options of `Drive.EnrolEncrypted`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnrolEncryptedOptions {
    /// Those of `Enrol`. With `format`, the drive is encrypted first.
    pub enrol: EnrolOptions,
    /// `keep_key`, `b`: the service makes a key file, with which it unlocks the drive when it is plugged in.
    pub keep_key: bool,
}

impl EnrolEncryptedOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["format", "whole_disk", "size", "serial", "label", "unmount", "no_backup", "keep_key"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// As for [`EnrolOptions::from_options`].
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        if let Some(key) = options.keys().find(|key| !Self::KEYS.contains(&key.as_str())) {
            return Err(unknown(key, Self::KEYS));
        }
        let (mut keep_key, mut others) = (false, Options::new());
        for (key, value) in options {
            if key == "keep_key" {
                keep_key = boolean(key, value)?;
            } else {
                others.insert(key.clone(), value.clone());
            }
        }
        Ok(Self { enrol: EnrolOptions::from_options(&others)?, keep_key })
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = self.enrol.to_options();
        if self.keep_key {
            options.insert("keep_key", Variant::from(true));
        }
        options
    }
}

/// A label that btrfs accepts, without control characters.
fn label(text: String) -> Result<String, Error> {
    let plain = !text.contains(|letter: char| letter == '/' || letter.is_control());
    if plain && (1..=LABEL_MAX).contains(&text.len()) {
        return Ok(text);
    }
    Err(Error::InvalidArgs(format!(
        "the option label must have 1 to {LABEL_MAX} bytes, no slash and no control characters, and \"{}\" has not",
        text.escape_debug()
    )))
}

/// `BTRFS_LABEL_SIZE` without the NUL.
const LABEL_MAX: usize = 255;

fn refused(text: &str) -> Error {
    Error::InvalidArgs(text.to_owned())
}

/// The options of `Drive.SafelyRemove`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SafelyRemoveOptions {
    /// `when_idle`, `b`: wait for the job that runs on the drive, and begin no other.
    pub when_idle: bool,
}

impl SafelyRemoveOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["when_idle"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "when_idle" => read.when_idle = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        self.when_idle.then_some(("when_idle", Variant::from(true))).into_iter().collect()
    }
}

/// The options of `Drive.Import`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// `name`, `ay` or `s`: import only the file with this name in the drive's configured folder.
    pub name: Option<Vec<u8>>,
    /// `verify`, `b`: decompress every extent and refuse one that does not decompress.
    pub verify: bool,
}

impl ImportOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["name", "verify"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key, a wrong type, or an invalid name.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "name" => read.name = Some(bare_name(key, value)?),
                "verify" => read.verify = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = HashMap::new();
        if let Some(name) = &self.name {
            options.insert("name", Variant::from(name.as_slice()));
        }
        if self.verify {
            options.insert("verify", Variant::from(true));
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::{complaint, owned};

    fn refusal<const N: usize>(options: [(&str, Variant<'_>); N]) -> String {
        complaint(EnrolOptions::from_options(&owned(options)))
    }

    #[test]
    fn enrol_options_round_trip() {
        let (serial, label) = (Some("WX1".to_owned()), Some("Attic".to_owned()));
        let erase = EnrolOptions {
            format: true,
            whole_disk: true,
            size: Some(7),
            serial,
            label,
            unmount: true,
            no_backup: true,
        };
        for sent in [erase, EnrolOptions::default()] {
            assert_eq!(EnrolOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
    }

    #[test]
    fn format_requires_size_and_serial() {
        assert!(refusal([("format", true.into())]).contains("size and serial"));
        assert!(refusal([("format", true.into()), ("size", 7_u64.into())]).contains("size and serial"));
        assert!(refusal([("format", true.into()), ("serial", "".into())]).contains("size and serial"));
    }

    #[test]
    fn an_invalid_label_is_refused() {
        assert!(refusal([("label", "x".into())]).contains("format"));
        assert!(refusal([("whole_disk", true.into())]).contains("format"));
        for label in ["", "a/b", "a\nb", &"x".repeat(256)] {
            let (size, serial) = (("size", 7_u64.into()), ("serial", "".into()));
            let message = refusal([("format", true.into()), size, serial, ("label", label.into())]);
            assert!(message.contains("label"), "{label:?}");
        }
    }

    #[test]
    fn errors_name_unknown_keys_and_wrong_types() {
        assert!(refusal([("froce", true.into())]).contains("\"froce\""));
        assert!(refusal([("serial", 5_u32.into())]).contains("type s, not u"));
        assert!(refusal([("size", 5_u32.into())]).contains("type t, not u"));
    }

    #[test]
    fn safely_remove_options_round_trip() {
        for sent in [SafelyRemoveOptions::default(), SafelyRemoveOptions { when_idle: true }] {
            assert_eq!(SafelyRemoveOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
    }

    #[test]
    fn import_options_round_trip_and_a_path_is_refused() {
        let sent = ImportOptions { name: Some(b"monday.send".to_vec()), verify: true };
        assert_eq!(ImportOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        assert!(ImportOptions::from_options(&owned([("name", "/etc/shadow".into())])).is_err());
    }
}
