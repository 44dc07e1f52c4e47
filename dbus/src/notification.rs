//! What the methods about notifications of `org.butterdock.Butterdock1.Manager` return.

use zbus::{DeserializeDict, SerializeDict, Type};

use crate::problem::Problem;

/// A channel for notifications: a row of `ListNotifications`. Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct NotificationChannel {
    /// Its configured name.
    pub name: String,
    /// Its kind, as in butterdock.toml.
    pub kind: String,
    /// How many notifications wait.
    pub queued: u64,
    /// How many were dropped since the start of the service.
    pub dropped: u64,
    /// When the last one was delivered since the start of the service, in microseconds since 1970; missing if none was.
    pub last_delivered: Option<u64>,
    /// Why it does not work; missing if nothing is wrong.
    pub problems: Option<Vec<Problem>>,
}

/// The answer of `TestNotification`. Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct NotificationTest {
    /// Whether the server took the message.
    pub delivered: bool,
    /// Why it did not, for programs, for example `tls`.
    pub cause: Option<String>,
    /// The same as an English sentence, with what the server said.
    pub message: Option<String>,
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;

    #[test]
    fn a_channel_round_trips() {
        let sent = NotificationChannel { name: "ann".to_owned(), queued: 2, ..NotificationChannel::default() };
        let bytes = to_bytes(Context::new(LE, 0), &sent).expect("written");
        assert_eq!(bytes.deserialize::<NotificationChannel>().expect("a channel").0, sent);
        let sent = NotificationTest { cause: Some("tls".to_owned()), ..NotificationTest::default() };
        let bytes = to_bytes(Context::new(LE, 0), &sent).expect("written");
        assert_eq!(bytes.deserialize::<NotificationTest>().expect("an answer").0, sent);
    }
}
