//! Judges each message from the bus before zbus sees it, and counts the answers.
//!
//! Each call counts for its user until it was answered: the call, the bytes of its answer ([`CallTable`] says why), and its
//! descriptor. This must happen here, because zbus starts a method as soon as it has read the call. A call over a limit gets
//! an error at once, other threads close its descriptors, and zbus does not see it.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use butterdock_dbus::{Error, ErrorName};
use tokio::sync::mpsc;
use zbus::message::Type;
use zbus::names::{ErrorName as BusErrorName, UniqueName};
use zbus::{Connection, DBusError as _, Message};

use super::callers::Callers;
use super::calls::{CallId, CallTable, NewCall, Refusal};
use super::fd_table::FdTable;
use super::header::{Fields, Fixed, Kind, ask_for_reply, without_descriptors};
use butterdock_service::untrusted_fd::{FdCount, close};

/// The longest call: names, paths and options.
pub(super) const LONGEST_CALL: usize = 256 << 10;
/// The longest answer to a call of the service.
pub(super) const LONGEST: usize = 1 << 20;
/// Limit of refusals that wait to be written to the bus.
const REFUSALS: usize = 1024;

/// Admits calls. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    callers: Callers,
    descriptors: FdTable,
    calls: Arc<Mutex<CallTable>>,
    refusals: mpsc::Sender<Message>,
}

/// The refusals to send.
#[derive(Debug)]
pub(super) struct Refusals(mpsc::Receiver<Message>);

/// A message as it was read.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) fixed: Fixed,
    /// The whole message; only the header of a message that is too long.
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

impl Admission {
    pub(super) fn new(callers: Callers, descriptors: FdTable) -> (Self, Refusals) {
        let (refusals, sent) = mpsc::channel(REFUSALS);
        let calls = Arc::new(Mutex::new(CallTable::new(Instant::now())));
        (Self { callers, descriptors, calls, refusals }, Refusals(sent))
    }

    /// The message for zbus; none if it is refused.
    pub(super) async fn judge(&self, mut message: Received) -> Option<Received> {
        let Received { fixed, bytes, descriptors } = &mut message;
        let Some(fields) = fixed.fields(bytes) else {
            close_all(std::mem::take(descriptors), None);
            return None;
        };
        match fixed.kind {
            Kind::Call => {
                let (fixed, descriptors) = (*fixed, std::mem::take(descriptors));
                self.call(fixed, std::mem::take(bytes), descriptors).await
            }
            // A message that is too long answers no call of the service.
            Kind::Reply | Kind::Signal | Kind::Other if fixed.kind == Kind::Other || bytes.len() < fixed.total => {
                close_all(std::mem::take(descriptors), None);
                None
            }
            // The service asks logind for a descriptor.
            Kind::Reply if descriptors.len() == fields.descriptors => Some(message),
            Kind::Reply | Kind::Signal | Kind::Other => {
                let place = fields.place();
                without_descriptors(bytes, place);
                close_all(std::mem::take(descriptors), None);
                Some(message)
            }
        }
    }

    async fn call(&self, fixed: Fixed, mut bytes: Vec<u8>, mut descriptors: Vec<OwnedFd>) -> Option<Received> {
        let fields = fixed.fields(&bytes)?;
        let caller = match self.callers.user(fields.sender).await {
            Ok(uid) => CallId { sender: fields.sender.to_owned(), serial: fixed.serial }.of(uid),
            Err(error) => {
                tracing::debug!("a call of {}, which has left the bus: {error}", fields.sender);
                close_all(descriptors, None);
                return None;
            }
        };
        if self.lock().is_in_flight(&caller.id) {
            // An answer to two calls with one number would be ambiguous.
            close_all(descriptors, Some(caller.uid));
            return None;
        }
        if let Err(error) = self.admit(&caller, &fixed, &fields, &bytes, &mut descriptors) {
            close_all(descriptors, Some(caller.uid));
            if let Some(error) = error
                && fixed.wants_reply
                && self.lock().may_refuse(caller.uid, Instant::now())
            {
                self.refuse(&caller.id, &error);
            }
            return None;
        }
        let place = fields.place();
        if descriptors.is_empty() {
            without_descriptors(&mut bytes, place);
        }
        ask_for_reply(&mut bytes);
        Some(Received { fixed, bytes, descriptors })
    }

    /// On success leaves the stand-in for the descriptor of the call in `descriptors`; on failure the unused descriptors.
    fn admit(
        &self,
        caller: &Caller,
        fixed: &Fixed,
        fields: &Fields<'_>,
        bytes: &[u8],
        descriptors: &mut Vec<OwnedFd>,
    ) -> Result<(), Option<Error>> {
        if bytes.len() < fixed.total {
            let text = format!("the call is {} bytes long; the limit is {LONGEST_CALL}", fixed.total);
            return Err(Some(Error::InvalidArgs(text)));
        }
        if descriptors.len() < fields.descriptors {
            let text = "the service has no free descriptors; call again in a few seconds";
            return Err(Some(busy(text)));
        }
        let is_taken = FdTable::takes(fields.interface, fields.member);
        if is_taken && descriptors.len() > 1 {
            let text = "the call has more than one descriptor; pass only the one that the method takes";
            return Err(Some(Error::InvalidArgs(text.to_owned())));
        }
        if !is_taken {
            close_all(std::mem::take(descriptors), Some(caller.uid));
        }
        let count = match descriptors.is_empty() {
            true => None,
            false => Some(FdCount::take(caller.uid).ok_or_else(|| {
                Some(busy("the service holds too many of your descriptors; wait until their calls and jobs have ended"))
            })?),
        };
        let Fields { member, .. } = *fields;
        let new = NewCall { uid: caller.uid, member, length: fixed.total, wants_reply: fixed.wants_reply };
        match self.lock().begin(&caller.id, new, Instant::now()) {
            Ok(()) => {}
            Err(Refusal::Busy(text)) => {
                if fixed.wants_reply {
                    self.refuse(&caller.id, &busy(text));
                }
                return Err(None);
            }
            Err(Refusal::Unanswered) => return Err(None),
        }
        let (Some(count), Some(descriptor)) = (count, descriptors.pop()) else { return Ok(()) };
        match self.descriptors.keep(&caller.id, descriptor, count) {
            Ok(stand_in) => {
                descriptors.push(stand_in);
                Ok(())
            }
            Err(error) => {
                tracing::warn!("cannot keep a caller's descriptor: {error}");
                self.lock().end(&caller.id, 0, false);
                Err(Some(busy("cannot keep the descriptor; pass a pipe, a file or a socket, and call again")))
            }
        }
    }

    /// Whether the receiver wants this message.
    pub(super) fn is_wanted(&self, message: &Message) -> bool {
        answered(message).is_none_or(|call| self.lock().wants_reply(&call))
    }

    /// The message was sent, or was not wanted: the call that it answers has ended.
    pub(super) fn sent(&self, message: &Message, bytes: usize) {
        if let Some(call) = answered(message) {
            self.lock().end(&call, bytes, message.message_type() == Type::MethodReturn);
            self.descriptors.forget(&call);
        }
    }

    /// zbus could not parse an admitted call.
    pub(super) fn forget(&self, message: &Fixed, bytes: &[u8]) {
        if message.kind == Kind::Call
            && let Some(fields) = message.fields(bytes)
        {
            let call = CallId { sender: fields.sender.to_owned(), serial: message.serial };
            self.lock().end(&call, 0, false);
            self.descriptors.forget(&call);
        }
    }

    /// Queues a refusal, if the queue has room.
    fn refuse(&self, call: &CallId, error: &Error) {
        match refusal(call, error) {
            Ok(message) => drop(self.refusals.try_send(message)),
            Err(failed) => tracing::debug!("a call of {} was refused without an answer: {failed}", call.sender),
        }
    }

    fn lock(&self) -> MutexGuard<'_, CallTable> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusals {
    /// Sends them until the connection is lost.
    pub(super) async fn send(mut self, connection: Connection) {
        while let Some(refusal) = self.0.recv().await {
            if connection.send(&refusal).await.is_err() {
                return;
            }
        }
    }
}

/// A call and its user.
#[derive(Debug)]
struct Caller {
    id: CallId,
    uid: u32,
}

impl CallId {
    fn of(self, uid: u32) -> Caller {
        Caller { id: self, uid }
    }
}

fn busy(text: &str) -> Error {
    Error::new(ErrorName::Busy, text)
}

/// The call that a message answers.
fn answered(message: &Message) -> Option<CallId> {
    if !matches!(message.message_type(), Type::MethodReturn | Type::Error) {
        return None;
    }
    let header = message.header();
    Some(CallId { sender: header.destination()?.to_string(), serial: header.reply_serial()? })
}

fn refusal(call: &CallId, error: &Error) -> zbus::Result<Message> {
    // zbus builds an error from the call that it answers and uses only these two fields.
    let sender = UniqueName::try_from(call.sender.as_str())?;
    let call = Message::method_call("/", "Refused").sender(sender).serial(call.serial).build(&())?;
    let name: BusErrorName<'_> = error.name();
    Message::error(&call.header(), name).build(&error.to_string())
}

/// Each counts for its user until it is closed, within the limit.
fn close_all(descriptors: Vec<OwnedFd>, uid: Option<u32>) {
    for descriptor in descriptors {
        close(descriptor, uid.and_then(FdCount::take));
    }
}
