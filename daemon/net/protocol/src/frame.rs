//! The messages on the connection: four bytes of length (little-endian), then JSON.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{Order, Report};

/// The longest order: its text and the certificates of an own authority are most of it.
pub const ORDER_MAX: u32 = 512 << 10;
/// The longest report.
pub const REPORT_MAX: u32 = 16 << 10;

/// Why there is no message.
#[derive(Debug, Error)]
pub enum FrameError {
    /// The connection broke, or the other side ended.
    #[error("the connection ended: {0}")]
    Connection(#[from] io::Error),
    /// It is longer than allowed.
    #[error("a message of {0} bytes is too long")]
    TooLong(u64),
    /// It is no message of the protocol.
    #[error("it is no message of the protocol: {0}")]
    Invalid(#[from] serde_json::Error),
}

/// Reads an order.
///
/// # Errors
/// As of [`FrameError`].
pub fn read_order(from: impl Read) -> Result<Order, FrameError> {
    read(from, ORDER_MAX)
}

/// Writes an order.
///
/// # Errors
/// As of [`FrameError`].
pub fn write_order(to: impl Write, order: &Order) -> Result<(), FrameError> {
    write(to, order, ORDER_MAX)
}

/// Reads a report.
///
/// # Errors
/// As of [`FrameError`].
pub fn read_report(from: impl Read) -> Result<Report, FrameError> {
    read(from, REPORT_MAX)
}

/// Writes a report.
///
/// # Errors
/// As of [`FrameError`].
pub fn write_report(to: impl Write, report: &Report) -> Result<(), FrameError> {
    write(to, report, REPORT_MAX)
}

fn read<T: DeserializeOwned>(mut from: impl Read, longest: u32) -> Result<T, FrameError> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > longest {
        return Err(FrameError::TooLong(length.into()));
    }
    // It grows with what arrives: the length is only a claim.
    let mut bytes = Vec::new();
    let length = u64::from(length);
    from.take(length).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read < length) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(serde_json::from_slice(&bytes)?)
}

fn write<T: Serialize>(mut to: impl Write, message: &T, longest: u32) -> Result<(), FrameError> {
    let bytes = serde_json::to_vec(message)?;
    let too_long = || FrameError::TooLong(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= longest).ok_or_else(too_long)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&bytes)?;
    to.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Authority, Cause, ContentType, Delivery, HttpUrl, Line, Post};

    fn order(body: &str) -> Order {
        let url = HttpUrl::try_from("https://example.org/hook".to_owned()).expect("a URL");
        let (authority, content_type) = (Authority::System, ContentType::Json);
        let post = Post { url, authority, token: None, content_type, body: body.to_owned() };
        Order { version: "1".to_owned(), timeout_ms: 1000, delivery: Delivery::Post(post) }
    }

    #[test]
    fn messages_are_read_as_written() {
        let mut bytes = Vec::new();
        write_order(&mut bytes, &order("{}\n")).expect("written");
        assert_eq!(read_order(bytes.as_slice()).expect("read"), order("{}\n"));
        let report = Report::Failed(Cause::Refused(404, Line::of("not\nfound")));
        let mut bytes = Vec::new();
        write_report(&mut bytes, &report).expect("written");
        assert_eq!(read_report(bytes.as_slice()).expect("read"), report);
    }

    #[test]
    fn a_long_message_is_refused_before_it_is_read() {
        let claim = u32::MAX.to_le_bytes();
        assert!(matches!(read_order(claim.as_slice()), Err(FrameError::TooLong(_))));
        assert!(matches!(read_report((REPORT_MAX + 1).to_le_bytes().as_slice()), Err(FrameError::TooLong(_))));
        let long = order(&"x".repeat(600 << 10));
        assert!(matches!(write_order(Vec::new(), &long), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn an_order_is_checked_again_by_its_reader() {
        let written = serde_json::to_string(&order("{}")).expect("JSON");
        for (good, bad) in [
            ("https://example.org/hook", "http://example.org/hook"),
            ("https://example.org/hook", "file:///etc/shadow"),
            ("\"token\":null", "\"token\":\"../../etc/shadow\""),
            ("\"version\"", "\"more\":1,\"version\""),
        ] {
            let text = written.replace(good, bad);
            assert_ne!(text, written);
            let length = u32::try_from(text.len()).expect("short").to_le_bytes();
            let bytes = [length.as_slice(), text.as_bytes()].concat();
            assert!(matches!(read_order(bytes.as_slice()), Err(FrameError::Invalid(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read_order(bytes.as_slice()).is_err());
            drop(read_report(bytes.as_slice()));
        }
    }
}
