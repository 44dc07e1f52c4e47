//! Reading one option, and saying what is wrong with it.

use zbus::OwnedVariant;

use crate::error::Error;

/// A bare file name, `ay` or `s`; a terminating NUL, which some bindings add, is no part of it.
pub(super) fn bare_name(key: &str, value: &OwnedVariant) -> Result<Vec<u8>, Error> {
    let bytes = if let Ok(text) = <&str>::try_from(value) {
        text.as_bytes().to_vec()
    } else {
        let copy = value.try_clone().map_err(|_wrong| wrong_type(key, "ay", value))?;
        let mut bytes = Vec::<u8>::try_from(copy).map_err(|_wrong| wrong_type(key, "ay", value))?;
        if bytes.last() == Some(&0) {
            bytes.pop();
        }
        bytes
    };
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
            "the option {key} must not begin with {}, which what is half-made is called; choose another",
            HIDDEN.escape_ascii()
        )));
    }
    Ok(bytes)
}

/// `b`.
pub(super) fn truth(key: &str, value: &OwnedVariant) -> Result<bool, Error> {
    bool::try_from(value).map_err(|_wrong| wrong_type(key, "b", value))
}

/// A key that the method does not have.
pub(super) fn unknown(key: &str, keys: &[&str]) -> Error {
    let key = key.escape_debug();
    Error::InvalidArgs(match keys {
        [] => format!("there is no option \"{key}\"; this method has none yet"),
        [only] => format!("there is no option \"{key}\"; there is only {only}"),
        keys => format!("there is no option \"{key}\"; there are {}", keys.join(", ")),
    })
}

/// `t`.
pub(super) fn number(key: &str, value: &OwnedVariant) -> Result<u64, Error> {
    u64::try_from(value).map_err(|_wrong| wrong_type(key, "t", value))
}

/// `s`.
pub(super) fn text(key: &str, value: &OwnedVariant) -> Result<String, Error> {
    <&str>::try_from(value).map(str::to_owned).map_err(|_wrong| wrong_type(key, "s", value))
}

fn wrong_type(key: &str, wanted: &str, value: &OwnedVariant) -> Error {
    Error::InvalidArgs(format!("the option {key} is of type {wanted}, not {}", value.value_signature()))
}

/// The longest name that Linux takes.
const NAME_MAX: usize = 255;
/// How the names of subvolumes begin that are not received whole.
const HIDDEN: &[u8] = b".butterdock-";
