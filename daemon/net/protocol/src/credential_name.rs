//! The name of a credential.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a file in the directory of credentials: letters, digits, `-`, `_` and `.`, never a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialName(String);

impl CredentialName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CredentialName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter);
        if (1..=64).contains(&text.len()) && text.bytes().all(is_letter) && !text.starts_with('.') {
            Ok(Self(text))
        } else {
            Err("the name of a credential has 1 to 64 letters, digits, -, _ and .; it is the name of a file in \
                 /etc/butterdock/credentials, and not the secret")
        }
    }
}

impl From<CredentialName> for String {
    fn from(name: CredentialName) -> Self {
        name.0
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_name_of_a_credential() {
        let name = |text: &str| CredentialName::try_from(text.to_owned());
        assert!(["mail", "ntfy-token", "a.b_c"].map(name).iter().all(Result::is_ok));
        for bad in ["", "..", "../shadow", "/etc/shadow", ".a", "a b", "a\0", "p@ssword", &"a".repeat(65)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }
}
