//! Shows the drives on the bus: they come, change and go.

use std::collections::HashMap;
use std::sync::Arc;

use butterdock_dbus::names::interface::DRIVE;
use butterdock_dbus::path::drive_path;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use zbus::object_server::SignalEmitter;
use zbus::{OwnedObjectPath, Variant};

use super::drive::DriveObject;
use super::hall::Hall;
use super::mirror::{GAP, tell};
use crate::drives::{Drive, DriveId};

/// Each drive that is shown, with the task that tells of it.
#[derive(Debug, Default)]
pub(super) struct Showing {
    tasks: HashMap<DriveId, (watch::Receiver<Drive>, JoinHandle<()>)>,
}

impl Showing {
    /// Shows what the dock has and the bus has not.
    pub(super) async fn catch_up(&mut self, hall: &Arc<Hall>) {
        self.tasks.retain(|_, (_, task)| !task.is_finished());
        for drive in hall.dock.drives() {
            let told = drive.borrow().clone();
            match self.tasks.remove(&told.id) {
                Some(known) if known.0.same_channel(&drive) => {
                    self.tasks.insert(told.id, known);
                    continue;
                }
                // Of a drive that went meanwhile: its successor waits until it is off the bus.
                Some((_, task)) => task.await.unwrap_or_default(),
                None => {}
            }
            let path = drive_path(told.id.as_str());
            let object = DriveObject::new(Arc::clone(hall), drive.clone());
            if let Err(error) = hall.connection.object_server().at(&path, object).await {
                tracing::error!(BUTTERDOCK_DRIVE = told.id.as_str(), "the drive cannot be shown: {error}");
                continue;
            }
            let (id, hall, known) = (told.id.clone(), Arc::clone(hall), drive.clone());
            self.tasks.insert(id, (known, tokio::spawn(async move { mirror(&hall, path, drive, told).await })));
        }
    }
}

/// Shows every drive as it comes, until the service ends.
pub(super) async fn follow(hall: Arc<Hall>, mut showing: Showing, mut appearing: watch::Receiver<()>) {
    while appearing.changed().await.is_ok() {
        showing.catch_up(&hall).await;
    }
}

/// Tells of a drive until it goes; `told` is what `InterfacesAdded` told, or older.
async fn mirror(hall: &Hall, path: OwnedObjectPath, mut drive: watch::Receiver<Drive>, mut told: Drive) {
    let Ok(emitter) = SignalEmitter::new(&hall.connection, &path) else { return };
    let mut may = Instant::now();
    while drive.changed().await.is_ok() {
        sleep_until(may).await;
        let now = drive.borrow_and_update().clone();
        let changes = changed(&told, &now);
        if !changes.is_empty() {
            if let Err(error) = tell(&emitter, DRIVE, changes).await {
                tracing::debug!("a drive's change could not be told: {error}");
            }
            may = Instant::now() + GAP;
        }
        told = now;
    }
    if let Err(error) = hall.connection.object_server().remove::<DriveObject, _>(&path).await {
        tracing::debug!("a drive could not be taken from the bus: {error}");
    }
}

/// Every field is named, so that a new one cannot be forgotten here; model and serial never change.
fn changed(told: &Drive, now: &Drive) -> HashMap<&'static str, Variant<'static>> {
    let butterdock_dbus::DriveProperties {
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
    text("Label", &told.label, label);
    text("Bus", &told.bus, bus);
    text("Device", &told.device, device);
    text("FilesystemType", &told.filesystem_type, filesystem_type);
    text("FilesystemUuid", &told.filesystem_uuid, filesystem_uuid);
    text("State", told.state.as_str(), state.as_str());
    text("Problem", &told.problem, problem);
    let mut number = |name, before: u64, after: u64| {
        if before != after {
            changes.insert(name, Variant::from(after));
        }
    };
    number("Size", told.size, *size);
    number("Free", told.free, *free);
    number("LastBackup", told.last_backup, *last_backup);
    let mut truth = |name, before: bool, after: bool| {
        if before != after {
            changes.insert(name, Variant::from(after));
        }
    };
    truth("Encrypted", told.encrypted, *encrypted);
    truth("Enrolled", told.enrolled, *enrolled);
    if told.backups != *backups {
        changes.insert("Backups", Variant::from(backups.clone()));
    }
    changes
}

#[cfg(test)]
mod tests {
    use butterdock_dbus::{DriveProperties, DriveState};

    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let told = Drive { id: DriveId("a".to_owned()), is: DriveProperties::default() };
        assert!(changed(&told, &told).is_empty());
        let is =
            DriveProperties { state: DriveState::Busy, backups: vec!["home".to_owned()], free: 7, ..told.is.clone() };
        let now = Drive { is, ..told.clone() };
        let mut names: Vec<_> = changed(&told, &now).into_keys().collect();
        names.sort_unstable();
        assert_eq!(names, ["Backups", "Free", "State"]);
    }
}
