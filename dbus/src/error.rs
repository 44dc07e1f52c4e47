//! Errors on the bus: the service's error names, and the error of a call.

use std::fmt;
use std::str::FromStr;

use zbus::message::{Header, Message};
use zbus::names::ErrorName as BusErrorName;
use zbus::{DBusError, fdo};

use crate::names::ERROR_PREFIX;

/// The D-Bus name of the error for an invalid argument: an unknown key, a wrong type, a descriptor of the wrong kind.
pub const INVALID_ARGS: &str = "org.freedesktop.DBus.Error.InvalidArgs";

macro_rules! error_names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The service's own error names, for calls and for the property `ErrorName` of a failed job.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorName {
            $($(#[$doc])* $name,)+
        }

        impl ErrorName {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name on the bus, with its prefix.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("org.butterdock.Butterdock1.Error.", stringify!($name)),)+
                }
            }
        }
    };
}

error_names! {
    /// polkit refused, polkit does not run, or the caller did not allow a password dialog.
    NotAuthorized,
    /// The volume, the drive or the queue is busy, or the caller is over a limit.
    Busy,
    /// No such volume, job, drive, destination, backup or snapshot. A finished job stays on the bus for a limited time.
    NotFound,
    /// The name of the subvolume, or of the table of settings, exists; the drive is enrolled already.
    Exists,
    /// The filesystem or a quota is full.
    NoSpace,
    /// The filesystem is read-only, also that of the settings.
    ReadOnly,
    /// The stream is damaged, or not a stream of `btrfs send`.
    InvalidStream,
    /// The stream ended early.
    TruncatedStream,
    /// This version or this kernel does not support a part of the stream.
    UnsupportedStream,
    /// The parent of the stream is missing.
    ParentMissing,
    /// The stream was slower, or took longer, than the configuration allows; or a job with files made no progress, or took too long.
    TooSlow,
    /// The passphrase or the key does not open the drive.
    WrongPassphrase,
    /// The drive failed or was unplugged, or the volume is not mounted.
    DeviceGone,
    /// Cancelled by a user or by service shutdown.
    Cancelled,
    /// The service does not do this, for example change a setting that only the file may; the message says how it is done.
    NotAllowed,
    /// The settings were changed since they were read.
    StaleRevision,
    /// A person holds the snapshot: release it first.
    Held,
    /// The snapshot is the parent of a next increment: it is deleted only with the option `force`.
    Shared,
    /// Anything else; the message says what.
    Failed,
}

impl ErrorName {
    /// The name without its prefix.
    #[must_use]
    pub fn short(self) -> &'static str {
        self.as_str().trim_start_matches(ERROR_PREFIX)
    }
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErrorName {
    type Err = UnknownErrorName;

    /// Parses the name on the bus, with its prefix.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|name| name.as_str() == text).ok_or_else(|| UnknownErrorName(text.to_owned()))
    }
}

/// An error name that is none of the service's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no error name of butterdock")]
pub struct UnknownErrorName(pub String);

/// The error of a call, for the methods of the service and of the proxies.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// One of the service's own errors, with an English sentence.
    #[error("{1}")]
    Named(ErrorName, String),
    /// [`INVALID_ARGS`], with a sentence that names the argument.
    #[error("{0}")]
    InvalidArgs(String),
    /// All other errors: no bus, no service, no reply.
    #[error(transparent)]
    Bus(zbus::Error),
}

/// The prefix of the bus's own error names.
const STANDARD: &str = "org.freedesktop.DBus.Error.";

impl Error {
    /// One of the service's own errors.
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self::Named(name, message.into())
    }

    /// Whether the service does not run and could not be started.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let ends = ["ServiceUnknown", "NameHasNoOwner", "TimedOut"];
        // A bus that starts services through systemd passes on systemd's errors, such as a masked unit.
        let name = self.bus_error_name();
        name.starts_with("org.freedesktop.systemd1.")
            || name.strip_prefix(STANDARD).is_some_and(|end| end.starts_with("Spawn.") || ends.contains(&end))
    }

    /// Whether the service exited before it replied: the call may have had its effect.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.bus_error_name().strip_prefix(STANDARD) == Some("NoReply")
    }

    /// The name of an error of the bus; empty for the service's own errors, for `InvalidArgs`, and without a name.
    fn bus_error_name(&self) -> String {
        match self {
            Self::Bus(zbus::Error::FDO(error)) => error.name().to_string(),
            Self::Bus(zbus::Error::MethodError(name, _, _)) => name.to_string(),
            Self::Bus(_) | Self::Named(..) | Self::InvalidArgs(_) => String::new(),
        }
    }
}

impl From<zbus::Error> for Error {
    fn from(error: zbus::Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "of the thirty errors of zbus, two are replies of the service"
        )]
        let (name, message) = match &error {
            zbus::Error::MethodError(name, message, _) => (name.as_str().to_owned(), message.clone()),
            zbus::Error::FDO(error) => (error.name().as_str().to_owned(), error.description().map(str::to_owned)),
            _ => return Self::Bus(error),
        };
        if name == INVALID_ARGS {
            return Self::InvalidArgs(message.unwrap_or_default());
        }
        match name.parse() {
            Ok(name) => Self::Named(name, message.unwrap_or_default()),
            Err(UnknownErrorName(_)) => Self::Bus(error),
        }
    }
}

impl From<fdo::Error> for Error {
    fn from(error: fdo::Error) -> Self {
        zbus::Error::from(error).into()
    }
}

impl DBusError for Error {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.name()).build(&self.to_string())
    }

    fn name(&self) -> BusErrorName<'_> {
        match self {
            Self::Named(name, _) => BusErrorName::from_static_str_unchecked(name.as_str()),
            Self::InvalidArgs(_) => BusErrorName::from_static_str_unchecked(INVALID_ARGS),
            Self::Bus(zbus::Error::MethodError(name, _, _)) => name.as_ref(),
            Self::Bus(zbus::Error::FDO(error)) => error.name(),
            Self::Bus(_) => BusErrorName::from_static_str_unchecked(ErrorName::Failed.as_str()),
        }
    }

    fn description(&self) -> Option<&str> {
        match self {
            Self::Named(_, message) | Self::InvalidArgs(message) => Some(message),
            Self::Bus(error) => error.description(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_round_trip() {
        assert_eq!(ErrorName::ALL.len(), 19);
        for name in ErrorName::ALL {
            assert_eq!(name.as_str().parse(), Ok(*name));
            assert_eq!(name.as_str(), format!("{ERROR_PREFIX}{}", name.short()));
            assert!(BusErrorName::try_from(name.as_str()).is_ok());
        }
        assert!("org.freedesktop.DBus.Error.Failed".parse::<ErrorName>().is_err());
    }

    #[test]
    fn an_error_keeps_its_name_and_sentence_across_the_bus() {
        let call = Message::method_call("/a", "M").build(&()).expect("a call");
        for sent in [Error::new(ErrorName::Busy, "two words"), Error::InvalidArgs("no such key".to_owned())] {
            let reply = sent.create_reply(&call.header()).expect("a reply");
            assert_eq!(Error::from(zbus::Error::from(reply)), sent);
        }
    }

    #[test]
    fn an_absent_service_differs_from_a_refusal() {
        assert!(Error::from(fdo::Error::ServiceUnknown("x".to_owned())).is_absent());
        assert!(Error::from(fdo::Error::SpawnChildExited("x".to_owned())).is_absent());
        let lost = Error::from(fdo::Error::NoReply("x".to_owned()));
        assert!(lost.is_lost() && !lost.is_absent());
        assert!(!Error::new(ErrorName::NotFound, "x").is_absent());
    }
}
