//! The sixteen bytes of a uuid as lower-case hexadecimal digits, for `#[serde(with = …)]`.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(uuid: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&digits(uuid))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
    let text = Cow::<'de, str>::deserialize(from)?;
    read(&text).ok_or_else(|| D::Error::custom("not the 32 hexadecimal digits of a uuid"))
}

pub(super) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The same for any number of bytes.
pub(super) mod bytes {
    use std::borrow::Cow;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::digits(bytes))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        let pairs = text.as_bytes().chunks(2).map(|pair| {
            let digits = std::str::from_utf8(pair).ok().filter(|digits| digits.len() == 2)?;
            digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())?
        });
        pairs.collect::<Option<Vec<u8>>>().ok_or_else(|| D::Error::custom("not pairs of hexadecimal digits"))
    }
}

pub(super) fn read(text: &str) -> Option<[u8; 16]> {
    let is_digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 32 || !text.bytes().all(is_digit) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}
