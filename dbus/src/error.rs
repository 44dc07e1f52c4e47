//! Errors as they cross the bus.

use std::fmt;
use std::str::FromStr;

use zbus::message::{Header, Message};
use zbus::names::ErrorName as BusErrorName;
use zbus::{DBusError, fdo};

use crate::names::ERROR_PREFIX;

/// The D-Bus name of an argument that is not understood: an unknown key, a wrong type, a descriptor of the wrong kind.
pub const INVALID_ARGS: &str = "org.freedesktop.DBus.Error.InvalidArgs";

macro_rules! error_names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The service's own error names, as the errors of calls and as the `ErrorName` of a failed job.
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
    /// polkit, or the lack of it, says no; or nobody could be asked, because the caller did not allow it.
    NotAuthorized,
    /// The volume, the drive or the queue cannot take this now.
    Busy,
    /// There is no such volume, job or drive; a finished job is forgotten after a while.
    NotFound,
    /// The name is taken.
    Exists,
    /// The filesystem or a quota is full.
    NoSpace,
    /// The filesystem is read-only.
    ReadOnly,
    /// The stream is damaged, or nothing that `btrfs send` makes.
    InvalidStream,
    /// The stream ended before its end.
    TruncatedStream,
    /// The stream has what this version, or this kernel, cannot do.
    UnsupportedStream,
    /// The stream builds on a subvolume that is not there.
    ParentMissing,
    /// The stream came more slowly, or took longer, than the configuration allows.
    TooSlow,
    /// The drive failed or was pulled.
    DeviceGone,
    /// Cancelled by a user.
    Cancelled,
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

    /// From the name on the bus, with its prefix.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|name| name.as_str() == text).ok_or_else(|| UnknownErrorName(text.to_owned()))
    }
}

/// An error name that is none of the service's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no error name of butterdock")]
pub struct UnknownErrorName(pub String);

/// Why a call was refused or failed. A service returns it from its methods; a proxy's methods fail with it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// One of the service's own errors, with a sentence for a person.
    #[error("{1}")]
    Named(ErrorName, String),
    /// [`INVALID_ARGS`], with a sentence that names the argument.
    #[error("{0}")]
    InvalidArgs(String),
    /// Everything else: no bus, no service, no reply.
    #[error(transparent)]
    Bus(zbus::Error),
}

/// What the bus's own errors begin with.
const STANDARD: &str = "org.freedesktop.DBus.Error.";

impl Error {
    /// One of the service's own errors.
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self::Named(name, message.into())
    }

    /// Whether the service is not there and could not be started.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let ends = ["ServiceUnknown", "NameHasNoOwner", "TimedOut"];
        // A bus that has systemd start its services passes on what systemd says, such as a masked unit.
        let name = self.of_bus();
        name.starts_with("org.freedesktop.systemd1.")
            || name.strip_prefix(STANDARD).is_some_and(|end| end.starts_with("Spawn.") || ends.contains(&end))
    }

    /// Whether the service went away before it answered: what was asked may have been done.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.of_bus().strip_prefix(STANDARD) == Some("NoReply")
    }

    /// The name of an error that is neither ours nor one of arguments; nothing where it has none.
    fn of_bus(&self) -> String {
        match self {
            Self::Bus(zbus::Error::FDO(error)) => error.name().to_string(),
            Self::Bus(zbus::Error::MethodError(name, _, _)) => name.to_string(),
            Self::Bus(_) | Self::Named(..) | Self::InvalidArgs(_) => String::new(),
        }
    }
}

impl From<zbus::Error> for Error {
    fn from(error: zbus::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "zbus has thirty errors, and two come from the other side")]
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
    fn the_fourteen_names_are_read_back() {
        assert_eq!(ErrorName::ALL.len(), 14);
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
