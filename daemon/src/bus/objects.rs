//! The start of the server: publishes the objects, takes the name, and asks other services about the clock, sleep and SMART.

use std::sync::Arc;

use butterdock_dbus::Error;
use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_dbus::path::{job_path, volume_path};
use butterdock_service::Service;
use butterdock_service::config::VolumeName;
use butterdock_service::jobs::JobHandle;
use butterdock_service::volumes::Volume;
use tokio::sync::watch;
use zbus::OwnedObjectPath;
use zbus::fdo::{ObjectManager, RequestNameFlags};
use zbus::names::WellKnownName;

use super::backup::BackupObject;
use super::destination::DestinationObject;
use super::drive::DriveObject;
use super::job::JobObject;
use super::manager::Manager;
use super::object_publisher::catch_up;
use super::server::{BusServer, bus_failed};
use super::volume::VolumeObject;
use super::{job_publisher, notifications, systemd, udisks};

impl BusServer {
    /// Connects, publishes everything, and takes the name last, so that a client that finds the service finds all of it.
    ///
    /// # Errors
    /// There is no bus at this address, it refuses the connection, or another service has the name.
    pub(crate) async fn start(address: Option<&str>, service: Service) -> anyhow::Result<Arc<Self>> {
        use anyhow::Context as _;
        let server = Self::connect(address, service)
            .await
            .context("cannot connect to the bus; start it, or name its address in BUTTERDOCK_BUS_ADDRESS for tests")?;
        server.publish().await.context("cannot publish the service on the bus")?;
        server.take_name().await.context(
            "cannot take the name org.butterdock.Butterdock1; another butterdockd runs, or the bus has no policy for it",
        )?;
        let clock = server.service.clock().clone();
        let asked = server.connection.clone();
        clock.ask_also(systemd::TIMEDATED, move || Box::pin(systemd::is_synchronised(asked.clone())));
        server.spawn(async move { clock.look_now().await });
        let (connection, busy) = (server.connection.clone(), server.service.jobs().busy());
        server.spawn(systemd::inhibit_sleep(connection, busy));
        server.spawn(udisks::follow_smart(server.connection.clone(), server.service.drives().clone()));
        Ok(server)
    }

    /// Publishes all objects; tasks publish later changes.
    async fn publish(self: &Arc<Self>) -> zbus::Result<()> {
        let objects = self.connection.object_server();
        objects.at(ROOT, ObjectManager).await?;
        objects.at(ROOT, Manager::new(Arc::clone(self))).await?;
        // Subscribe before listing, so that none is missed.
        let (drives, begun) = (self.service.drives().appearing(), self.service.jobs().begun());
        let destinations = self.service.destinations().appearing();
        let (configured, backups) = (self.service.volumes(), self.service.backups_changed());
        let channels = self.service.notifications();
        let failing = notifications::problems(&channels.borrow());
        self.publish_volumes().await?;
        self.publish_drives().await;
        self.publish_backups().await;
        job_publisher::publish_jobs(self).await.map_err(|error| zbus::Error::Failure(error.to_string()))?;
        self.spawn(job_publisher::follow_volumes(Arc::clone(self), configured));
        self.spawn(follow_drives(Arc::clone(self), drives));
        self.spawn(follow_drives(Arc::clone(self), destinations));
        self.spawn(follow_backups(Arc::clone(self), backups));
        self.spawn(job_publisher::follow_jobs(Arc::clone(self), begun));
        self.spawn(notifications::follow_problems(Arc::clone(self), channels, failing));
        Ok(())
    }

    async fn take_name(&self) -> zbus::Result<()> {
        let name = WellKnownName::from_static_str_unchecked(BUS_NAME);
        self.connection.request_name_with_flags(name, RequestNameFlags::DO_NOT_QUEUE).await.map(drop)
    }

    /// Publishes the configured volumes and no others.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) async fn publish_volumes(self: &Arc<Self>) -> zbus::Result<()> {
        let configured = self.service.volumes().borrow().clone();
        let objects = self.connection.object_server();
        let mut published = self.volumes.lock().await;
        let stays = |published: &Arc<Volume>| configured.iter().any(|volume| Arc::ptr_eq(volume, published));
        let gone: Vec<VolumeName> =
            published.iter().filter(|(_, (volume, _))| !stays(volume)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            if let Some((_, task)) = published.remove(&name) {
                task.abort();
            }
            objects.remove::<VolumeObject, _>(volume_path(name.as_str())).await?;
        }
        for volume in &configured {
            let name = &volume.rule.name;
            if published.contains_key(name) {
                continue;
            }
            let path = volume_path(name.as_str());
            let (before, seen) = (volume.seen(), volume.watch());
            objects.at(&path, VolumeObject::new(Arc::clone(self), Arc::clone(volume))).await?;
            let task = self.spawn(job_publisher::publish_volume(self.connection.clone(), path, seen, before));
            published.insert(name.clone(), (Arc::clone(volume), task));
        }
        Ok(())
    }

    /// Publishes the drives and destinations that are not published yet.
    pub(super) async fn publish_drives(self: &Arc<Self>) {
        catch_up::<DriveObject>(&mut *self.drives.lock().await, self, self.service.drives().drives()).await;
        catch_up::<DestinationObject>(&mut *self.destinations.lock().await, self, self.service.destinations().all())
            .await;
    }

    /// Publishes the configured backups and no others.
    pub(super) async fn publish_backups(self: &Arc<Self>) {
        catch_up::<BackupObject>(&mut *self.backups.lock().await, self, self.service.backup_states()).await;
    }

    /// Publishes a job until the service forgets it; a second call only returns its path.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) async fn publish_job(self: &Arc<Self>, handle: JobHandle) -> Result<OwnedObjectPath, Error> {
        let path = job_path(handle.id);
        let mut published = self.jobs.lock().await;
        if !published.contains(&handle.id) {
            let before = handle.job.borrow().clone();
            let object = JobObject::new(Arc::clone(self), handle.job.clone());
            self.connection.object_server().at(&path, object).await.map_err(|error| bus_failed(&error))?;
            published.insert(handle.id);
            self.unfinished.send_modify(|unfinished| *unfinished = unfinished.saturating_add(1));
            let (server, of_job, id) = (Arc::clone(self), path.clone(), handle.id);
            self.spawn(async move {
                job_publisher::publish_job(&server, &of_job, handle.job, before).await;
                server.jobs.lock().await.remove(&id);
            });
        }
        Ok(path)
    }
}

/// Publishes the configured backups, until the service ends.
async fn follow_backups(server: Arc<BusServer>, mut changed: watch::Receiver<()>) {
    while changed.changed().await.is_ok() {
        server.publish_backups().await;
    }
}

/// Publishes every new drive and destination, until the service ends.
async fn follow_drives(server: Arc<BusServer>, mut appearing: watch::Receiver<()>) {
    while appearing.changed().await.is_ok() {
        server.publish_drives().await;
    }
}
