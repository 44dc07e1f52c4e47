//! What became of an order.

use serde::{Deserialize, Serialize};

use crate::Line;

/// The end of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The server took it.
    Delivered,
    /// It did not.
    Failed(Cause),
}

/// Why an order was not carried out. The lines are the words of the other side or of the system: text that is shown in quotes, and
/// that decides nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The order is not one.
    Order(Line),
    /// The credential of this name is not there, cannot be read, or is no text of one line.
    Credential(Line),
    /// No address was found for the server.
    Name(Line),
    /// The server was not reached, or the connection broke.
    Connection(Line),
    /// It took too long.
    Timeout,
    /// No secure connection: for example the certificate is not trusted, is of another name, or has expired.
    Tls(Line),
    /// The system has no certificates of authorities, so no server can be trusted.
    NoAuthorities,
    /// The server does not offer `STARTTLS`, or no way to log in that is known.
    Unsupported(Line),
    /// The server wants the request elsewhere, where it may not go.
    Redirect(Line),
    /// The server refused user and password, or the token.
    Login(Line),
    /// The server refused with this status for now: 4xx of SMTP, 5xx and 429 of HTTP.
    Later(u16, Line),
    /// The server refused with this status: 5xx of SMTP, 4xx of HTTP.
    Refused(u16, Line),
    /// The answer of the server is not of the protocol, or too long.
    Protocol(Line),
}

impl Cause {
    /// For programs, for example `tls`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Order(_) => "order",
            Self::Credential(_) => "credential",
            Self::Name(_) => "name",
            Self::Connection(_) => "connection",
            Self::Timeout => "timeout",
            Self::Tls(_) => "tls",
            Self::NoAuthorities => "no-authorities",
            Self::Unsupported(_) => "unsupported",
            Self::Redirect(_) => "redirect",
            Self::Login(_) => "login",
            Self::Later(..) => "later",
            Self::Refused(..) => "refused",
            Self::Protocol(_) => "protocol",
        }
    }
}
