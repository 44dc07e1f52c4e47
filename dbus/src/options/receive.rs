//! The options of `Receive`.

use std::collections::HashMap;

use zbus::Variant;

use super::Options;
use super::read::{bare_name, number, truth, unknown};
use crate::error::Error;

/// The options of `Receive`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiveOptions {
    /// `name`, `ay` or `s`: give the subvolume this name instead of the sender's. Needs the action `receive-anywhere`,
    /// which guards this option alone: the stream may bring any name.
    /// Bytes, because a name on btrfs need not be UTF-8; a terminating NUL, which some bindings add, is no part of it.
    pub name: Option<Vec<u8>>,
    /// `verify`, `b`: decompress everything and refuse what does not decompress. Whether or not it is given, the service
    /// does so with the streams of callers other than root.
    pub verify: bool,
    /// `force_decompress`, `b`: write compressed extents decompressed.
    pub force_decompress: bool,
    /// `strict_parent`, `b`: refuse a parent whose number differs from the one in the stream, also where its uuid is the same
    /// and it was not changed.
    pub strict_parent: bool,
    /// `total`, `t`: how many bytes the caller thinks will come, for the progress alone. Not needed with a regular file.
    pub total: Option<u64>,
}

impl ReceiveOptions {
    /// The keys there are.
    pub const KEYS: &[&str] = &["name", "verify", "force_decompress", "strict_parent", "total"];

    /// Reads them as they come off the bus.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] naming the key that is not known, whose type is not the one above, or whose value cannot
    /// be (a name that is empty, too long, `.`, `..` or holds `/` or NUL).
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "name" => read.name = Some(bare_name(key, value)?),
                "verify" => read.verify = truth(key, value)?,
                "force_decompress" => read.force_decompress = truth(key, value)?,
                "strict_parent" => read.strict_parent = truth(key, value)?,
                "total" => read.total = Some(number(key, value)?),
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// As they go on the bus; what is not set is left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = HashMap::new();
        if let Some(name) = &self.name {
            options.insert("name", Variant::from(name.as_slice()));
        }
        if self.verify {
            options.insert("verify", Variant::from(true));
        }
        if self.force_decompress {
            options.insert("force_decompress", Variant::from(true));
        }
        if self.strict_parent {
            options.insert("strict_parent", Variant::from(true));
        }
        if let Some(total) = self.total {
            options.insert("total", Variant::from(total));
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: Vec<(&str, Variant<'_>)>) -> Result<ReceiveOptions, Error> {
        let owned = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.try_into_owned().expect("owned")));
        ReceiveOptions::from_options(&owned.collect())
    }

    fn complaint(pairs: Vec<(&str, Variant<'_>)>) -> String {
        match read(pairs) {
            Err(Error::InvalidArgs(message)) => message,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn options_come_back_as_they_went() {
        let all = ReceiveOptions {
            name: Some(b"a\xff".to_vec()),
            verify: true,
            force_decompress: true,
            strict_parent: true,
            total: Some(u64::MAX),
        };
        for sent in [all, ReceiveOptions::default()] {
            assert_eq!(read(sent.to_options().into_iter().collect()), Ok(sent.clone()));
        }
    }

    #[test]
    fn a_name_may_be_text_or_bytes_with_a_nul_behind() {
        assert_eq!(read(vec![("name", "x".into())]).map(|o| o.name), Ok(Some(b"x".to_vec())));
        assert_eq!(read(vec![("name", b"x\0".to_vec().into())]).map(|o| o.name), Ok(Some(b"x".to_vec())));
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_named() {
        assert!(complaint(vec![("verfiy", true.into())]).contains("\"verfiy\""));
        assert!(complaint(vec![("total", 5_u32.into())]).contains("type t, not u"));
        assert!(complaint(vec![("verify", "yes".into())]).contains("type b, not s"));
        assert!(complaint(vec![("name", vec![1_u32].into())]).contains("type ay, not au"));
    }

    #[test]
    fn a_name_that_climbs_is_refused() {
        let long = "x".repeat(256);
        for name in ["", ".", "..", "a/b", "/", "a\0b", long.as_str()] {
            assert!(read(vec![("name", name.into())]).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_name_of_what_is_half_made_is_refused() {
        assert!(complaint(vec![("name", ".butterdock-mine".into())]).contains("begin with .butterdock-"));
    }
}
