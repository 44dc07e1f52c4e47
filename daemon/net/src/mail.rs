//! Mails: what is in them.

use std::time::{Duration, SystemTime};

use butterdock_net_protocol::{Cause, Line, Mail, MailSecurity};
use lettre::Message;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};

use crate::smtp::{self, Server};
use crate::{authorities, credential};

/// Sends a mail.
///
/// # Errors
/// Why it was not sent, or what the server answered.
pub(crate) fn send(mail: &Mail) -> Result<(), Cause> {
    if mail.security == MailSecurity::None && !mail.server.is_loopback() {
        return Err(order("only a server on this machine may be reached without TLS"));
    }
    if mail.to.is_empty() {
        return Err(order("a mail has a receiver"));
    }
    let message = message(mail)?.formatted();
    if !message.is_ascii() {
        return Err(order("the text cannot be written in ASCII"));
    }
    let authorities = match mail.security {
        MailSecurity::Tls | MailSecurity::Starttls => authorities::certificates(&mail.authority)?,
        MailSecurity::None => Vec::new(),
    };
    let login = match &mail.login {
        Some((user, name)) => Some((user.as_str(), credential::read(name)?)),
        None => None,
    };
    let server = Server { host: &mail.server, port: mail.port, security: mail.security, authorities };
    smtp::send(&server, login, (&mail.from, &mail.to), &message)
}

fn order(why: &str) -> Cause {
    Cause::Order(Line::of(why))
}

fn message(mail: &Mail) -> Result<Message, Cause> {
    let mailbox = |name: Option<&str>, address: &str| {
        let address = address.parse().map_err(|error| order(&format!("{address}: {error}")))?;
        Ok::<_, Cause>(Mailbox::new(name.map(str::to_owned), address))
    };
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(mail.time));
    let mut message = Message::builder()
        .from(mailbox(Some("butterdock"), mail.from.as_str())?)
        .date(time.unwrap_or(SystemTime::UNIX_EPOCH))
        .message_id(Some(format!("<{}@butterdock.invalid>", mail.id)))
        .subject(mail.subject.as_str())
        // So that no notice of absence answers it (RFC 3834).
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    for to in &mail.to {
        message = message.to(mailbox(None, to.as_str())?);
    }
    let is_text = |letter: &char| matches!(letter, '\n' | '\t') || !letter.is_control();
    let text: String = mail.text.chars().filter(is_text).collect();
    message.singlepart(SinglePart::plain(text)).map_err(|error| order(&error.to_string()))
}
