//! The service over the system bus: its objects at first, then each change, as events.
//!
//! Signals are subscribed before the objects are read, and those that the bus delivered before the answer are dropped: the answer
//! is newer. The agent does not start the service. Without a bus it tries again, more and more seldom.

use std::time::Duration;

use butterdock_dbus::WrongProperty;
use butterdock_dbus::names::{BUS_NAME, ROOT};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_stream::StreamExt as _;
use zbus::connection::Builder;
use zbus::fdo::{DBusProxy, InterfacesAdded, InterfacesRemoved, ManagedObjects, NameOwnerChanged, PropertiesChanged};
use zbus::message::{Sequence, Type};
use zbus::names::{BusName, OwnedUniqueName};
use zbus::{Connection, MatchRule, Message, MessageStream};

use crate::objects::{Objects, Properties};
use crate::output::complain;

/// The environment variable with the address of another bus.
const ADDRESS: &str = "BUTTERDOCK_BUS_ADDRESS";

/// Pauses between attempts to reach the bus.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// What happened to the service or to one of its objects.
#[derive(Debug)]
pub enum Event {
    /// The bus is there; calls go over this connection.
    Connected(Connection),
    /// The service is there, with these objects.
    Objects(Box<Objects>),
    /// Interfaces were added to the object at this path.
    Added(String, Vec<(String, Properties)>),
    /// Properties of an interface changed.
    Changed(String, String, Properties),
    /// Interfaces were removed.
    Removed(String, Vec<String>),
    /// The service, or the bus, is gone.
    Lost,
}

impl Event {
    /// Applies it to the objects. Returns what in it is not of the contract.
    pub fn apply(self, objects: &mut Objects) -> Vec<WrongProperty> {
        match self {
            Self::Objects(read) => *objects = *read,
            Self::Added(path, interfaces) => {
                let added = interfaces.iter().flat_map(|(interface, values)| objects.added(&path, interface, values));
                return added.collect();
            }
            Self::Changed(path, interface, values) => return objects.changed(&path, &interface, &values),
            Self::Removed(path, interfaces) => objects.removed(&path, interfaces.iter().map(String::as_str)),
            Self::Lost => *objects = Objects::default(),
            Self::Connected(_) => {}
        }
        Vec::new()
    }
}

/// Follows the service for as long as there is a receiver.
pub async fn follow<T: From<Event>>(events: UnboundedSender<T>) {
    let mut attempt = 0_usize;
    let mut complained = false;
    while !events.is_closed() {
        match connect().await {
            Ok(bus) => {
                complained = false;
                match follow_bus(&bus, &events, &mut attempt).await {
                    Ok(()) => complain("the system bus is gone; waiting for it"),
                    Err(error) => complain(&format!("the service cannot be followed: {error}; trying again")),
                }
                send(&events, Event::Lost);
            }
            Err(error) => {
                if !complained {
                    complain(&format!("no system bus: {error}; waiting for it"));
                    complained = true;
                }
            }
        }
        let pause = PAUSES.get(attempt).or(PAUSES.last()).copied().unwrap_or_default();
        attempt = attempt.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}

async fn connect() -> zbus::Result<Connection> {
    let address = std::env::var(ADDRESS).ok().filter(|address| !address.is_empty());
    address.as_deref().map_or_else(Builder::system, Builder::address).build().await
}

/// Follows the service until the connection ends. Once that works, the next attempt is the first one again.
async fn follow_bus<T: From<Event>>(
    bus: &Connection,
    events: &UnboundedSender<T>,
    attempt: &mut usize,
) -> zbus::Result<()> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .add_arg(BUS_NAME)
        .build()?;
    let mut owners = unread(MessageStream::for_match_rule(rule, bus, None).await?);
    let rule = MatchRule::builder().msg_type(Type::Signal).sender(BUS_NAME).path_namespace(ROOT).build()?;
    let mut signals = unread(MessageStream::for_match_rule(rule, bus, None).await?);
    send(events, Event::Connected(bus.clone()));
    let mut service = match owner_now(bus).await? {
        Some(owner) => Some(read_objects(bus, owner, events).await?),
        None => None,
    };
    *attempt = 0;
    loop {
        tokio::select! {
            // Signals from before a change of the owner come first.
            biased;
            signal = signals.recv() => {
                let Some(signal) = signal else { return Ok(()) };
                if let Some(service) = &service && service.sent(&signal) && let Some(event) = event(&signal) {
                    send(events, event);
                }
            }
            change = owners.recv() => {
                let Some(change) = change else { return Ok(()) };
                if service.take().is_some() {
                    send(events, Event::Lost);
                }
                if let Some(owner) = new_owner(&change) {
                    service = Some(read_objects(bus, owner, events).await?);
                }
            }
        }
    }
}

/// The running service.
#[derive(Debug)]
struct Service {
    owner: OwnedUniqueName,
    /// Where in the stream of messages its objects were read.
    read_at: Sequence,
}

impl Service {
    /// Whether a signal is the service's, and newer than the objects. The bus filters broadcasts by sender, but not signals that
    /// another client sends to this connection alone.
    fn sent(&self, signal: &Message) -> bool {
        signal.header().sender() == Some(&*self.owner) && signal.recv_position() > self.read_at
    }
}

/// Moves the messages of a stream into a queue without a limit: a connection with a full queue would read nothing more, not even
/// replies.
fn unread(mut stream: MessageStream) -> UnboundedReceiver<Message> {
    let (queue, messages) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            if queue.send(message).is_err() {
                return;
            }
        }
    });
    messages
}

fn send<T: From<Event>>(events: &UnboundedSender<T>, event: Event) {
    // Without a receiver the agent ends.
    events.send(event.into()).ok();
}

async fn owner_now(bus: &Connection) -> zbus::Result<Option<OwnedUniqueName>> {
    match DBusProxy::new(bus).await?.get_name_owner(BusName::try_from(BUS_NAME)?).await {
        Ok(owner) => Ok(Some(owner)),
        Err(zbus::fdo::Error::NameHasNoOwner(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the objects. The call names the owner, so that the bus does not start a service.
async fn read_objects<T: From<Event>>(
    bus: &Connection,
    owner: OwnedUniqueName,
    events: &UnboundedSender<T>,
) -> zbus::Result<Service> {
    let interface = "org.freedesktop.DBus.ObjectManager";
    let reply = bus.call_method(Some(owner.as_str()), ROOT, Some(interface), "GetManagedObjects", &()).await?;
    let managed: ManagedObjects = reply.body().deserialize()?;
    let (objects, wrong) = Objects::read(&managed);
    wrong.iter().for_each(|wrong| complain(&wrong.to_string()));
    send(events, Event::Objects(Box::new(objects)));
    Ok(Service { owner, read_at: reply.recv_position() })
}

fn new_owner(change: &Message) -> Option<OwnedUniqueName> {
    let change = NameOwnerChanged::from_message(change.clone())?;
    let arguments = change.args().ok()?;
    if arguments.name().as_str() != BUS_NAME {
        return None;
    }
    arguments.new_owner().as_ref().map(|owner| owner.to_owned().into())
}

/// The event of a signal; `None` for those that the agent does not need, such as `Completed`: the state of a job says the same.
fn event(signal: &Message) -> Option<Event> {
    let header = signal.header();
    let path = header.path()?.to_string();
    match header.member()?.as_str() {
        "PropertiesChanged" => {
            let signal = PropertiesChanged::from_message(signal.clone())?;
            let change = signal.args().ok()?;
            let values = change.changed_properties().iter();
            let properties = values.filter_map(|(name, value)| Some(((*name).to_owned(), value.try_to_owned().ok()?)));
            Some(Event::Changed(path, change.interface_name().to_string(), properties.collect()))
        }
        "InterfacesAdded" => {
            let signal = InterfacesAdded::from_message(signal.clone())?;
            let object = signal.args().ok()?;
            let interfaces = object.interfaces_and_properties().iter().map(|(interface, values)| {
                let values = values.iter();
                let owned = values.filter_map(|(name, value)| Some(((*name).to_owned(), value.try_to_owned().ok()?)));
                (interface.to_string(), owned.collect())
            });
            Some(Event::Added(object.object_path().to_string(), interfaces.collect()))
        }
        "InterfacesRemoved" => {
            let signal = InterfacesRemoved::from_message(signal.clone())?;
            let removed = signal.args().ok()?;
            let interfaces = removed.interfaces().iter().map(ToString::to_string).collect();
            Some(Event::Removed(removed.object_path().to_string(), interfaces))
        }
        _ => None,
    }
}
