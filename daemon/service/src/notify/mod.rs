//! Notifications of failures, over the channels of `[[notify]]`.
//!
//! ```text
//! hooks (all events) -> sending -> store (durable) -> channel (order, backoff) -> message -> program (butterdock-net)
//! ```
//!
//! * `notification` is one message that waits for its server, as it is recorded.
//! * `store` keeps it until the server has taken it, or it is dropped, also across restarts.
//! * `channel` (pure) decides what is sent next, and when again after a failure.
//! * `message` (pure) words a notification and makes the order.
//! * `program` hands an order to `butterdock-net`: the service itself reaches no network. Tests have another one.
//! * `sending` is the task that does it.
//!
//! A server gets a notification once, unless the service is killed between the server's answer and the removal of the record; then
//! the second copy has the id of the first (`Message-ID` of a mail, `id` of a webhook).

mod channel;
mod failure;
mod message;
mod notification;
mod program;
mod sending;
mod store;
#[cfg(test)]
mod tests;

use tokio::sync::{mpsc, oneshot, watch};

use crate::config::NotifyRule;
use crate::hooks::Event;

pub use failure::NotifyFailure;
pub use failure::{NotifyProblem, NotifyStatus};
pub(crate) use program::{NetProgram, SocketProgram};
pub(crate) use sending::{Sending, SendingParts};

/// Limit of events that wait for their records.
const EVENTS: usize = 256;

/// The notifications. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Notifications {
    messages: mpsc::UnboundedSender<Message>,
    states: watch::Receiver<Vec<NotifyStatus>>,
}

/// What the task is asked.
#[derive(Debug)]
enum Message {
    Configured(Vec<NotifyRule>),
    Test(String, oneshot::Sender<Option<Result<(), NotifyFailure>>>),
}

impl Notifications {
    /// The notifications, the sender for events, and the task to be run.
    pub(crate) fn new(parts: SendingParts) -> (Self, mpsc::Sender<Event>, Sending) {
        let (messages, asked) = mpsc::unbounded_channel();
        let (tell, events) = mpsc::channel(EVENTS);
        let states = watch::Sender::default();
        let notifications = Self { messages, states: states.subscribe() };
        (notifications, tell, Sending::new(parts, (events, asked), states))
    }

    /// Sets the channels. What waits for one that is not configured any more is dropped.
    pub(crate) fn configured(&self, rules: Vec<NotifyRule>) {
        // It ends with the service.
        drop(self.messages.send(Message::Configured(rules)));
    }

    /// Sends a message over a channel now. None if there is none of this name.
    pub(crate) async fn test(&self, name: &str) -> Option<Result<(), NotifyFailure>> {
        let (reply, answer) = oneshot::channel();
        drop(self.messages.send(Message::Test(name.to_owned(), reply)));
        answer.await.unwrap_or(Some(Err(NotifyFailure::Ending)))
    }

    /// The channels, in the order of the configuration.
    pub(crate) fn states(&self) -> watch::Receiver<Vec<NotifyStatus>> {
        self.states.clone()
    }
}
