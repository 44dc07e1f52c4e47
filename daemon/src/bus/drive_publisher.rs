//! Publishes drives: added, changed and removed.

use std::collections::HashMap;
use std::sync::Arc;

use butterdock_dbus::names::interface::DRIVE;
use butterdock_dbus::path::drive_path;
use butterdock_service::DriveProperties;
use butterdock_service::drives::{Drive, DriveId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use zbus::object_server::SignalEmitter;
use zbus::{OwnedObjectPath, Variant};

use super::drive::DriveObject;
use super::job_publisher::{GAP, emit};
use super::mapping::drive_state;
use super::server::BusServer;

/// The drives that are published, each with the task that publishes its changes.
#[derive(Debug, Default)]
pub(super) struct DrivePublisher {
    tasks: HashMap<DriveId, (watch::Receiver<Drive>, JoinHandle<()>)>,
}

impl DrivePublisher {
    /// Publishes the drives that are not published yet.
    pub(super) async fn catch_up(&mut self, server: &Arc<BusServer>) {
        self.tasks.retain(|_, (_, task)| !task.is_finished());
        for drive in server.service.drives().drives() {
            let before = drive.borrow().clone();
            match self.tasks.remove(&before.id) {
                Some(known) if known.0.same_channel(&drive) => {
                    self.tasks.insert(before.id, known);
                    continue;
                }
                // Of a drive that went meanwhile: its successor waits until it is off the bus.
                Some((_, task)) => task.await.unwrap_or_default(),
                None => {}
            }
            let path = drive_path(before.id.as_str());
            let object = DriveObject::new(Arc::clone(server), drive.clone());
            if let Err(error) = server.connection.object_server().at(&path, object).await {
                tracing::error!(BUTTERDOCK_DRIVE = before.id.as_str(), "cannot publish the drive on the bus: {error}");
                continue;
            }
            let (id, server, known) = (before.id.clone(), Arc::clone(server), drive.clone());
            self.tasks.insert(id, (known, tokio::spawn(async move { publish(&server, path, drive, before).await })));
        }
    }
}

/// Publishes every drive as it comes, until the service ends.
pub(super) async fn follow(server: Arc<BusServer>, mut drives: DrivePublisher, mut appearing: watch::Receiver<()>) {
    while appearing.changed().await.is_ok() {
        drives.catch_up(&server).await;
    }
}

/// Publishes a drive's changes until it goes; `before` is what `InterfacesAdded` said, or older.
async fn publish(server: &BusServer, path: OwnedObjectPath, mut drive: watch::Receiver<Drive>, mut before: Drive) {
    let Ok(emitter) = SignalEmitter::new(&server.connection, &path) else { return };
    let mut may = Instant::now();
    while drive.changed().await.is_ok() {
        sleep_until(may).await;
        let now = drive.borrow_and_update().clone();
        let changes = changed(&before, &now);
        if !changes.is_empty() {
            if let Err(error) = emit(&emitter, DRIVE, changes).await {
                tracing::debug!("cannot publish a change of a drive on the bus: {error}");
            }
            may = Instant::now() + GAP;
        }
        before = now;
    }
    if let Err(error) = server.connection.object_server().remove::<DriveObject, _>(&path).await {
        tracing::debug!("cannot remove a drive from the bus: {error}");
    }
}

/// Every field is named, so that a new one cannot be forgotten here; model and serial never change.
fn changed(before: &Drive, now: &Drive) -> HashMap<&'static str, Variant<'static>> {
    let DriveProperties {
        label,
        model: _,
        serial: _,
        bus,
        device,
        size,
        free,
        filesystem_type,
        filesystem_uuid,
        encrypted,
        state,
        problem,
        enrolled,
        last_backup,
        backups,
    } = &now.is;
    let mut changes: HashMap<&'static str, Variant<'static>> = HashMap::new();
    let mut text = |name, before: &str, after: &str| {
        if before != after {
            changes.insert(name, Variant::from(after.to_owned()));
        }
    };
    text("Label", &before.label, label);
    text("Bus", &before.bus, bus);
    text("Device", &before.device, device);
    text("FilesystemType", &before.filesystem_type, filesystem_type);
    text("FilesystemUuid", &before.filesystem_uuid, filesystem_uuid);
    text("State", drive_state(before.state).as_str(), drive_state(*state).as_str());
    text("Problem", &before.problem, problem);
    let mut number = |name, before: u64, after: u64| {
        if before != after {
            changes.insert(name, Variant::from(after));
        }
    };
    number("Size", before.size, *size);
    number("Free", before.free, *free);
    number("LastBackup", before.last_backup, *last_backup);
    let mut truth = |name, before: bool, after: bool| {
        if before != after {
            changes.insert(name, Variant::from(after));
        }
    };
    truth("Encrypted", before.encrypted, *encrypted);
    truth("Enrolled", before.enrolled, *enrolled);
    if before.backups != *backups {
        changes.insert("Backups", Variant::from(backups.clone()));
    }
    changes
}

#[cfg(test)]
mod tests {
    use butterdock_service::DriveState;

    use super::*;

    #[test]
    fn only_what_changed_is_published() {
        let before = Drive { id: DriveId("a".to_owned()), is: DriveProperties::default() };
        assert!(changed(&before, &before).is_empty());
        let is =
            DriveProperties { state: DriveState::Busy, backups: vec!["home".to_owned()], free: 7, ..before.is.clone() };
        let now = Drive { is, ..before.clone() };
        let mut names: Vec<_> = changed(&before, &now).into_keys().collect();
        names.sort_unstable();
        assert_eq!(names, ["Backups", "Free", "State"]);
    }
}
