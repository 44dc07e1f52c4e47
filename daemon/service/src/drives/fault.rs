//! Errors for callers: messages of drives and tools may contain file names, which only the journal may have.

use crate::types::{Error, ErrorCode};

use super::DriveId;
use crate::catalogue;
use crate::device::Error as Fault;

/// What is said of a drive that went while it was mounted.
pub(super) const PULLED: &str =
    "the drive was unplugged while it was in use; plug it in again, and the next backup sends what is missing";

/// For a caller. The journal gets all of it.
pub(super) fn for_caller(id: &DriveId, fault: &Fault) -> Error {
    tracing::warn!(MESSAGE_ID = catalogue::DRIVE_UNUSABLE, BUTTERDOCK_DRIVE = id.as_str(), "{fault}");
    Error::new(fault.code(), fault.public())
}

pub(super) fn no_such_drive(id: &DriveId) -> Error {
    Error::new(
        ErrorCode::NotFound,
        format!("there is no drive \"{}\"; it may have been unplugged", id.as_str().escape_debug()),
    )
}

pub(super) fn failed(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::Failed, text)
}

pub(super) fn busy(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::Busy, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unresponsive_drive_is_device_gone() {
        let id = DriveId::from(uuid::Uuid::nil());
        let fault = Fault::system("reading /dev/sdb1")(nix::Error::ENXIO);
        let Error::Named(name, text) = for_caller(&id, &fault) else { panic!("it has a name") };
        assert_eq!(name, ErrorCode::DeviceGone);
        assert!(text.contains("unplugged") && text.ends_with("plug it in again"), "{text}");
    }
}
