//! The URL of a server, in the only form that is accepted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Host;

/// `https://host[:port]/path[?query]`; `http` only to this machine. No user, no fragment, only printable ASCII.
///
/// Parsers of URLs differ in what they do with other letters, and one that sees another host than the one that was checked would be
/// a hole, so this form leaves nothing to interpret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpUrl {
    is_tls: bool,
    host: Host,
    port: u16,
    /// Begins with a slash.
    path: String,
}

const LONGEST: usize = 2000;

impl HttpUrl {
    /// The server.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port; that of the scheme if the URL names none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is `https`.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The path with its query; begins with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether both lead to the same server in the same way.
    #[must_use]
    pub fn is_same_server(&self, other: &Self) -> bool {
        (self.is_tls, &self.host, self.port) == (other.is_tls, &other.host, other.port)
    }

    /// Another path on the same server.
    ///
    /// # Errors
    /// It is no path.
    pub fn with_path(&self, path: &str) -> Result<Self, &'static str> {
        Self::try_from(format!("{}{path}", self.server()))
    }

    /// Without path and query, which may hold a secret.
    #[must_use]
    pub fn server(&self) -> String {
        let (scheme, usual) = if self.is_tls { ("https", 443) } else { ("http", 80) };
        let host = self.host.in_url();
        if self.port == usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{}", self.port) }
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() > LONGEST {
            return Err("a URL has up to 2000 characters");
        }
        let is_plain = |letter: u8| letter.is_ascii_graphic() && !br#"\"<>^`{|}#"#.contains(&letter);
        if !text.bytes().all(is_plain) {
            return Err("a URL has only printable ASCII characters, no blank, no quote and no fragment");
        }
        let (is_tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) | None => return Err("a URL begins with https://"),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err("a URL has no user and no password; name a credential");
        }
        let (host, port) = split_port(authority)?;
        let host = Host::try_from(host.to_owned())?;
        let port = match port {
            None if is_tls => 443,
            None => 80,
            Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or("the port of a URL is a number")?,
        };
        if !is_tls && !host.is_loopback() {
            return Err("http:// is only for this machine (localhost); to others, https:// keeps what is sent secret");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { is_tls, host, port, path })
    }
}

/// An IPv6 address is in brackets.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), &'static str> {
    let wrong = "the server of a URL is a name or an address, and a port behind a colon";
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, behind) = rest.split_once(']').ok_or(wrong)?;
        if !host.contains(':') {
            return Err(wrong);
        }
        return match behind.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if behind.is_empty() => Ok((host, None)),
            None => Err(wrong),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(wrong),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

impl From<HttpUrl> for String {
    fn from(url: HttpUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.server(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Result<HttpUrl, &'static str> {
        HttpUrl::try_from(text.to_owned())
    }

    #[test]
    fn https_to_all_and_http_to_this_machine() {
        for good in [
            "https://ntfy.sh/nas",
            "https://example.org",
            "https://example.org:8443/a/b?c=d&e=%20",
            "http://localhost:8080/hook",
            "http://127.0.0.1/",
            "http://[::1]:81/x",
            "https://[2001:db8::1]/",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "ftp://example.org/",
            "file:///etc/shadow",
            "http://example.org/",
            "http://127.0.0.1.example.org/",
            "http://localhost@example.org/",
            "https://u:p@example.org/",
            "https://example.org\\@localhost/",
            "https://exa mple.org/",
            "https://example.org/\r\nHost: x",
            "https://example.org/#x",
            "https://example.org:0/",
            "https://example.org:99999/",
            "https://a:1:2/",
            "https://[::1/",
            "https://[localhost]/",
            "https:///x",
            "HTTP://localhost/",
        ] {
            assert!(url(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn its_text_is_read_again_as_it_was() {
        let read = url("https://EXAMPLE.org:443?x=1").expect("a URL");
        assert_eq!(read.to_string(), "https://example.org/?x=1");
        assert_eq!(read.server(), "https://example.org");
        assert!(read.is_same_server(&url("https://example.org/y").expect("a URL")));
        for other in ["https://example.org:444/", "https://www.example.org/", "http://localhost/"] {
            assert!(!read.is_same_server(&url(other).expect("a URL")), "{other}");
        }
        let fail = read.with_path("/x/fail").expect("a path");
        assert_eq!(fail.to_string(), "https://example.org/x/fail");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_read_is_stable(text in "\\PC{0,40}|https?://[!-~]{0,40}") {
            if let Ok(read) = url(&text) {
                prop_assert_eq!(url(&read.to_string()), Ok(read));
            }
        }
    }
}
