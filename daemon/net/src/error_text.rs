//! Causes in the errors of libraries.

use std::error::Error;
use std::io::{self, ErrorKind};

use butterdock_net_protocol::{Cause, Line};

/// The cause that an error of a connection holds, at whatever depth; None if there is no such cause.
pub(crate) fn cause_of(error: &(dyn Error + 'static)) -> Option<Cause> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(Cause::Tls(Line::of(&tls_text(tls))));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(match io.get_ref().and_then(|inner| cause_of(inner)) {
                Some(cause) => cause,
                None if is_timeout(io) => Cause::Timeout,
                None => Cause::Connection(Line::of(&io.to_string())),
            });
        }
        next = error.source();
    }
    None
}

/// All of an error, with its causes.
pub(crate) fn text_of(error: &(dyn Error + 'static)) -> Line {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let cause = error.to_string();
        // Some errors show their cause themselves.
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        next = error.source();
    }
    Line::of(&text)
}

fn tls_text(error: &rustls::Error) -> String {
    use rustls::CertificateError;
    let rustls::Error::InvalidCertificate(why) = error else { return error.to_string() };
    if *why == CertificateError::UnknownIssuer {
        "no trusted authority has signed the certificate of the server".to_owned()
    } else {
        format!("the certificate of the server is not good: {why}")
    }
}

fn is_timeout(error: &io::Error) -> bool {
    // A socket with a timeout answers WouldBlock.
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}
