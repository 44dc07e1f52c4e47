//! What the service and `butterdock-net` say to each other over one connection: one [`Order`], then one [`Report`].
//!
//! ```text
//! service                      butterdock-net
//!    length, JSON of an Order ->
//!                             <- length, JSON of a Report
//! ```
//!
//! Each side bounds a message before it reads it, and checks again what the other has checked: the types here cannot hold a
//! URL without TLS to another machine, an address with a second header in it, or a path as the name of a credential.

#![forbid(unsafe_code)]

mod address;
mod credential_name;
mod frame;
mod host;
mod line;
mod order;
mod report;
mod url;

pub use address::MailAddress;
pub use credential_name::CredentialName;
pub use frame::{FrameError, ORDER_MAX, REPORT_MAX, read_order, read_report, write_order, write_report};
pub use host::Host;
pub use line::Line;
pub use order::{Authority, ContentType, Delivery, Mail, MailSecurity, Order, Post};
pub use report::{Cause, Report};
pub use url::HttpUrl;
