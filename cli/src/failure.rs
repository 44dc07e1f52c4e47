//! Why something was not done: a sentence, what to do next, and an exit status of sysexits.h.

use butterdock_dbus::{Error, ErrorName, INVALID_ARGS};
use zbus::DBusError as _;

/// The job failed, or it could not be begun.
pub(crate) const FAILED: u8 = 1;
/// `EX_USAGE`: the command line cannot be understood, or names what there is not.
pub(crate) const USAGE: u8 = 64;
/// `EX_UNAVAILABLE`: no service.
pub(crate) const UNAVAILABLE: u8 = 69;
/// `EX_NOPERM`: the caller may not do this.
pub(crate) const NOT_ALLOWED: u8 = 77;
/// Ctrl-C: the job goes on, and nobody knows yet how it ends.
pub(crate) const INTERRUPTED: u8 = 130;

/// What ends a verb before it is done.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The exit status.
    pub(crate) exit: u8,
    /// The D-Bus error name, where it came over the bus.
    pub(crate) name: Option<String>,
    /// What happened, to what.
    pub(crate) message: String,
    /// What to do next, where the message does not say it.
    pub(crate) next: Option<String>,
}

impl Failure {
    /// One that was found here.
    pub(crate) fn own(message: String) -> Self {
        Self { exit: FAILED, name: None, message, next: None }
    }

    /// A command line that names what cannot be.
    pub(crate) fn usage(message: String, next: &str) -> Self {
        Self { exit: USAGE, name: None, message, next: Some(next.to_owned()) }
    }

    /// The service is not there.
    pub(crate) fn absent() -> Self {
        let message = "the service butterdockd does not answer on the bus: start it with `systemctl start butterdockd`, \
                       and if it does not stay up, `journalctl -u butterdockd` says why";
        Self { exit: UNAVAILABLE, name: None, message: message.to_owned(), next: None }
    }

    /// The service went away while it was listened to.
    pub(crate) fn gone() -> Self {
        let message = "the service butterdockd went away in the middle of it: once it is back, `butterdock jobs` shows \
                       what runs, and `butterdock history` how a job ended";
        Self { message: message.to_owned(), ..Self::absent() }
    }

    /// There is no bus.
    pub(crate) fn no_bus(address: Option<&str>, error: &zbus::Error) -> Self {
        let what = match address {
            Some(address) => {
                format!("cannot connect to the bus at {address}, which BUTTERDOCK_BUS_ADDRESS names: {error}")
            }
            None => format!("cannot connect to the system bus: {error}; start it (`systemctl start dbus`)"),
        };
        Self { message: what, ..Self::absent() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if error.is_absent() {
            return Self::absent();
        }
        if error.is_lost() {
            return Self::gone();
        }
        let bus_name = error.name().to_string();
        match error {
            Error::Named(name, message) => Self {
                exit: if name == ErrorName::NotAuthorized { NOT_ALLOWED } else { FAILED },
                name: Some(bus_name),
                next: next(name, &message).map(str::to_owned),
                message,
            },
            Error::InvalidArgs(message) => {
                Self { exit: USAGE, name: Some(INVALID_ARGS.to_owned()), message, next: None }
            }
            Error::Bus(error) => Self {
                exit: FAILED,
                name: Some(bus_name),
                message: format!("the service did not do it: {}", said(&error)),
                next: Some("`journalctl -u butterdockd` may say more".to_owned()),
            },
        }
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<zbus::fdo::Error> for Failure {
    fn from(error: zbus::fdo::Error) -> Self {
        Error::from(error).into()
    }
}

/// The sentence that came with an error, where one did.
fn said(error: &zbus::Error) -> String {
    error.description().map_or_else(|| error.to_string(), str::to_owned)
}

/// What to do about an error, as far as its name tells; none where the service's sentence says it already, which it does
/// behind a semicolon.
pub(crate) fn next(name: ErrorName, message: &str) -> Option<&'static str> {
    if message.contains("; ") {
        return None;
    }
    match name {
        ErrorName::NotAuthorized => {
            Some("run it as root (sudo butterdock …), or have an administrator allow it with a rule of polkit")
        }
        ErrorName::Busy => Some("`butterdock jobs` shows what is going on; try again when that is done"),
        ErrorName::NotFound => Some(
            "`butterdock volumes`, `butterdock drives`, `butterdock backups` and `butterdock jobs` list what there is",
        ),
        ErrorName::Exists => Some("delete or rename it, or choose another name with --as"),
        ErrorName::NoSpace => Some("make room (`butterdock volumes` shows what is free) and send again"),
        ErrorName::ReadOnly => Some("see dmesg for why it is read-only, remount it and send again"),
        ErrorName::ParentMissing => {
            Some("send a full stream, or receive the missing subvolume first; `butterdock snapshots VOLUME` lists them")
        }
        ErrorName::DeviceGone => Some("check the drive and its cable, attach it (or mount the volume) and start again"),
        ErrorName::TooSlow => Some("check the sender and its connection, or have the limits in [streams] changed"),
        ErrorName::TruncatedStream => Some("the transfer was cut off: send the subvolume again"),
        ErrorName::InvalidStream => {
            Some("send the subvolume again; if it fails again, do not trust where it came from")
        }
        ErrorName::UnsupportedStream => Some("send with an older protocol (btrfs send --proto) or update butterdock"),
        ErrorName::Cancelled => Some("start again when you like"),
        ErrorName::Failed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_exit_status_of_its_name() {
        let exit = |error: Error| Failure::from(error).exit;
        assert_eq!(exit(Error::new(ErrorName::NotAuthorized, "no")), NOT_ALLOWED);
        assert_eq!(exit(Error::new(ErrorName::NoSpace, "full")), FAILED);
        assert_eq!(exit(Error::InvalidArgs("no such option".to_owned())), USAGE);
        assert_eq!(exit(zbus::fdo::Error::ServiceUnknown(String::new()).into()), UNAVAILABLE);
        assert_eq!(exit(zbus::fdo::Error::NoReply("late".to_owned()).into()), UNAVAILABLE);
    }

    #[test]
    fn what_the_service_says_is_what_is_shown() {
        let failure = Failure::from(Error::new(ErrorName::NotFound, "there is no volume \"tnak\""));
        assert_eq!(failure.message, "there is no volume \"tnak\"");
        assert_eq!(failure.name.as_deref(), Some("org.butterdock.Butterdock1.Error.NotFound"));
        assert!(failure.next.is_some_and(|next| next.contains("butterdock volumes")));
        let failure = Failure::from(Error::new(ErrorName::NotFound, "there is none; look elsewhere"));
        assert_eq!(failure.next, None, "nobody is told twice what to do");
    }
}
