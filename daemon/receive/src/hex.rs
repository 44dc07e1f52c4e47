//! Bytes as lower-case hexadecimal digits, for `#[serde(with = …)]`: a fixed number of them, as in a uuid.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

pub(crate) fn serialize<S: Serializer, const N: usize>(value: &[u8; N], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&digits(value))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(from: D) -> Result<[u8; N], D::Error> {
    let text = Cow::<'de, str>::deserialize(from)?;
    read(&text).ok_or_else(|| D::Error::custom(format!("not {N} bytes as lower-case hexadecimal digits")))
}

pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes; none if there are more or fewer, or if a character is no such digit.
pub(crate) fn read<const N: usize>(text: &str) -> Option<[u8; N]> {
    any_number(text)?.try_into().ok()
}

fn any_number(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// The same for any number of bytes.
pub(crate) mod bytes {
    use std::borrow::Cow;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::digits(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        super::any_number(&text).ok_or_else(|| D::Error::custom("not pairs of lower-case hexadecimal digits"))
    }
}
