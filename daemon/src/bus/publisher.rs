//! Publishes jobs, drives and volumes: each is added, changed and removed. The rate of changes is limited.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use butterdock_dbus::Error;
use butterdock_dbus::names::interface::{DRIVE, JOB, VOLUME};
use butterdock_dbus::path::drive_path;
use butterdock_service::DriveProperties;
use butterdock_service::drives::{Drive, DriveId};
use butterdock_service::jobs::Job;
use butterdock_service::volumes::{Seen, Volume};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedObjectPath, Variant};

use super::drive::DriveObject;
use super::job::{JobObject, changed as changed_job, end_details};
use super::mapping::{drive_state, job_result};
use super::server::BusServer;

/// Shortest time between two signals of a job or a drive: three a second, because the last one of a job does not wait.
const GAP: Duration = Duration::from_millis(334);

/// Publishes every new job, until the service ends.
pub(super) async fn follow_jobs(server: Arc<BusServer>, mut begun: watch::Receiver<()>) {
    while begun.changed().await.is_ok() {
        if let Err(error) = publish_jobs(&server).await {
            tracing::debug!("cannot publish a job on the bus: {error}");
        }
    }
}

/// Publishes the current jobs.
///
/// # Errors
/// The connection is lost.
pub(super) async fn publish_jobs(server: &Arc<BusServer>) -> Result<(), Error> {
    for handle in server.service.jobs().live() {
        server.publish_job(handle).await?;
    }
    Ok(())
}

/// Publishes a job until the service forgets it; `before` is the state of `InterfacesAdded`, or an older one.
pub(super) async fn publish_job(server: &BusServer, path: &OwnedObjectPath, job: watch::Receiver<Job>, before: Job) {
    if let Err(error) = publish_job_changes(server, path, job, before).await {
        tracing::debug!("cannot publish the end of a job on the bus: {error}");
    }
}

async fn publish_job_changes(
    server: &BusServer,
    path: &OwnedObjectPath,
    mut job: watch::Receiver<Job>,
    mut before: Job,
) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(&server.connection, path)?;
    let mut may = Instant::now();
    let mut result = Ok(());
    while !before.has_ended() {
        if job.changed().await.is_err() {
            break;
        }
        tokio::select! {
            () = sleep_until(may) => {}
            // The state is read below.
            over = job.wait_for(Job::has_ended) => drop(over),
        }
        let now = job.borrow_and_update().clone();
        let changes = changed_job(&before, &now);
        if !changes.is_empty() {
            result = emit(&emitter, JOB, changes).await;
            may = Instant::now() + GAP;
        }
        before = now;
    }
    if let Some(end) = before.state.result() {
        result = JobObject::completed(&emitter, job_result(end).as_str(), end_details(&before)).await;
    }
    server.end_published();
    while job.changed().await.is_ok() {}
    server.connection.object_server().remove::<JobObject, _>(path).await?;
    result
}

/// Emits one signal for all changes.
async fn emit(
    emitter: &SignalEmitter<'_>,
    interface: &'static str,
    changes: HashMap<&str, Variant<'_>>,
) -> zbus::Result<()> {
    let interface = InterfaceName::from_static_str_unchecked(interface);
    Properties::properties_changed(emitter, interface, changes, Cow::Borrowed(&[])).await
}

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
                // The drive was unplugged and plugged in again: the new object waits until the old one is removed.
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
            self.tasks
                .insert(id, (known, tokio::spawn(async move { publish_drive(&server, path, drive, before).await })));
        }
    }
}

/// Publishes every new drive, until the service ends.
pub(super) async fn follow_drives(
    server: Arc<BusServer>,
    mut drives: DrivePublisher,
    mut appearing: watch::Receiver<()>,
) {
    while appearing.changed().await.is_ok() {
        drives.catch_up(&server).await;
    }
}

/// Publishes the changes of a drive until it is gone; `before` is the state of `InterfacesAdded`, or an older one.
async fn publish_drive(
    server: &BusServer,
    path: OwnedObjectPath,
    mut drive: watch::Receiver<Drive>,
    mut before: Drive,
) {
    let Ok(emitter) = SignalEmitter::new(&server.connection, &path) else { return };
    let mut may = Instant::now();
    while drive.changed().await.is_ok() {
        tokio::select! {
            () = sleep_until(may) => {}
            // A drive that is gone is removed at once.
            () = closed(drive.clone()) => {}
        }
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

async fn closed(mut drive: watch::Receiver<Drive>) {
    drop(drive.wait_for(|_| false).await);
}

/// Names every field, so that the compiler requires a new one here.
fn changed(before: &Drive, now: &Drive) -> HashMap<&'static str, Variant<'static>> {
    let DriveProperties {
        label,
        names,
        model,
        serial,
        bus,
        device,
        disk,
        disk_size,
        devices,
        device_count,
        size,
        free,
        filesystem_type,
        filesystem_uuid,
        encrypted,
        state,
        mounted_by_others,
        problems: _,
        note,
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
    text("Model", &before.model, model);
    text("Serial", &before.serial, serial);
    text("Bus", &before.bus, bus);
    text("Device", &before.device, device);
    text("Disk", &before.disk, disk);
    text("FilesystemType", &before.filesystem_type, filesystem_type);
    text("FilesystemUuid", &before.filesystem_uuid, filesystem_uuid);
    text("State", drive_state(before.state).as_str(), drive_state(*state).as_str());
    text("Problem", &before.problem(), &now.problem());
    text("Note", &before.note, note);
    let mut number = |name, before: u64, after: u64| {
        if before != after {
            changes.insert(name, Variant::from(after));
        }
    };
    number("DiskSize", before.disk_size, *disk_size);
    number("Size", before.size, *size);
    number("DeviceCount", before.device_count, *device_count);
    number("Free", before.free, *free);
    number("LastBackup", before.last_backup, *last_backup);
    let mut truth = |name, before: bool, after: bool| {
        if before != after {
            changes.insert(name, Variant::from(after));
        }
    };
    truth("Encrypted", before.encrypted, *encrypted);
    truth("Enrolled", before.enrolled, *enrolled);
    truth("MountedByOthers", before.mounted_by_others, *mounted_by_others);
    let texts =
        [("Names", &before.names, names), ("Devices", &before.devices, devices), ("Backups", &before.backups, backups)];
    for (name, before, after) in texts {
        if before != after {
            changes.insert(name, Variant::from(after.clone()));
        }
    }
    changes
}

/// Publishes the configured volumes, until the service ends.
pub(super) async fn follow_volumes(server: Arc<BusServer>, mut configured: watch::Receiver<Vec<Arc<Volume>>>) {
    while configured.changed().await.is_ok() {
        if let Err(error) = server.publish_volumes().await {
            tracing::debug!("cannot publish the volumes on the bus: {error}");
        }
    }
}

/// Publishes the changes of a volume until it is removed.
pub(super) async fn publish_volume(
    connection: Connection,
    path: OwnedObjectPath,
    mut seen: watch::Receiver<Seen>,
    mut before: Seen,
) {
    let Ok(emitter) = SignalEmitter::new(&connection, &path) else { return };
    while seen.changed().await.is_ok() {
        let now = *seen.borrow_and_update();
        let mut changes: HashMap<&'static str, Variant<'static>> = HashMap::new();
        if before.mounted() != now.mounted() {
            changes.insert("Mounted", now.mounted().into());
        }
        if before.size != now.size {
            changes.insert("Size", now.size.into());
        }
        if before.free != now.free {
            changes.insert("Free", now.free.into());
        }
        before = now;
        if !changes.is_empty() && emit(&emitter, VOLUME, changes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use butterdock_service::DriveState;

    use super::*;

    #[test]
    fn only_changed_properties_are_published() {
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
