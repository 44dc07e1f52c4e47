//! The descriptors that came with calls.
//!
//! zbus closes the descriptors of a message when it drops the message, on the thread that serves all clients. For a file of a
//! FUSE filesystem close(2) can hang for ever. So a message carries `/dev/null` in its place, and this table keeps the
//! descriptor of the caller, as a [`QuarantinedFd`], until the method takes it. If no method takes it, another thread closes it
//! after the answer.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use butterdock_dbus::names::interface::{DRIVE, MANAGER, VOLUME};
use butterdock_dbus::{Error, ErrorName};
use serde::{Deserialize, Deserializer};
use zbus::message::Header;
use zbus::{Signature, Type};

use super::calls::CallId;
use butterdock_service::untrusted_fd::{FdCount, QuarantinedFd};

/// The descriptor argument of a method; the descriptor itself is in the [`FdTable`].
#[derive(Debug, Clone, Copy)]
pub(super) struct PassedFd;

impl Type for PassedFd {
    const SIGNATURE: &'static Signature = &Signature::Fd;
}

impl<'de> Deserialize<'de> for PassedFd {
    /// Opens nothing: the index in the message is enough.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i32::deserialize(deserializer).map(|_stand_in| Self)
    }
}

/// The descriptors of callers. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct FdTable {
    quarantined: Arc<Mutex<HashMap<CallId, QuarantinedFd>>>,
    /// Messages carry copies of this file in place of descriptors.
    stand_in: Arc<File>,
}

impl FdTable {
    /// # Errors
    /// There is no `/dev/null`.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { quarantined: Arc::default(), stand_in: Arc::new(File::open("/dev/null")?) })
    }

    /// Whether this method has a descriptor argument.
    pub(super) fn takes(interface: &str, member: &str) -> bool {
        [(MANAGER, "Receive"), (VOLUME, "Receive"), (DRIVE, "EnrolEncrypted"), (DRIVE, "Unlock")]
            .contains(&(interface, member))
    }

    /// Keeps the descriptor of a call; returns the file for the message. Never waits.
    ///
    /// # Errors
    /// The process has no free descriptor, or this one cannot be kept.
    pub(super) fn keep(&self, call: &CallId, descriptor: OwnedFd, count: FdCount) -> io::Result<OwnedFd> {
        let quarantined = QuarantinedFd::new(descriptor, Some(count))?;
        let stand_in = self.stand_in.try_clone()?;
        self.lock().insert(call.clone(), quarantined);
        Ok(stand_in.into())
    }

    /// Takes the descriptor of this call.
    ///
    /// # Errors
    /// The call has none, or it was taken already.
    pub(super) fn claim(&self, _passed: PassedFd, call: &Header<'_>) -> Result<QuarantinedFd, Error> {
        let sender = call.sender().map(ToString::to_string).unwrap_or_default();
        let found = self.lock().remove(&CallId { sender, serial: call.primary().serial_num() });
        found.ok_or_else(|| Error::new(ErrorName::Failed, "the call has no descriptor; pass one, and call again"))
    }

    /// The call was answered.
    pub(super) fn forget(&self, call: &CallId) {
        let left = self.lock().remove(call);
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallId, QuarantinedFd>> {
        self.quarantined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::num::NonZeroU32;

    use zbus::Message;

    use super::*;

    fn call(serial: u32) -> (CallId, Message) {
        let serial = NonZeroU32::new(serial).expect("not 0");
        let message = Message::method_call("/", "M").sender(":1.7").serial(serial).build(&()).expect("a call");
        (CallId { sender: ":1.7".to_owned(), serial }, message)
    }

    fn count() -> FdCount {
        FdCount::take(0).expect("root's")
    }

    #[test]
    fn a_descriptor_is_claimed_once_by_its_own_call() {
        let table = FdTable::new().expect("a table");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let ((id, message), (_, other)) = (call(1), call(2));
        drop(table.keep(&id, writer.into(), count()).expect("kept"));
        assert!(table.claim(PassedFd, &other.header()).is_err());
        let writer = table.claim(PassedFd, &message.header()).expect("claimed").copy().expect("a descriptor");
        File::from(writer).write_all(b"x").expect("it is the pipe");
        assert!(table.claim(PassedFd, &message.header()).is_err());
        let mut text = String::new();
        reader.read_to_string(&mut text).expect("to its end");
        assert_eq!(text, "x");
    }

    #[test]
    fn an_unclaimed_descriptor_is_closed_after_the_answer() {
        let table = FdTable::new().expect("a table");
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let (id, _) = call(1);
        let stand_in = table.keep(&id, writer.into(), count()).expect("kept");
        table.forget(&id);
        assert_eq!(reader.read(&mut [0]).expect("the end"), 0);
        drop(stand_in);
    }

    #[test]
    fn methods_with_a_descriptor_are_those_of_the_contract() {
        let mut found = Vec::new();
        for text in butterdock_dbus::introspection::ALL {
            let (mut interface, mut method) = ("", "");
            for line in text.lines() {
                let named = |tag: &str| line.split_once(tag).and_then(|(_, rest)| rest.split('"').next());
                interface = named("<interface name=\"").unwrap_or(interface);
                method = named("<method name=\"").unwrap_or(method);
                if line.contains("<arg") && line.contains("type=\"h\"") && line.contains("direction=\"in\"") {
                    assert!(FdTable::takes(interface, method), "{interface}.{method}");
                    found.push(method);
                }
            }
        }
        found.sort_unstable();
        assert_eq!(found, ["EnrolEncrypted", "Receive", "Receive", "Unlock"]);
    }
}
