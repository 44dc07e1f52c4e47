//! The name or address of a server.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The name of a machine in ASCII letters, or its IP address without brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host(String);

/// The longest name of the DNS.
const LONGEST: usize = 253;

impl Host {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is this machine, over an interface that no other machine reaches.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.0 == "localhost" || self.0.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// As in a URL: an IPv6 address has brackets.
    #[must_use]
    pub fn in_url(&self) -> String {
        if self.0.contains(':') { format!("[{}]", self.0) } else { self.0.clone() }
    }
}

impl TryFrom<String> for Host {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.parse::<IpAddr>().is_ok() {
            return Ok(Self(text));
        }
        let is_label = |label: &str| {
            let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(is_letter) && !label.starts_with('-')
        };
        // Only digits: resolvers read them as an address in one of its old forms, such as 2130706433.
        let is_number = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|digit| digit.is_ascii_digit()));
        if text.len() > LONGEST || is_number || !text.split('.').all(is_label) {
            return Err(
                "a server is the name of a machine, such as mail.example.org, or an IP address; names of other \
                        scripts are written with xn--",
            );
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_addresses_are_hosts() {
        let host = |text: &str| Host::try_from(text.to_owned());
        for good in ["localhost", "mail.example.org", "nas-2", "_x.example", "127.0.0.1", "::1", "2001:db8::7"] {
            assert!(host(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "a b",
            "a/b",
            "a@b",
            "a:25",
            "[::1]",
            "é.example",
            "-a",
            "a\nb",
            "2130706433",
            "127.1",
            "0x7f.1",
            &"a".repeat(64),
            &"a.".repeat(130),
        ] {
            assert!(host(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_loopback_is_known_by_name_and_address() {
        let is_loopback = |text: &str| Host::try_from(text.to_owned()).expect("a host").is_loopback();
        assert!(["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1"].map(is_loopback).into_iter().all(|is| is));
        let others = ["localhost.example.org", "127.0.0.1.example.org", "10.0.0.1", "::2"];
        assert!(!others.map(is_loopback).into_iter().any(|is| is));
    }
}
