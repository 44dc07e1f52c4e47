//! The task that records notifications and has them sent.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Error, anyhow};
use butterdock_net_protocol::{Authority, Line};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use uuid::Uuid;

use super::channel::Channel;
use super::notification::Notification;
use super::store::Store;
use super::{Message, NetProgram, NotifyFailure, NotifyStatus, message};
use crate::blocking::{BlockingQueue, local};
use crate::catalogue;
use crate::clock::Clock;
use crate::config::NotifyRule;
use crate::durable;
use crate::hooks::Event;
use crate::supervisor::Heartbeat;

/// Limit of orders at the same time.
const ORDERS: usize = 4;
/// The largest file with certificates of an authority.
const CERTIFICATES: u64 = 256 << 10;
/// A clock that is set back delays an attempt by up to this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);

/// What sending needs.
#[derive(Debug)]
pub(crate) struct SendingParts {
    /// Sends orders.
    pub(crate) program: Arc<dyn NetProgram>,
    /// The state directory.
    pub(crate) state: PathBuf,
    pub(crate) clock: Clock,
    /// The name of this machine, for persons.
    pub(crate) machine: String,
}

/// The task, before it runs.
#[derive(Debug)]
pub(crate) struct Sending {
    parts: SendingParts,
    events: mpsc::Receiver<Event>,
    asked: mpsc::UnboundedReceiver<Message>,
    states: watch::Sender<Vec<NotifyStatus>>,
    channels: Vec<Channel>,
    /// The time of the last event: each has another, so that the records keep their order.
    latest: u64,
    queue: BlockingQueue,
    end: mpsc::UnboundedSender<Ended>,
    ended: mpsc::UnboundedReceiver<Ended>,
}

/// The end of an attempt.
#[derive(Debug)]
struct Ended {
    channel: String,
    id: Uuid,
    result: Result<(), NotifyFailure>,
    /// Who waits for it, if it was a test.
    test: Option<oneshot::Sender<Option<Result<(), NotifyFailure>>>>,
}

enum Next {
    Event(Event),
    Message(Message),
    Ended(Ended),
    Time,
    Closed,
}

impl Sending {
    pub(super) fn new(
        parts: SendingParts,
        (events, asked): (mpsc::Receiver<Event>, mpsc::UnboundedReceiver<Message>),
        states: watch::Sender<Vec<NotifyStatus>>,
    ) -> Self {
        let (end, ended) = mpsc::unbounded_channel();
        let queue = BlockingQueue::new("notify", ORDERS);
        Self { parts, events, asked, states, channels: Vec::new(), latest: 0, queue, end, ended }
    }

    /// Runs until the service ends.
    pub(crate) async fn run(mut self, rules: Vec<NotifyRule>, mut heartbeat: Heartbeat) -> Error {
        let state = self.parts.state.clone();
        let opened = local(move || Store::open(&state)).await;
        let (store, waiting) = match opened.map_err(|lost| anyhow!(lost)).and_then(|opened| Ok(opened?)) {
            Ok(opened) => opened,
            Err(error) => return error.context("cannot read the notifications that wait"),
        };
        self.channels = rules.into_iter().map(Channel::new).collect();
        for notification in waiting {
            match self.channels.iter_mut().find(|one| one.rule.name.as_str() == notification.channel) {
                Some(channel) => drop_waiting(&store, channel.add(notification), "too many wait").await,
                None => drop_waiting(&store, vec![notification], "its channel is not configured any more").await,
            }
        }
        loop {
            heartbeat.during(self.send_due(&store)).await;
            self.publish();
            let next = heartbeat.during(self.next()).await;
            match next {
                Next::Event(event) => heartbeat.during(self.add(&store, &event)).await,
                Next::Message(Message::Configured(rules)) => heartbeat.during(self.configured(&store, rules)).await,
                Next::Message(Message::Test(name, reply)) => self.test(&name, reply),
                Next::Ended(ended) => heartbeat.during(self.end_attempt(&store, ended)).await,
                Next::Time => {}
                Next::Closed => return anyhow!("internal error: its channel is closed"),
            }
        }
    }

    async fn next(&mut self) -> Next {
        let now = self.now();
        let time = self.channels.iter().filter_map(|channel| channel.next(now)).min();
        let wait = async {
            match time {
                Some(time) => sleep(Duration::from_micros(time.saturating_sub(now)).min(LONGEST_SLEEP)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.events.recv() => event.map_or(Next::Closed, Next::Event),
            asked = self.asked.recv() => asked.map_or(Next::Closed, Next::Message),
            ended = self.ended.recv() => ended.map_or(Next::Closed, Next::Ended),
            () = wait => Next::Time,
        }
    }

    fn now(&self) -> u64 {
        self.parts.clock.micros()
    }

    fn publish(&self) {
        let states: Vec<_> = self.channels.iter().map(Channel::status).collect();
        self.states.send_if_modified(|before| {
            let is_new = *before != states;
            *before = states;
            is_new
        });
    }

    async fn add(&mut self, store: &Store, event: &Event) {
        let now = self.now().max(self.latest.saturating_add(1));
        self.latest = now;
        for channel in &mut self.channels {
            let Some(notification) = Notification::of(event, &channel.rule, now) else { continue };
            write(store, &notification).await;
            drop_waiting(store, channel.add(notification), "too many wait").await;
        }
    }

    async fn configured(&mut self, store: &Store, rules: Vec<NotifyRule>) {
        let mut before = std::mem::take(&mut self.channels);
        for rule in rules {
            let at = before.iter().position(|channel| channel.rule.name == rule.name);
            let channel = match at.map(|at| before.swap_remove(at)) {
                Some(mut channel) => {
                    channel.set_rule(rule);
                    channel
                }
                None => Channel::new(rule),
            };
            self.channels.push(channel);
        }
        for channel in before {
            drop_waiting(store, channel.into_waiting(), "its channel is not configured any more").await;
        }
    }

    async fn send_due(&mut self, store: &Store) {
        let now = self.now();
        let mut begun = Vec::new();
        for channel in &mut self.channels {
            drop_waiting(store, channel.expired(now), "it is too old").await;
            if channel.next(now).is_some_and(|time| time <= now)
                && let Some(notification) = channel.begin()
            {
                begun.push((channel.rule.clone(), notification));
            }
        }
        for (rule, notification) in begun {
            self.begin_attempt(rule, notification, None);
        }
    }

    fn test(&self, name: &str, reply: oneshot::Sender<Option<Result<(), NotifyFailure>>>) {
        match self.channels.iter().find(|channel| channel.rule.name.as_str() == name) {
            Some(channel) => {
                let notification = Notification::test(&channel.rule, self.now());
                self.begin_attempt(channel.rule.clone(), notification, Some(reply));
            }
            // The caller may have left.
            None => drop(reply.send(None)),
        }
    }

    /// Begins an attempt; its end is a message to this task.
    fn begin_attempt(
        &self,
        rule: NotifyRule,
        notification: Notification,
        test: Option<oneshot::Sender<Option<Result<(), NotifyFailure>>>>,
    ) {
        let (program, machine) = (Arc::clone(&self.parts.program), self.parts.machine.clone());
        let (queue, end) = (self.queue.clone(), self.end.clone());
        tokio::spawn(async move {
            let (channel, id) = (notification.channel.clone(), notification.id);
            let work = move || {
                let order = message::order(&rule, &notification, &machine, authority(&rule)?)?;
                program.carry_out(&order)
            };
            let result = queue.run_to_end(work).await;
            let result = result.unwrap_or_else(|error| Err(NotifyFailure::Program(Line::of(&error.to_string()))));
            // The task ends with the service; then the record stays.
            drop(end.send(Ended { channel, id, result, test }));
        });
    }

    async fn end_attempt(&mut self, store: &Store, Ended { channel, id, result, test }: Ended) {
        let now = self.now();
        let found = self.channels.iter_mut().find(|one| one.rule.name.as_str() == channel);
        if let Some(reply) = test {
            if result.is_ok() && found.is_some_and(|channel| channel.works(now)) {
                tracing::info!("notifications over \"{channel}\" are delivered again");
            }
            // The caller may have left.
            return drop(reply.send(Some(result)));
        }
        match result {
            Ok(()) => {
                remove(store, id).await;
                if found.is_some_and(|channel| channel.delivered(id, now)) {
                    tracing::info!("notifications over \"{channel}\" are delivered again");
                }
            }
            Err(failure) => {
                let details = failure.details();
                let Some((notification, is_new)) = found.map(|channel| channel.failed(id, failure, now)) else {
                    return;
                };
                if is_new {
                    tracing::warn!(
                        MESSAGE_ID = catalogue::NOTIFICATION_FAILED,
                        "notifications over \"{channel}\" are not delivered: {details}"
                    );
                }
                if let Some(notification) = notification {
                    write(store, &notification).await;
                }
            }
        }
    }
}

/// The authority of the server of a channel.
fn authority(rule: &NotifyRule) -> Result<Authority, NotifyFailure> {
    let Some(path) = &rule.ca else { return Ok(Authority::System) };
    let failed = |error: &dyn std::fmt::Display| NotifyFailure::Authority(Line::of(&error.to_string()));
    let bytes = read_certificates(path).map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map(Authority::Own).map_err(|error| failed(&error))
}

fn read_certificates(path: &Path) -> io::Result<Vec<u8>> {
    let read = durable::read(&path.canonicalize()?, CERTIFICATES)?;
    read.ok_or_else(|| io::ErrorKind::NotFound.into())
}

async fn write(store: &Store, notification: &Notification) {
    let (store, record) = (store.clone(), notification.clone());
    let written = local(move || store.write(&record)).await;
    if let Err(error) = written.unwrap_or_else(|lost| Err(io::Error::other(lost))) {
        tracing::warn!(
            "a notification cannot be recorded ({error}), and is lost if the service ends before it is sent; check the disk of \
             the state directory"
        );
    }
}

async fn remove(store: &Store, id: Uuid) {
    let store = store.clone();
    let removed = local(move || store.remove(id)).await;
    if let Err(error) = removed.unwrap_or_else(|lost| Err(io::Error::other(lost)))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("the record of a notification cannot be removed ({error}); it may be sent again");
    }
}

async fn drop_waiting(store: &Store, notifications: Vec<Notification>, why: &str) {
    for Notification { id, channel, about, .. } in notifications {
        tracing::warn!("discarded a notification ({}) for the channel \"{channel}\": {why}", about.word());
        remove(store, id).await;
    }
}
