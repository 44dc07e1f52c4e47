//! Errors of a verb: what happened, what to do next, and an exit status of sysexits.h.

use butterdock_dbus::{Error, ErrorName, INVALID_ARGS};
use zbus::DBusError as _;

/// The job failed or could not start.
pub(crate) const FAILED: u8 = 1;
/// `EX_USAGE`: the command line is invalid or names something that does not exist.
pub(crate) const USAGE: u8 = 64;
/// `EX_UNAVAILABLE`: the service is not running.
pub(crate) const UNAVAILABLE: u8 = 69;
/// `EX_NOPERM`: the caller may not do this.
pub(crate) const NOT_ALLOWED: u8 = 77;
/// Ctrl-C: the job continues, and its result is not known yet.
pub(crate) const INTERRUPTED: u8 = 130;

/// An error that ends a verb.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The exit status.
    pub(crate) exit: u8,
    /// The D-Bus error name, if the error came over the bus.
    pub(crate) name: Option<String>,
    /// What happened, to what.
    pub(crate) message: String,
    /// What to do next, if the message does not say it.
    pub(crate) next: Option<String>,
}

impl Failure {
    /// An error of this program.
    pub(crate) fn own(message: String) -> Self {
        Self { exit: FAILED, name: None, message, next: None }
    }

    /// A usage error.
    pub(crate) fn usage(message: String, next: &str) -> Self {
        Self { exit: USAGE, name: None, message, next: Some(next.to_owned()) }
    }

    /// The service is not running.
    pub(crate) fn absent() -> Self {
        let message = "the service butterdockd does not answer on the bus: start it with `systemctl start butterdockd`; \
                       if it does not keep running, `journalctl -u butterdockd` says why";
        Self { exit: UNAVAILABLE, name: None, message: message.to_owned(), next: None }
    }

    /// The service disappeared during a call.
    pub(crate) fn gone() -> Self {
        let message = "the service butterdockd disappeared during the call: when it runs again, `butterdock jobs` lists the \
                       running jobs, and `butterdock history` the finished ones";
        Self { message: message.to_owned(), ..Self::absent() }
    }

    /// The bus is not running.
    pub(crate) fn no_bus(address: Option<&str>, error: &zbus::Error) -> Self {
        let what = match address {
            Some(address) => {
                format!("cannot connect to the bus at {address} (from BUTTERDOCK_BUS_ADDRESS): {error}")
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
                exit: if matches!(name, ErrorName::NotAuthorized | ErrorName::NotAllowed) {
                    NOT_ALLOWED
                } else {
                    FAILED
                },
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
                message: format!("the call to the service failed: {}", description(&error)),
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

/// The text of an error, without its name if it has a description.
fn description(error: &zbus::Error) -> String {
    error.description().map_or_else(|| error.to_string(), str::to_owned)
}

/// What to do after an error with this name; `None` if the service's message already says it (after a semicolon).
pub(crate) fn next(name: ErrorName, message: &str) -> Option<&'static str> {
    if message.contains("; ") {
        return None;
    }
    match name {
        ErrorName::NotAuthorized => {
            Some("run it as root (sudo butterdock …), or ask an administrator for a polkit rule that allows it")
        }
        ErrorName::Busy => Some("`butterdock jobs` lists the running jobs; try again when they have ended"),
        ErrorName::NotFound => {
            Some("`butterdock volumes`, `butterdock drives`, `butterdock backups` and `butterdock jobs` list all names")
        }
        ErrorName::Exists => Some("delete or rename it, or choose another name with --as"),
        ErrorName::NoSpace => Some("free some space (`butterdock volumes` shows the free space) and send again"),
        ErrorName::ReadOnly => Some("see dmesg for the reason, remount it and send again"),
        ErrorName::ParentMissing => {
            Some("send a full stream, or receive the missing subvolume first; `butterdock snapshots VOLUME` lists them")
        }
        ErrorName::DeviceGone => Some("check the drive and its cable, attach it (or mount the volume) and try again"),
        ErrorName::TooSlow => {
            Some("check the sender and its connection, or ask the administrator to change the limits in [streams]")
        }
        ErrorName::TruncatedStream => Some("the transfer was cut off: send the subvolume again"),
        ErrorName::InvalidStream => Some("send the subvolume again; if it fails again, do not trust its sender"),
        ErrorName::UnsupportedStream => Some("send with an older protocol (btrfs send --proto) or update butterdock"),
        ErrorName::Cancelled => Some("start the job again if you need it"),
        ErrorName::WrongPassphrase => Some("try again: the drive is as it was"),
        ErrorName::Held => Some("`butterdock snapshots release` releases it"),
        ErrorName::Shared => Some("delete it with --force"),
        ErrorName::StaleRevision => Some("`butterdock settings` shows them as they are now; try again"),
        ErrorName::NotAllowed | ErrorName::Failed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_name_selects_the_exit_status() {
        let exit = |error: Error| Failure::from(error).exit;
        assert_eq!(exit(Error::new(ErrorName::NotAuthorized, "no")), NOT_ALLOWED);
        assert_eq!(exit(Error::new(ErrorName::NoSpace, "full")), FAILED);
        assert_eq!(exit(Error::InvalidArgs("no such option".to_owned())), USAGE);
        assert_eq!(exit(zbus::fdo::Error::ServiceUnknown(String::new()).into()), UNAVAILABLE);
        assert_eq!(exit(zbus::fdo::Error::NoReply("late".to_owned()).into()), UNAVAILABLE);
    }

    #[test]
    fn the_services_message_is_shown_unchanged() {
        let failure = Failure::from(Error::new(ErrorName::NotFound, "there is no volume \"tnak\""));
        assert_eq!(failure.message, "there is no volume \"tnak\"");
        assert_eq!(failure.name.as_deref(), Some("org.butterdock.Butterdock1.Error.NotFound"));
        assert!(failure.next.is_some_and(|next| next.contains("butterdock volumes")));
        let failure = Failure::from(Error::new(ErrorName::NotFound, "there is none; look elsewhere"));
        assert_eq!(failure.next, None, "the hint is not repeated");
    }
}
