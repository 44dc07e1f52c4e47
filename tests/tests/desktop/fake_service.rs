//! A service of the test on the system bus: objects with the properties that a test gives them, at once.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_dbus::{Error, ErrorName};
use butterdock_tests::{Bus, Client};
use tokio_stream::StreamExt as _;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, OwnedFd, OwnedVariant, Variant};

/// The passphrase of its drives.
pub(crate) const PASSPHRASE: &str = "correct horse % battery";

type Properties = HashMap<String, OwnedVariant>;
/// By path and interface.
type Objects = BTreeMap<String, BTreeMap<String, Properties>>;

/// The service; it leaves the bus when it is dropped.
#[derive(Debug)]
pub(crate) struct FakeService {
    client: Client,
    objects: Arc<Mutex<Objects>>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl FakeService {
    /// A service without objects.
    pub(crate) fn start(system: &Bus) -> Result<Self> {
        let client = Client::connect(&system.address())?;
        let objects: Arc<Mutex<Objects>> = Arc::default();
        let calls: Arc<Mutex<Vec<String>>> = Arc::default();
        client.block_on(async {
            let connection = client.connection();
            let messages = MessageStream::from(connection);
            let (objects, calls) = (Arc::clone(&objects), Arc::clone(&calls));
            drop(tokio::spawn(serve(connection.clone(), messages, objects, calls)));
            connection.request_name(BUS_NAME).await
        })?;
        Ok(Self { client, objects, calls })
    }

    /// Gives an object an interface with these properties, or changes these properties of it.
    pub(crate) fn set(&self, path: &str, interface: &str, values: &[(&str, Variant<'_>)]) -> Result<()> {
        let owned = |(name, value): &(&str, Variant<'_>)| Ok(((*name).to_owned(), value.try_to_owned()?));
        let values = values.iter().map(owned).collect::<Result<Properties>>()?;
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let interfaces = objects.entry(path.to_owned()).or_default();
        if let Some(known) = interfaces.get_mut(interface) {
            known.extend(values.clone());
            let body = (interface, values, Vec::<&str>::new());
            self.emit(path, ("org.freedesktop.DBus.Properties", "PropertiesChanged"), &body)
        } else {
            interfaces.insert(interface.to_owned(), values.clone());
            let path = zbus::ObjectPath::try_from(path)?;
            let body = (path, HashMap::from([(interface, values)]));
            self.emit(ROOT, ("org.freedesktop.DBus.ObjectManager", "InterfacesAdded"), &body)
        }
    }

    /// The calls that change something so far: method and object, and the passphrase.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn emit(
        &self,
        path: &str,
        (interface, member): (&str, &str),
        body: &(impl serde::Serialize + zbus::DynamicType),
    ) -> Result<()> {
        let signal = self.client.connection().emit_signal(None::<&str>, path, interface, member, body);
        self.client.block_on(signal).context("the bus is there")
    }
}

async fn serve(
    connection: Connection,
    mut messages: MessageStream,
    objects: Arc<Mutex<Objects>>,
    calls: Arc<Mutex<Vec<String>>>,
) {
    while let Some(Ok(message)) = messages.next().await {
        if message.message_type() == Type::MethodCall {
            answer(&connection, &message, &objects, &calls).await.ok();
        }
    }
}

async fn answer(
    connection: &Connection,
    call: &Message,
    objects: &Mutex<Objects>,
    calls: &Mutex<Vec<String>>,
) -> zbus::Result<()> {
    let header = call.header();
    let member = header.member().map(ToString::to_string).unwrap_or_default();
    if member == "GetManagedObjects" {
        let objects = objects.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut managed = HashMap::new();
        for (path, interfaces) in objects {
            managed.insert(zbus::OwnedObjectPath::try_from(path)?, interfaces.into_iter().collect::<HashMap<_, _>>());
        }
        return connection.reply(&header, &managed).await;
    }
    let path = header.path().map(ToString::to_string).unwrap_or_default();
    let mut line = format!("{member} {path}");
    let mut is_wrong = false;
    if member == "Unlock" {
        let (secret, _options): (OwnedFd, HashMap<String, OwnedVariant>) = call.body().deserialize()?;
        let mut text = String::new();
        File::from(std::os::fd::OwnedFd::from(secret)).read_to_string(&mut text)?;
        is_wrong = text != PASSPHRASE;
        line = format!("{line} {text}");
    }
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    if is_wrong {
        let error = Error::new(ErrorName::WrongPassphrase, "it does not open the drive");
        return connection.reply_dbus_error(&header, error).await;
    }
    connection.reply(&header, &()).await
}
