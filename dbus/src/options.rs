//! The `a{sv}` at the end of every method: its type, and the functions that read one option and word its error.
//!
//! Each method with options has a struct beside its interface, with `from_options` for the service and `to_options` for
//! clients.

use std::collections::HashMap;

use zbus::{ObjectPath, OwnedObjectPath, OwnedVariant};

use crate::error::Error;

/// An `a{sv}`.
pub type Options = HashMap<String, OwnedVariant>;

/// Checks the options of a method that has no options yet.
///
/// # Errors
/// [`Error::InvalidArgs`] names the first key.
pub fn none(options: &Options) -> Result<(), Error> {
    options.keys().next().map_or(Ok(()), |key| Err(unknown(key, &[])))
}

/// The error for a key that the method does not have.
pub(crate) fn unknown(key: &str, keys: &[&str]) -> Error {
    let key = key.escape_debug();
    Error::InvalidArgs(match keys {
        [] => format!("there is no option \"{key}\"; this method has none yet"),
        [only] => format!("there is no option \"{key}\"; there is only {only}"),
        keys => format!("there is no option \"{key}\"; there are {}", keys.join(", ")),
    })
}

/// `b`.
pub(crate) fn boolean(key: &str, value: &OwnedVariant) -> Result<bool, Error> {
    bool::try_from(value).map_err(|_wrong| wrong_type(key, "b", value))
}

/// `t`.
pub(crate) fn number(key: &str, value: &OwnedVariant) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_wrong| wrong_type(key, "t", value))
}

/// `s`.
pub(crate) fn text(key: &str, value: &OwnedVariant) -> Result<String, Error> {
    <&str>::try_from(value).map(str::to_owned).map_err(|_wrong| wrong_type(key, "s", value))
}

/// `o`.
pub(crate) fn object_path(key: &str, value: &OwnedVariant) -> Result<OwnedObjectPath, Error> {
    let path = value.downcast_ref::<&ObjectPath<'_>>();
    path.map(|path| path.to_owned().into()).map_err(|_wrong| wrong_type(key, "o", value))
}

/// `as`.
pub(crate) fn texts(key: &str, value: &OwnedVariant) -> Result<Vec<String>, Error> {
    let wrong = || wrong_type(key, "as", value);
    let copy = value.try_clone().map_err(|_wrong| wrong())?;
    Vec::<String>::try_from(copy).map_err(|_wrong| wrong())
}

/// `ay` or `s`. Some bindings end `ay` with a NUL; it is removed.
pub(crate) fn bytes(key: &str, value: &OwnedVariant) -> Result<Vec<u8>, Error> {
    if let Ok(text) = <&str>::try_from(value) {
        return Ok(text.as_bytes().to_vec());
    }
    let copy = value.try_clone().map_err(|_wrong| wrong_type(key, "ay", value))?;
    let mut bytes = Vec::<u8>::try_from(copy).map_err(|_wrong| wrong_type(key, "ay", value))?;
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

/// The name of a subvolume or file without a path, as [`bytes`].
pub(crate) fn bare_name(key: &str, value: &OwnedVariant) -> Result<Vec<u8>, Error> {
    let bytes = bytes(key, value)?;
    let length = 1..=NAME_MAX;
    if !length.contains(&bytes.len())
        || [&b"."[..], b".."].contains(&&*bytes)
        || bytes.iter().any(|b| b"/\0".contains(b))
    {
        return Err(Error::InvalidArgs(format!(
            "the option {key} must be a bare file name of 1 to {NAME_MAX} bytes, and \"{}\" is none",
            bytes.escape_ascii()
        )));
    }
    if bytes.starts_with(HIDDEN) {
        return Err(Error::InvalidArgs(format!(
            "the option {key} must not begin with {}, the prefix of incomplete subvolumes; choose another name",
            HIDDEN.escape_ascii()
        )));
    }
    Ok(bytes)
}

fn wrong_type(key: &str, wanted: &str, value: &OwnedVariant) -> Error {
    Error::InvalidArgs(format!("the option {key} is of type {wanted}, not {}", value.value_signature()))
}

/// `NAME_MAX` of Linux.
const NAME_MAX: usize = 255;
/// The prefix of the names of incomplete subvolumes.
const HIDDEN: &[u8] = b".butterdock-";

#[cfg(test)]
pub(crate) mod tests {
    use zbus::Variant;

    use super::*;

    /// Options as the service reads them.
    pub(crate) fn owned<'a>(options: impl IntoIterator<Item = (&'a str, Variant<'a>)>) -> Options {
        let pairs = options.into_iter();
        pairs.map(|(key, value)| (key.to_owned(), value.try_into_owned().expect("owned"))).collect()
    }

    /// The message of a refusal.
    pub(crate) fn complaint<T: std::fmt::Debug>(read: Result<T, Error>) -> String {
        match read {
            Err(Error::InvalidArgs(message)) => message,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn a_method_without_options_refuses_every_key() {
        assert_eq!(none(&Options::new()), Ok(()));
        assert!(none(&owned([("a", true.into())])).is_err());
    }

    #[test]
    fn a_name_may_be_text_or_bytes_with_a_trailing_nul() {
        let name = |value: Variant<'static>| bare_name("name", &value.try_into_owned().expect("owned"));
        assert_eq!(name("x".into()), Ok(b"x".to_vec()));
        assert_eq!(name(b"x\0".to_vec().into()), Ok(b"x".to_vec()));
        assert!(complaint(name(vec![1_u32].into())).contains("type ay, not au"));
    }

    #[test]
    fn a_name_that_climbs_is_refused() {
        let long = "x".repeat(256);
        for name in ["", ".", "..", "../x", "a/b", "/", "/etc/shadow", "a\0b", long.as_str()] {
            let name = Variant::from(name).try_into_owned().expect("owned");
            assert!(bare_name("name", &name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_name_of_an_incomplete_subvolume_is_refused() {
        let name = Variant::from(".butterdock-mine").try_into_owned().expect("owned");
        assert!(complaint(bare_name("name", &name)).contains("begin with .butterdock-"));
    }
}
