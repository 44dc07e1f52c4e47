//! Records all messages on the bus.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use butterdock_dbus::names::interface::JOB;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Message, MessageStream, OwnedObjectPath, OwnedVariant};

use crate::{Bus, Client, TIMEOUT, wait_until};

/// A monitor connection on a thread of its own.
#[derive(Debug)]
pub struct Recorder {
    thread: JoinHandle<Result<()>>,
    heard: Arc<Mutex<Vec<RecordedMessage>>>,
}

/// The signal with which a test ends its recording: everything before it was heard.
const END: (&str, &str) = ("org.butterdock.Tests", "End");

impl Recorder {
    /// Begins to record; returns when it does.
    ///
    /// # Errors
    /// When the bus does not let it.
    pub fn start(bus: &Bus) -> Result<Self> {
        let (ready, is_ready) = mpsc::channel();
        let address = bus.address();
        let heard = Arc::<Mutex<Vec<RecordedMessage>>>::default();
        let shared = Arc::clone(&heard);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(record(&address, &ready, &shared))
        });
        match is_ready.recv() {
            Ok(()) => Ok(Self { thread, heard }),
            // It has ended before it began, and says why.
            Err(mpsc::RecvError) => Err(joined(thread).err().unwrap_or_else(|| anyhow!("nothing was recorded"))),
        }
    }

    /// Waits until the recording has what is wanted.
    ///
    /// # Errors
    /// It does not come, or `is_there` fails.
    pub fn until(&self, what: &str, is_there: impl Fn(&Recording) -> Result<bool>) -> Result<()> {
        wait_until(what, || is_there(&self.recording()))
    }

    fn recording(&self) -> Recording {
        Recording::new(self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Ends the recording with what happened until now.
    ///
    /// # Errors
    /// When the bus is gone or was silent for long.
    pub fn finish(self, client: &Client) -> Result<Recording> {
        client.signal(END.0, END.1)?;
        let Self { thread, heard } = self;
        joined(thread)?;
        Ok(Recording::new(std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner))))
    }
}

fn joined(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().map_err(|_panic| anyhow!("the recorder's thread panicked"))?
}

async fn record(address: &str, ready: &mpsc::Sender<()>, heard: &Mutex<Vec<RecordedMessage>>) -> Result<()> {
    let connection = Builder::address(address).build().await.context("a connection to listen with")?;
    let mut stream = MessageStream::from(&connection);
    let (bus, interface) = ("org.freedesktop.DBus", "org.freedesktop.DBus.Monitoring");
    let body = (Vec::<&str>::new(), 0_u32);
    connection.call_method(Some(bus), "/org/freedesktop/DBus", Some(interface), "BecomeMonitor", &body).await?;
    // The receiver of this message exists while this runs.
    ready.send(()).ok();
    loop {
        let next = timeout(TIMEOUT, stream.next()).await.context("nothing was heard for long")?;
        let message = next.context("the bus is gone")??;
        if is_end(&message) {
            return Ok(());
        }
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(RecordedMessage { at: Instant::now(), message });
    }
}

fn is_end(message: &Message) -> bool {
    let header = message.header();
    let interface = header.interface().map(|name| name.as_str().to_owned());
    let member = header.member().map(|name| name.as_str().to_owned());
    (interface.as_deref(), member.as_deref()) == (Some(END.0), Some(END.1))
}

/// A message, and when it was heard.
#[derive(Debug, Clone)]
pub struct RecordedMessage {
    /// When.
    pub at: Instant,
    /// The message.
    pub message: Message,
}

/// Everything that passed the bus, in order.
#[derive(Debug)]
pub struct Recording {
    all: Vec<RecordedMessage>,
}

/// A signal about a job, or the reply to the call that started it.
#[derive(Debug)]
pub enum Event {
    /// `InterfacesAdded`, with the properties.
    Added(HashMap<String, OwnedVariant>),
    /// A reply that names the job and nothing else: that to Receive.
    Replied,
    /// `PropertiesChanged`.
    Changed(HashMap<String, OwnedVariant>),
    /// Completed.
    Completed(String, HashMap<String, OwnedVariant>),
    /// `InterfacesRemoved`.
    Removed,
}

/// An event and when it was heard.
#[derive(Debug)]
pub struct Moment {
    /// When.
    pub at: Instant,
    /// What.
    pub event: Event,
}

impl Recording {
    fn new(all: Vec<RecordedMessage>) -> Self {
        Self { all }
    }

    /// How many messages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Signals without a destination.
    pub fn broadcasts(&self) -> impl Iterator<Item = &Message> {
        self.messages(Type::Signal).filter(|message| message.header().destination().is_none())
    }

    /// Messages of one type.
    pub fn messages(&self, of: Type) -> impl Iterator<Item = &Message> {
        self.all.iter().map(|heard| &heard.message).filter(move |message| message.message_type() == of)
    }

    /// The events of a job, in the order of the wire.
    ///
    /// # Errors
    /// When a message is not what its signature says.
    pub fn events_of(&self, job: &str) -> Result<Vec<Moment>> {
        let mut moments = Vec::new();
        for RecordedMessage { at, message } in &self.all {
            if let Some(event) = event(message, job)? {
                moments.push(Moment { at: *at, event });
            }
        }
        Ok(moments)
    }

    /// The jobs that were added, in order.
    ///
    /// # Errors
    /// As [`Self::events_of`].
    pub fn jobs(&self) -> Result<Vec<String>> {
        let mut jobs = Vec::new();
        for message in self.broadcasts() {
            if member(message) == "InterfacesAdded" {
                let body = message.body();
                let (path, interfaces): (OwnedObjectPath, Interfaces) = body.deserialize()?;
                if interfaces.contains_key(JOB) {
                    jobs.push(path.to_string());
                }
            }
        }
        Ok(jobs)
    }
}

type Interfaces = HashMap<String, HashMap<String, OwnedVariant>>;

fn event(message: &Message, job: &str) -> Result<Option<Event>> {
    let (header, body) = (message.header(), message.body());
    let here = header.path().is_some_and(|path| path.as_str() == job);
    if message.message_type() == Type::MethodReturn && body.signature().to_string() == "o" {
        let path: OwnedObjectPath = body.deserialize()?;
        return Ok((path.as_str() == job).then_some(Event::Replied));
    }
    if message.message_type() != Type::Signal {
        return Ok(None);
    }
    Ok(match member(message).as_str() {
        "InterfacesAdded" => {
            let (path, mut interfaces): (OwnedObjectPath, Interfaces) = body.deserialize()?;
            (path.as_str() == job).then(|| Event::Added(interfaces.remove(JOB).unwrap_or_default()))
        }
        "InterfacesRemoved" => {
            let (path, interfaces): (OwnedObjectPath, Vec<String>) = body.deserialize()?;
            (path.as_str() == job && interfaces.iter().any(|name| name == JOB)).then_some(Event::Removed)
        }
        "PropertiesChanged" if here => {
            let (_, changed, _): (String, HashMap<String, OwnedVariant>, Vec<String>) = body.deserialize()?;
            Some(Event::Changed(changed))
        }
        "Completed" if here => {
            let (result, details): (String, HashMap<String, OwnedVariant>) = body.deserialize()?;
            Some(Event::Completed(result, details))
        }
        _ => None,
    })
}

fn member(message: &Message) -> String {
    message.header().member().map_or_else(String::new, |name| name.as_str().to_owned())
}
