//! The options of `Drive.Import`.

use std::collections::HashMap;

use zbus::Variant;

use super::Options;
use super::read::{bare_name, truth, unknown};
use crate::error::Error;

/// The options of `Drive.Import`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// `name`, `ay` or `s`: only the file of this name in the drive's configured folder.
    pub name: Option<Vec<u8>>,
    /// `verify`, `b`: decompress everything and refuse what does not decompress.
    pub verify: bool,
}

impl ImportOptions {
    /// The keys there are.
    pub const KEYS: &[&str] = &["name", "verify"];

    /// Reads them as they come off the bus.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] naming the key that is not known, whose type is not the one above, or whose value cannot be
    /// a name.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "name" => read.name = Some(bare_name(key, value)?),
                "verify" => read.verify = truth(key, value)?,
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
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_round_trip_and_a_path_is_refused() {
        let sent = ImportOptions { name: Some(b"monday.send".to_vec()), verify: true };
        let owned = |(key, value): (&str, Variant<'_>)| (key.to_owned(), value.try_into_owned().expect("owned"));
        assert_eq!(ImportOptions::from_options(&sent.to_options().into_iter().map(owned).collect()), Ok(sent.clone()));
        let path = [("name", Variant::from("/etc/shadow"))].into_iter().map(owned).collect();
        assert!(ImportOptions::from_options(&path).is_err());
    }
}
