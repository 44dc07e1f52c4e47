//! Bytes as hexadecimal digits in JSON, for `#[serde(with = …)]`.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

/// Any number of bytes.
pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&digits(bytes))
}

/// Any number of bytes.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = Cow::<'de, str>::deserialize(from)?;
    read(&text).ok_or_else(|| D::Error::custom("not pairs of hexadecimal digits"))
}

/// Bytes that may be missing.
pub(crate) mod optional {
    use super::{Cow, Deserializer, Serializer, digits, read};
    use serde::de::Error as _;
    use serde::{Deserialize as _, Serialize as _};

    pub(crate) fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(digits).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let Some(text) = Option::<Cow<'de, str>>::deserialize(from)? else { return Ok(None) };
        read(&text).map(Some).ok_or_else(|| D::Error::custom("not pairs of hexadecimal digits"))
    }
}

/// The sixteen bytes of a UUID.
pub(crate) mod uuid {
    use super::{Deserializer, Serializer};
    use serde::de::Error as _;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        super::serialize(bytes, to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        let bytes = super::deserialize(from)?;
        bytes.try_into().map_err(|_bytes| D::Error::custom("not the sixteen bytes of a uuid"))
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        &[high, low] => Some((digit(high)? << 4) | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_round_trips() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(read(&digits(&all)), Some(all));
    }

    #[test]
    fn only_pairs_of_digits_are_accepted() {
        for text in ["0", "0g", "+1", "é", "00 "] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
