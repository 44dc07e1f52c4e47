//! What all objects on the bus have in common, and how they come and go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_dbus::path::volume_path;
use butterdock_dbus::{Error, ErrorName};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use zbus::fdo::{ObjectManager, RequestNameFlags};
use zbus::names::WellKnownName;
use zbus::{Connection, OwnedObjectPath};

use super::authority::Authority;
use super::callers::Callers;
use super::fd_table::FdTable;
use super::job::JobObject;
use super::manager::{Manager, Reload};
use super::mirror;
use super::showing::{self, Showing};
use super::socket;
use super::volume::VolumeObject;
use super::{errands, inhibitor, timedate};
use crate::clock::ClockKeeper;
use crate::config::VolumeName;
use crate::drives::{Dock, Plugged};
use crate::jobs::{Jobs, Ticket, no_such_volume};
use crate::volumes::Volume;

/// The service on the bus.
#[derive(Debug)]
pub(crate) struct Hall {
    pub(super) connection: Connection,
    pub(super) jobs: Jobs,
    pub(super) dock: Dock,
    pub(super) clock: ClockKeeper,
    pub(super) authority: Authority,
    pub(super) descriptors: FdTable,
    callers: Callers,
    /// The volumes that are shown, each with the task that tells of its changes.
    volumes: Mutex<HashMap<VolumeName, (Arc<Volume>, AbortHandle)>>,
    /// How many jobs are shown whose end was not told.
    untold: watch::Sender<usize>,
}

impl Hall {
    /// Connects, without a name: nobody finds the service yet. The manager's `Reload` is sent to `reload`; from now on
    /// `clock` can ask systemd.
    ///
    /// # Errors
    /// There is no bus at this address, or it refuses the connection.
    pub(crate) async fn open(
        address: Option<&str>,
        jobs: Jobs,
        dock: Dock,
        clock: ClockKeeper,
        reload: mpsc::Sender<Reload>,
    ) -> zbus::Result<Arc<Self>> {
        let descriptors = FdTable::new().map_err(|error| zbus::Error::InputOutput(Arc::new(error)))?;
        let (connection, callers) = socket::connect(address, descriptors.clone()).await?;
        let asked = connection.clone();
        clock.ask_also(timedate::PROGRAM, move || Box::pin(timedate::synchronised(asked.clone())));
        let authority = Authority::new(connection.clone(), callers.clone());
        let untold = watch::Sender::new(0);
        let hall = Arc::new(Self {
            connection,
            jobs,
            dock,
            clock,
            authority,
            descriptors,
            callers,
            volumes: Mutex::default(),
            untold,
        });
        let server = hall.connection.object_server();
        server.at(ROOT, ObjectManager).await?;
        server.at(ROOT, Manager::new(Arc::clone(&hall), reload)).await?;
        Ok(hall)
    }

    /// Takes the service's name, once everything is there.
    ///
    /// # Errors
    /// Another service has it, or the bus does not let this one have it.
    pub(crate) async fn take_name(&self) -> zbus::Result<()> {
        let name = WellKnownName::from_static_str_unchecked(BUS_NAME);
        self.connection.request_name_with_flags(name, RequestNameFlags::DO_NOT_QUEUE).await.map(drop)
    }

    /// Has logind keep the machine awake whenever a job runs.
    pub(crate) fn keep_awake(&self) {
        tokio::spawn(inhibitor::follow(self.connection.clone(), self.jobs.busy()));
    }

    /// Shows these volumes and no others.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) async fn show_volumes(self: &Arc<Self>, volumes: &[Arc<Volume>]) -> zbus::Result<()> {
        let server = self.connection.object_server();
        for name in self.withdrawn(volumes) {
            server.remove::<VolumeObject, _>(volume_path(name.as_str())).await?;
        }
        for volume in volumes {
            let name = &volume.rule.name;
            if self.volume(name.as_str()).is_ok() {
                continue;
            }
            let path = volume_path(name.as_str());
            let told = volume.seen();
            let watch = volume.watch();
            server.at(&path, VolumeObject::new(Arc::clone(self), Arc::clone(volume))).await?;
            let mirror = tokio::spawn(mirror::volume(self.connection.clone(), path, watch, told));
            self.lock().insert(name.clone(), (Arc::clone(volume), mirror.abort_handle()));
        }
        Ok(())
    }

    /// Shows the drives, as they come and go from now on; those that are there are shown when this returns.
    pub(crate) async fn show_drives(self: &Arc<Self>) {
        // Before they are counted, so that none is missed.
        let appearing = self.dock.appearing();
        let mut showing = Showing::default();
        showing.catch_up(self).await;
        tokio::spawn(showing::follow(Arc::clone(self), showing, appearing));
    }

    /// Shows a job from now until it is forgotten.
    pub(super) async fn show_job(self: &Arc<Self>, ticket: Ticket) -> zbus::Result<OwnedObjectPath> {
        let path = butterdock_dbus::path::job_path(ticket.id);
        let told = ticket.job.borrow().clone();
        let object = JobObject::new(Arc::clone(self), ticket.job.clone());
        self.connection.object_server().at(&path, object).await?;
        self.untold.send_modify(|untold| *untold = untold.saturating_add(1));
        let (hall, shown) = (Arc::clone(self), path.clone());
        tokio::spawn(async move { mirror::job(&hall, &shown, ticket.job, told).await });
        Ok(path)
    }

    /// A drive was plugged in for which there are backups to make.
    pub(crate) async fn plugged(self: &Arc<Self>, plugged: Plugged) {
        errands::plugged(self, plugged).await;
    }

    /// Waits until the connection to the bus is lost.
    pub(crate) async fn lost(&self) {
        tokio::select! {
            () = self.connection.closed() => {}
            () = self.callers.lost() => {}
        }
    }

    /// The end of a job was told.
    pub(super) fn told(&self) {
        self.untold.send_modify(|untold| *untold = untold.saturating_sub(1));
    }

    /// Waits until the end of every job that is shown was told.
    pub(crate) async fn all_told(&self) {
        // It closes only with this.
        self.untold.subscribe().wait_for(|untold| *untold == 0).await.map(drop).unwrap_or_default();
    }

    /// Leaves the bus. A thread that the kernel holds keeps the process and with it the socket, and nobody else could have
    /// the name.
    pub(crate) async fn leave(&self) {
        self.connection.clone().close().await.unwrap_or_default();
    }

    /// The volume that is called so.
    pub(super) fn volume(&self, name: &str) -> Result<Arc<Volume>, Error> {
        let volumes = self.lock();
        let found = volumes.values().find(|(volume, _)| volume.rule.name.as_str() == name);
        found.map(|(volume, _)| Arc::clone(volume)).ok_or_else(|| no_such_volume(name))
    }

    /// Takes out what is not among these volumes any more, and says what that was.
    fn withdrawn(&self, volumes: &[Arc<Volume>]) -> Vec<VolumeName> {
        let mut shown = self.lock();
        let stays = |shown: &Arc<Volume>| volumes.iter().any(|volume| Arc::ptr_eq(volume, shown));
        let gone: Vec<VolumeName> =
            shown.iter().filter(|(_, (volume, _))| !stays(volume)).map(|(name, _)| name.clone()).collect();
        for name in &gone {
            if let Some((_, mirror)) = shown.remove(name) {
                mirror.abort();
            }
        }
        gone
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<VolumeName, (Arc<Volume>, AbortHandle)>> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error of the bus itself, for a caller.
pub(super) fn lost(error: &zbus::Error) -> Error {
    Error::new(ErrorName::Failed, format!("the bus failed: {error}; try again"))
}
