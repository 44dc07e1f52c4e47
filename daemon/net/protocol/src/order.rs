//! What the service orders.

use serde::{Deserialize, Serialize};

use crate::{CredentialName, Host, HttpUrl, Line, MailAddress};

/// One thing to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The version of the program that ordered it.
    pub version: String,
    /// The time for all of it.
    pub timeout_ms: u32,
    /// What, and where to.
    pub delivery: Delivery,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// A mail to a server.
    Mail(Mail),
    /// An HTTP request.
    Post(Post),
}

/// Who signs the certificates of servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authority {
    /// Those that the system trusts.
    System,
    /// Only these certificates: text in the PEM format.
    Own(String),
}

/// A mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The server that takes it.
    pub server: Host,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// Who signs its certificate.
    pub authority: Authority,
    /// The user at the server, and the credential that has the password.
    pub login: Option<(Line, CredentialName)>,
    /// The sender.
    pub from: MailAddress,
    /// The receivers.
    pub to: Vec<MailAddress>,
    /// The same for each attempt: the receiver's server can drop a second copy.
    pub id: Line,
    /// When it happened, in seconds since 1970.
    pub time: u64,
    /// The subject.
    pub subject: Line,
    /// The text.
    pub text: String,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailSecurity {
    /// TLS from the first byte (RFC 8314; port 465).
    Tls,
    /// TLS after `STARTTLS`, which the server must offer (port 587).
    Starttls,
    /// None; only to this machine.
    None,
}

/// An HTTP request with the method `POST`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Post {
    /// The server and the path.
    pub url: HttpUrl,
    /// Who signs its certificate.
    pub authority: Authority,
    /// The credential that is sent as `Authorization: Bearer`.
    pub token: Option<CredentialName>,
    /// `Content-Type`.
    pub content_type: ContentType,
    /// The body.
    pub body: String,
}

/// `Content-Type` of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContentType {
    /// JSON.
    Json,
    /// Text.
    Text,
}
