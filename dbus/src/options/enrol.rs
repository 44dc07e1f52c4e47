//! The options of `Drive.Enrol`.

use std::collections::HashMap;

use zbus::Variant;

use super::Options;
use super::read::{number, text, truth, unknown};
use crate::error::Error;

/// The options of `Drive.Enrol`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnrolOptions {
    /// `format`, `b`: erase everything that is on the drive first, and make a new btrfs. Needs the action `format`.
    pub format: bool,
    /// `size`, `t`: the drive's size, said once more. Must be given with `format`, and be right wherever it is given.
    pub size: Option<u64>,
    /// `serial`, `s`: the drive's serial number, said once more; empty where it has none. As with `size`.
    pub serial: Option<String>,
    /// `label`, `s`: the new filesystem's label. Only with `format`.
    pub label: Option<String>,
}

impl EnrolOptions {
    /// The keys there are.
    pub const KEYS: &[&str] = &["format", "size", "serial", "label"];

    /// Reads them as they come off the bus.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] naming the key that is not known, whose type is not the one above, that is missing beside
    /// `format`, or whose value cannot be. The service compares size and serial with the drive's.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "format" => read.format = truth(key, value)?,
                "size" => read.size = Some(number(key, value)?),
                "serial" => read.serial = Some(text(key, value)?),
                "label" => read.label = Some(label(text(key, value)?)?),
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        if read.format && (read.size.is_none() || read.serial.is_none()) {
            return Err(refused(
                "to format a drive, its size and its serial number must be repeated: give size and serial",
            ));
        }
        if !read.format && read.label.is_some() {
            return Err(refused("the option label names a new filesystem; give format with it, or leave it out"));
        }
        Ok(read)
    }

    /// As they go on the bus; what is not set is left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = HashMap::new();
        if self.format {
            options.insert("format", Variant::from(true));
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
        options
    }
}

/// What btrfs takes as a label, and no terminal minds.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: Vec<(&str, Variant<'_>)>) -> Result<EnrolOptions, Error> {
        let owned = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.try_into_owned().expect("owned")));
        EnrolOptions::from_options(&owned.collect())
    }

    fn complaint(pairs: Vec<(&str, Variant<'_>)>) -> String {
        match read(pairs) {
            Err(Error::InvalidArgs(message)) => message,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn erase() -> EnrolOptions {
        let (serial, label) = (Some("WX1".to_owned()), Some("Attic".to_owned()));
        EnrolOptions { format: true, size: Some(7), serial, label }
    }

    #[test]
    fn options_come_back_as_they_went() {
        for sent in [erase(), EnrolOptions::default()] {
            assert_eq!(read(sent.to_options().into_iter().collect()), Ok(sent.clone()));
        }
    }

    #[test]
    fn nothing_is_erased_before_size_and_serial_are_repeated() {
        assert!(complaint(vec![("format", true.into())]).contains("size and serial"));
        assert!(complaint(vec![("format", true.into()), ("size", 7_u64.into())]).contains("size and serial"));
        assert!(complaint(vec![("format", true.into()), ("serial", "".into())]).contains("size and serial"));
    }

    #[test]
    fn a_label_that_cannot_be_is_named() {
        assert!(complaint(vec![("label", "x".into())]).contains("format"));
        for label in ["", "a/b", "a\nb", &"x".repeat(256)] {
            let mut options = vec![("format", true.into()), ("size", 7_u64.into()), ("serial", "".into())];
            options.push(("label", label.into()));
            assert!(complaint(options).contains("label"), "{label:?}");
        }
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_named() {
        assert!(complaint(vec![("froce", true.into())]).contains("\"froce\""));
        assert!(complaint(vec![("serial", 5_u32.into())]).contains("type s, not u"));
        assert!(complaint(vec![("size", 5_u32.into())]).contains("type t, not u"));
    }
}
