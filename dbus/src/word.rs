//! Enums whose values are strings (words) on the bus.

/// Declares an enum of words, with the conversions from and to `str`, serde, and the D-Bus type `s`.
///
/// With a last variant `Other`, unknown words are kept, because a later version may add words. Without it, the contract
/// fixes the set of words, and an unknown word is an error.
macro_rules! word {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? } $(other $(#[$odoc:meta])* $other:ident)?) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            $($(#[$odoc])* $other(String),)?
        }

        impl $name {
            /// The words that this version knows.
            pub const WORDS: &[&str] = &[$($word),+];

            /// The word.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    $(Self::$other(word) => word,)?
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::word::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    $(word if !word.is_empty() => Ok(Self::$other(word.to_owned())),)?
                    word => Err($crate::word::UnknownWord { what: stringify!($name), word: word.to_owned() }),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <String as serde::Deserialize>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }

        impl zbus::Type for $name {
            const SIGNATURE: &'static zbus::Signature = <&str as zbus::Type>::SIGNATURE;
        }
    };
}
pub(crate) use word;

/// A word that is not in the contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} has no {word:?}; the service is of another version")]
pub struct UnknownWord {
    /// The type of the word.
    pub what: &'static str,
    /// The word.
    pub word: String,
}
