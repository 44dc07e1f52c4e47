//! The options of `Drive.Restore`.

use std::collections::HashMap;

use zbus::Variant;

use super::Options;
use super::read::{bare_name, unknown};
use crate::error::Error;

/// The options of `Drive.Restore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// `name`, `ay` or `s`: give the subvolume this name in the volume instead of the snapshot's.
    pub name: Option<Vec<u8>>,
}

impl RestoreOptions {
    /// The keys there are.
    pub const KEYS: &[&str] = &["name"];

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
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// As they go on the bus; what is not set is left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        self.name.iter().map(|name| ("name", Variant::from(name.as_slice()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_dotdot_is_refused() {
        let sent = RestoreOptions { name: Some(b"a\xff".to_vec()) };
        let owned = |(key, value): (&str, Variant<'_>)| (key.to_owned(), value.try_into_owned().expect("owned"));
        assert_eq!(RestoreOptions::from_options(&sent.to_options().into_iter().map(owned).collect()), Ok(sent.clone()));
        let climbing = [("name", Variant::from("../x"))].into_iter().map(owned).collect();
        assert!(RestoreOptions::from_options(&climbing).is_err());
    }
}
