//! The address of a mail.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Host;

/// `name@machine`, in printable ASCII letters: nothing in it can end a line of the mail or of SMTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailAddress(String);

/// The longest of SMTP.
const LONGEST: usize = 254;

impl MailAddress {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MailAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let wrong = "a mail address is name@machine, without blanks, quotes and brackets";
        let (name, machine) = text.rsplit_once('@').ok_or(wrong)?;
        let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&letter);
        let has_empty_part = name.split('.').any(str::is_empty);
        if text.len() > LONGEST || name.len() > 64 || has_empty_part || !name.bytes().all(is_plain) {
            return Err(wrong);
        }
        let machine = Host::try_from(machine.to_owned()).map_err(|_host| wrong)?;
        if machine.as_str().contains(':') {
            return Err(wrong);
        }
        Ok(Self(text))
    }
}

impl From<MailAddress> for String {
    fn from(address: MailAddress) -> Self {
        address.0
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_second_line() {
        let address = |text: &str| MailAddress::try_from(text.to_owned());
        for good in ["root@localhost", "ann.b+nas@mail.example.org"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "root",
            "@a",
            "a@",
            "a b@c",
            "<a@b>",
            "\"a\"@b",
            "a@b\r\nBcc: c@d",
            "a,b@c",
            "a@b c",
            ".a@b",
            "a..b@c",
            "a@[::1]",
            "é@a",
        ] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }
}
