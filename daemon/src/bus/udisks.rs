//! What udisks2 knows of what disks say of themselves (SMART), while it runs.
//!
//! It is never started: its calls go to the unique name of the program that runs. Only root can have the name on the system's bus.
//! udisks reads the disks every ten minutes; a change of what it read, of its objects, or of its owner is followed by reading all of
//! them again.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use butterdock_service::SmartReading;
use butterdock_service::drives::DriveManager;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use zbus::export::futures_core::Stream as _;
use zbus::fdo::{DBusProxy, ManagedObjects};
use zbus::message::Type;
use zbus::names::BusName;
use zbus::{Connection, MatchRule, MessageStream, OwnedObjectPath, OwnedVariant};

const UDISKS: &str = "org.freedesktop.UDisks2";
const ROOT: &str = "/org/freedesktop/UDisks2";
const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
/// The interfaces with what a disk says.
const ATA: &str = "org.freedesktop.UDisks2.Drive.Ata";
const NVME: &str = "org.freedesktop.UDisks2.NVMe.Controller";

/// Several changes of a moment are read at once.
const SETTLE: Duration = Duration::from_secs(1);
/// Limit for the answer with all objects.
const ANSWER: Duration = Duration::from_secs(10);

/// Passes it on to the drives, until the connection is lost.
pub(super) async fn follow_smart(connection: Connection, drives: DriveManager) {
    let changes = match subscribe(&connection).await {
        Ok(changes) => changes,
        Err(error) => return tracing::warn!("cannot follow what udisks says of disks: {error}"),
    };
    let (news, changed) = watch::channel(());
    tokio::select! {
        () = drain(changes, news) => {}
        () = publish(&connection, &drives, changed) => {}
    }
}

async fn publish(connection: &Connection, drives: &DriveManager, mut changed: watch::Receiver<()>) {
    loop {
        let objects = timeout(ANSWER, objects(connection)).await.unwrap_or(None).unwrap_or_default();
        drives.set_smart(&readings(&objects));
        if changed.changed().await.is_err() {
            return;
        }
        sleep(SETTLE).await;
        changed.mark_unchanged();
    }
}

/// Reads signals at once: unread ones would keep the connection from reading anything else.
async fn drain(mut changes: Vec<MessageStream>, news: watch::Sender<()>) {
    while poll_fn(|context| {
        let mut all = changes.iter_mut().map(|stream| Pin::new(stream).poll_next(context));
        all.find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
    .is_some()
    {
        news.send_replace(());
    }
}

async fn subscribe(connection: &Connection) -> zbus::Result<Vec<MessageStream>> {
    let signal = || MatchRule::builder().msg_type(Type::Signal);
    let properties =
        || signal().sender(UDISKS).interface("org.freedesktop.DBus.Properties").member("PropertiesChanged");
    let owner = signal().sender("org.freedesktop.DBus").interface("org.freedesktop.DBus").member("NameOwnerChanged");
    let rules = [
        owner.add_arg(UDISKS).build()?,
        signal().sender(UDISKS).interface(OBJECT_MANAGER).path(ROOT).build()?,
        properties().add_arg(ATA).build()?,
        properties().add_arg(NVME).build()?,
    ];
    let mut changes = Vec::new();
    for rule in rules {
        changes.push(MessageStream::for_match_rule(rule, connection, None).await?);
    }
    Ok(changes)
}

/// All objects of udisks; none if it does not run.
async fn objects(connection: &Connection) -> Option<ManagedObjects> {
    let bus = DBusProxy::new(connection).await.ok()?;
    let owner = bus.get_name_owner(BusName::try_from(UDISKS).ok()?).await.ok()?;
    let asked = connection.call_method(Some(owner.as_str()), ROOT, Some(OBJECT_MANAGER), "GetManagedObjects", &());
    match asked.await.and_then(|reply| reply.body().deserialize()) {
        Ok(objects) => Some(objects),
        Err(error) => {
            tracing::debug!("cannot ask udisks what disks say of themselves: {error}");
            None
        }
    }
}

type Properties = HashMap<String, OwnedVariant>;

/// What is known of each whole disk.
fn readings(objects: &ManagedObjects) -> Vec<SmartReading> {
    let mut all: Vec<SmartReading> = objects.keys().filter_map(|path| reading(objects, path)).collect();
    all.sort_by(|one, other| one.disk.cmp(&other.disk));
    all
}

fn reading(objects: &ManagedObjects, path: &OwnedObjectPath) -> Option<SmartReading> {
    let block = interface(objects, path, "org.freedesktop.UDisks2.Block")?;
    if interface(objects, path, "org.freedesktop.UDisks2.Partition").is_some() {
        return None;
    }
    let node: Vec<u8> = get(block, "Device")?;
    let node = String::from_utf8(node.into_iter().take_while(|byte| *byte != 0).collect()).ok()?;
    let drive: OwnedObjectPath = get(block, "Drive")?;
    Some(SmartReading {
        disk: node.strip_prefix("/dev/")?.to_owned(),
        serial: get(interface(objects, &drive, "org.freedesktop.UDisks2.Drive")?, "Serial")?,
        is_failing: interface(objects, &drive, ATA)
            .and_then(of_ata)
            .or_else(|| interface(objects, &drive, NVME).and_then(of_nvme))?,
    })
}

/// None before the disk was read.
fn of_ata(properties: &Properties) -> Option<bool> {
    get(properties, "SmartUpdated").filter(|time: &u64| *time != 0)?;
    get(properties, "SmartFailing")
}

/// The same; a high temperature is no failure.
fn of_nvme(properties: &Properties) -> Option<bool> {
    get(properties, "SmartUpdated").filter(|time: &u64| *time != 0)?;
    let warnings: Vec<String> = get(properties, "SmartCriticalWarning")?;
    Some(warnings.iter().any(|warning| warning != "temperature"))
}

fn interface<'o>(objects: &'o ManagedObjects, path: &OwnedObjectPath, name: &str) -> Option<&'o Properties> {
    objects.get(path)?.iter().find(|(interface, _)| interface.as_str() == name).map(|(_, properties)| properties)
}

fn get<T: TryFrom<OwnedVariant>>(properties: &Properties, name: &str) -> Option<T> {
    properties.get(name)?.try_clone().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use zbus::names::OwnedInterfaceName;
    use zbus::{ObjectPath, Variant};

    use super::*;

    /// A disk with a partition, of a drive with these properties of an interface.
    fn objects(interface: &'static str, properties: &[(&str, Variant<'static>)]) -> ManagedObjects {
        let owned = |all: &[(&str, Variant<'static>)]| -> Properties {
            let value = |value: &Variant<'static>| OwnedVariant::try_from(value.clone()).expect("owned");
            all.iter().map(|(name, of)| ((*name).to_owned(), value(of))).collect()
        };
        let name = |text: &str| OwnedInterfaceName::try_from(text.to_owned()).expect("a name");
        let path = |text: &str| OwnedObjectPath::try_from(format!("{ROOT}/{text}")).expect("a path");
        let drive = ObjectPath::try_from(format!("{ROOT}/drives/d")).expect("a path");
        let block = |node: &str| {
            let device = [node.as_bytes(), b"\0"].concat();
            (
                name("org.freedesktop.UDisks2.Block"),
                owned(&[("Device", device.into()), ("Drive", drive.clone().into())]),
            )
        };
        let partition = (name("org.freedesktop.UDisks2.Partition"), owned(&[]));
        let serial = (name("org.freedesktop.UDisks2.Drive"), owned(&[("Serial", "S1".into())]));
        HashMap::from([
            (path("block_devices/sdb"), HashMap::from([block("/dev/sdb")])),
            (path("block_devices/sdb1"), HashMap::from([block("/dev/sdb1"), partition])),
            (path("drives/d"), HashMap::from([serial, (name(interface), owned(properties))])),
        ])
    }

    fn is_failing(interface: &'static str, properties: &[(&str, Variant<'static>)]) -> Option<bool> {
        let known = readings(&objects(interface, properties));
        assert!(known.iter().all(|reading| (reading.disk.as_str(), reading.serial.as_str()) == ("sdb", "S1")));
        assert!(known.len() < 2, "a partition is no disk");
        known.first().map(|reading| reading.is_failing)
    }

    #[test]
    fn a_disk_that_was_read_says_whether_it_fails() {
        for failing in [false, true] {
            let read = [("SmartUpdated", Variant::from(7_u64)), ("SmartFailing", failing.into())];
            assert_eq!(is_failing(ATA, &read), Some(failing));
        }
        let never = [("SmartUpdated", Variant::from(0_u64)), ("SmartFailing", false.into())];
        assert_eq!((is_failing(ATA, &never), is_failing(ATA, &[])), (None, None));
        assert_eq!(is_failing("org.freedesktop.UDisks2.Drive.Other", &never), None);
    }

    #[test]
    fn a_hot_nvme_disk_is_not_failing() {
        for (warnings, failing) in
            [(vec![], false), (vec!["temperature"], false), (vec!["temperature", "degraded"], true)]
        {
            let read = [("SmartUpdated", Variant::from(7_u64)), ("SmartCriticalWarning", warnings.into())];
            assert_eq!(is_failing(NVME, &read), Some(failing));
        }
    }
}
