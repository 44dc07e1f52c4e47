//! SMTP (RFC 5321) with TLS (RFC 8314, 3207) and a login (RFC 4954): as much as a mail of ours needs.
//!
//! Not the client of the library that writes the mail, for three reasons. It reads lines of any length. It takes what a stranger
//! sent behind the plain answer to `STARTTLS` for answers of the server, so a mail could count as taken that the server never saw. It
//! fails if the server does not answer `QUIT`, although the mail is taken, so it would be sent twice.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use butterdock_net_protocol::{Cause, Host, Line, MailAddress, MailSecurity};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use zeroize::Zeroizing;

use crate::error_text::{cause_of, text_of};

/// Timeout for a connection, and for each part of an answer; the program waits less long if the order says so.
const PATIENCE: Duration = Duration::from_secs(60);
/// Limit of bytes of a line of an answer; RFC 5321 allows 512.
const LINE: u64 = 2000;
/// Limit of lines of an answer.
const LINES: usize = 100;

/// A server, and how it is reached.
#[derive(Debug)]
pub(crate) struct Server<'a> {
    pub(crate) host: &'a Host,
    pub(crate) port: u16,
    pub(crate) security: MailSecurity,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

/// Sends a message. It is sent if the server says so; then nothing can fail any more.
///
/// # Errors
/// Why it was not sent, or what the server answered.
pub(crate) fn send(
    server: &Server<'_>,
    login: Option<(&str, Zeroizing<String>)>,
    (from, to): (&MailAddress, &[MailAddress]),
    message: &[u8],
) -> Result<(), Cause> {
    let stream = connect(server.host, server.port)?;
    match server.security {
        MailSecurity::Tls => {
            let mut dialogue = Dialogue::begin(encrypt(server, stream)?)?;
            let offers = dialogue.hello()?;
            send_message(dialogue, &offers, login, (from, to), message)
        }
        MailSecurity::Starttls => {
            let mut dialogue = Dialogue::begin(stream)?;
            if !dialogue.hello()?.iter().any(|offer| offer == "STARTTLS") {
                return Err(Cause::Unsupported(Line::of("the server does not offer STARTTLS")));
            }
            dialogue.command("STARTTLS", 220)?;
            let mut dialogue = Dialogue::new(encrypt(server, dialogue.into_stream()?)?);
            let offers = dialogue.hello()?;
            send_message(dialogue, &offers, login, (from, to), message)
        }
        MailSecurity::None => {
            let mut dialogue = Dialogue::begin(stream)?;
            let offers = dialogue.hello()?;
            send_message(dialogue, &offers, login, (from, to), message)
        }
    }
}

fn connect(host: &Host, port: u16) -> Result<TcpStream, Cause> {
    let addresses =
        (host.as_str(), port).to_socket_addrs().map_err(|error| Cause::Name(Line::of(&error.to_string())))?;
    let mut last = Cause::Name(Line::of("no address was found"));
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                let limited =
                    stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
                return limited.map(|()| stream).map_err(|error| broken(&error));
            }
            Err(error) => last = broken(&error),
        }
    }
    Err(last)
}

fn encrypt(server: &Server<'_>, stream: TcpStream) -> Result<StreamOwned<ClientConnection, TcpStream>, Cause> {
    let tls = |error: &rustls::Error| cause_of(error).unwrap_or_else(|| Cause::Tls(text_of(error)));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(server.authorities.iter().cloned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| tls(&error))?.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(server.host.as_str().to_owned());
    let name = name.map_err(|error| Cause::Tls(Line::of(&error.to_string())))?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| tls(&error))?;
    let mut stream = StreamOwned::new(connection, stream);
    // Now, so that a failure is known as one of TLS.
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| broken(&error))?;
    }
    Ok(stream)
}

fn send_message<S: Read + Write>(
    mut dialogue: Dialogue<S>,
    offers: &[String],
    login: Option<(&str, Zeroizing<String>)>,
    (from, to): (&MailAddress, &[MailAddress]),
    message: &[u8],
) -> Result<(), Cause> {
    if let Some((user, password)) = login {
        dialogue.log_in(offers, user, &password)?;
    }
    dialogue.command(&format!("MAIL FROM:<{from}>"), 250)?;
    for to in to {
        dialogue.command(&format!("RCPT TO:<{to}>"), 250)?;
    }
    dialogue.command("DATA", 354)?;
    dialogue.data(message)?;
    // The mail is taken, whatever comes now.
    drop(dialogue.write(b"QUIT\r\n"));
    Ok(())
}

fn broken(error: &io::Error) -> Cause {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return Cause::Connection(Line::of("the server closed the connection"));
    }
    cause_of(error).unwrap_or_else(|| Cause::Connection(text_of(error)))
}

/// Commands and answers.
#[derive(Debug)]
struct Dialogue<S: Read> {
    stream: BufReader<S>,
}

#[derive(Debug)]
struct Answer {
    code: u16,
    lines: Vec<String>,
}

impl<S: Read + Write> Dialogue<S> {
    fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Waits for the greeting.
    fn begin(stream: S) -> Result<Self, Cause> {
        let mut dialogue = Self::new(stream);
        let greeting = dialogue.answer()?;
        expect(&greeting, 220)?;
        Ok(dialogue)
    }

    /// What the server offers, in capital letters.
    fn hello(&mut self) -> Result<Vec<String>, Cause> {
        // The address literal needs no name of this machine, which is not to be told.
        let answer = self.command("EHLO [127.0.0.1]", 250)?;
        Ok(answer.lines.iter().skip(1).map(|line| line.to_ascii_uppercase()).collect())
    }

    fn log_in(&mut self, offers: &[String], user: &str, password: &str) -> Result<(), Cause> {
        let ways = offers.iter().find_map(|offer| offer.strip_prefix("AUTH ")).unwrap_or_default();
        let offers = |way: &str| ways.split(' ').any(|offered| offered == way);
        let encoded = |text: &str| Zeroizing::new(STANDARD.encode(text));
        let last = if offers("PLAIN") {
            let secret = Zeroizing::new(format!("\0{user}\0{password}"));
            self.ask(&Zeroizing::new(format!("AUTH PLAIN {}", *encoded(&secret))))?
        } else if offers("LOGIN") {
            self.command("AUTH LOGIN", 334)?;
            self.command(&encoded(user), 334)?;
            self.ask(&encoded(password))?
        } else {
            return Err(Cause::Unsupported(Line::of(&format!("the server offers none of PLAIN and LOGIN: {ways}"))));
        };
        match last.code {
            235 => Ok(()),
            500..=599 => Err(Cause::Login(last.said())),
            _ => Err(last.refusal()),
        }
    }

    /// Ends with the answer to the message.
    fn data(&mut self, message: &[u8]) -> Result<(), Cause> {
        let mut bytes = Vec::with_capacity(message.len() + 16);
        for line in message.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b".") {
                bytes.push(b'.');
            }
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b".\r\n");
        self.write(&bytes)?;
        let answer = self.answer()?;
        expect(&answer, 250)
    }

    /// Sends a command, to which only one code is the good answer.
    fn command(&mut self, command: &str, good: u16) -> Result<Answer, Cause> {
        let answer = self.ask(command)?;
        expect(&answer, good).map(|()| answer)
    }

    fn ask(&mut self, command: &str) -> Result<Answer, Cause> {
        let line = Zeroizing::new(format!("{command}\r\n"));
        self.write(line.as_bytes())?;
        self.answer()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).and_then(|()| stream.flush()).map_err(|error| broken(&error))
    }

    fn answer(&mut self) -> Result<Answer, Cause> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            let wrong = || Cause::Protocol(Line::of(&format!("the server does not answer as a mail server: {line}")));
            let code = line.get(..3).and_then(|code| code.parse().ok()).filter(|code| (200..600).contains(code));
            let code = code.ok_or_else(wrong)?;
            let is_last = match line.get(3..4) {
                None | Some(" ") => true,
                Some("-") => false,
                Some(_) => return Err(wrong()),
            };
            lines.push(line.get(4..).unwrap_or_default().to_owned());
            if is_last {
                return Ok(Answer { code, lines });
            }
            if lines.len() >= LINES {
                return Err(Cause::Protocol(Line::of("an answer of the server has too many lines")));
            }
        }
    }

    fn line(&mut self) -> Result<String, Cause> {
        let mut bytes = Vec::new();
        (&mut self.stream).take(LINE).read_until(b'\n', &mut bytes).map_err(|error| broken(&error))?;
        match bytes.strip_suffix(b"\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).trim_end().to_owned()),
            None if u64::try_from(bytes.len()).is_ok_and(|length| length >= LINE) => {
                Err(Cause::Protocol(Line::of("a line of the server is too long")))
            }
            None => Err(Cause::Connection(Line::of("the server closed the connection"))),
        }
    }

    /// The stream, for TLS: what arrived before is of no one that is known.
    fn into_stream(self) -> Result<S, Cause> {
        if self.stream.buffer().is_empty() {
            Ok(self.stream.into_inner())
        } else {
            Err(Cause::Protocol(Line::of("something was added to the answer before TLS began; it is not believed")))
        }
    }
}

fn expect(answer: &Answer, good: u16) -> Result<(), Cause> {
    if answer.code == good || (good == 250 && answer.code == 251) { Ok(()) } else { Err(answer.refusal()) }
}

impl Answer {
    fn said(&self) -> Line {
        Line::of(&format!("{} {}", self.code, self.lines.join(" ")))
    }

    fn refusal(&self) -> Cause {
        match self.code {
            // A login is required, or too weak (RFC 4954).
            530 | 534 | 535 | 538 => Cause::Login(self.said()),
            400..=499 => Cause::Later(self.code, self.said()),
            500..=599 => Cause::Refused(self.code, self.said()),
            _ => Cause::Protocol(self.said()),
        }
    }
}
