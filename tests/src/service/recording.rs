//! The recorded messages, and the history of a job in them.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Result;
use butterdock_dbus::names::interface::JOB;
use zbus::message::Type;
use zbus::{Message, OwnedObjectPath, OwnedVariant};

/// A message, and when it was heard.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// The message.
    pub message: Message,
}

/// Everything that passed the bus, in order.
#[derive(Debug)]
pub struct Recording {
    all: Vec<Heard>,
}

/// Something that everybody was told about a job, or its starter: the reply.
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
    pub(super) fn new(all: Vec<Heard>) -> Self {
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

    /// What was sent to everybody: signals without a destination.
    pub fn broadcasts(&self) -> impl Iterator<Item = &Message> {
        self.messages(Type::Signal).filter(|message| message.header().destination().is_none())
    }

    /// Messages of one type.
    pub fn messages(&self, of: Type) -> impl Iterator<Item = &Message> {
        self.all.iter().map(|heard| &heard.message).filter(move |message| message.message_type() == of)
    }

    /// What was told about a job, in the order of the wire.
    ///
    /// # Errors
    /// When a message is not what its signature says.
    pub fn scenario(&self, job: &str) -> Result<Vec<Moment>> {
        let mut scenario = Vec::new();
        for Heard { at, message } in &self.all {
            if let Some(event) = event(message, job)? {
                scenario.push(Moment { at: *at, event });
            }
        }
        Ok(scenario)
    }

    /// The jobs that were added, in order.
    ///
    /// # Errors
    /// As [`Self::story`].
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
