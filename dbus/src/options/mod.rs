//! The `a{sv}` at the end of every method: for each method with options a struct that is read from them and written to
//! them.

mod backup;
mod enrol;
mod import;
mod read;
mod receive;
mod restore;

use std::collections::HashMap;

use zbus::OwnedVariant;

use crate::error::Error;

pub use backup::{BackupOptions, ListBackupsOptions};
pub use enrol::EnrolOptions;
pub use import::ImportOptions;
pub use receive::ReceiveOptions;
pub use restore::RestoreOptions;

/// An `a{sv}`.
pub type Options = HashMap<String, OwnedVariant>;

/// So many bytes `Unlock` takes as a secret: as many as a pipe holds, so that a client can write them before the call.
pub const SECRET_MAX: usize = 65536;

/// The options of a method that has none yet: refuses every key.
///
/// # Errors
/// [`Error::InvalidArgs`] naming the key.
pub fn none(options: &Options) -> Result<(), Error> {
    options.keys().next().map_or(Ok(()), |key| Err(read::unknown(key, &[])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_without_options_refuses_every_key() {
        assert_eq!(none(&Options::new()), Ok(()));
        let some = Options::from([("a".to_owned(), OwnedVariant::from(true))]);
        assert!(none(&some).is_err());
    }
}
