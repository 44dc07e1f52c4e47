//! The server: its connection, and what all objects on the bus share. `objects` publishes the objects.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use butterdock_dbus::{Error, ErrorName};
use butterdock_service::config::VolumeName;
use butterdock_service::drives::Drive;
use butterdock_service::volumes::Volume;
use butterdock_service::{BackupProperties, DestinationProperties, Service};
use tokio::sync::{Mutex, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use uuid::Uuid;
use zbus::{Connection, OwnedObjectPath};

use super::authority::Authority;
use super::callers::Callers;
use super::fd_table::FdTable;
use super::socket;

/// The published objects with a state of the service, each with the task that publishes its changes.
pub(super) type PublishedStates<S> = HashMap<OwnedObjectPath, (watch::Receiver<S>, JoinHandle<()>)>;

/// The service on the bus, by one connection. It publishes until it is dropped.
#[derive(Debug)]
pub(crate) struct BusServer {
    pub(super) connection: Connection,
    pub(super) service: Service,
    pub(super) authority: Authority,
    pub(super) descriptors: FdTable,
    pub(super) callers: Callers,
    /// The volumes that are published, each with the task that publishes its changes.
    pub(super) volumes: Mutex<HashMap<VolumeName, (Arc<Volume>, AbortHandle)>>,
    pub(super) drives: Mutex<PublishedStates<Drive>>,
    pub(super) destinations: Mutex<PublishedStates<DestinationProperties>>,
    pub(super) backups: Mutex<PublishedStates<BackupProperties>>,
    /// The jobs that are published. Locked while one is added, so that a concurrent request finds it published.
    pub(super) jobs: Mutex<HashSet<Uuid>>,
    /// The number of published jobs without a published end.
    pub(super) unfinished: watch::Sender<usize>,
    tasks: std::sync::Mutex<JoinSet<()>>,
}

impl BusServer {
    /// Connects, and publishes nothing yet.
    pub(super) async fn connect(address: Option<&str>, service: Service) -> zbus::Result<Arc<Self>> {
        let descriptors = FdTable::new().map_err(|error| zbus::Error::InputOutput(Arc::new(error)))?;
        let (connection, callers) = socket::connect(address, descriptors.clone()).await?;
        let authority = Authority::new(connection.clone(), callers.clone());
        Ok(Arc::new(Self {
            connection,
            service,
            authority,
            descriptors,
            callers,
            volumes: Mutex::default(),
            drives: Mutex::default(),
            destinations: Mutex::default(),
            backups: Mutex::default(),
            jobs: Mutex::default(),
            unfinished: watch::Sender::new(0),
            tasks: std::sync::Mutex::default(),
        }))
    }

    /// Waits until the connection to the bus is lost.
    pub(crate) async fn lost(&self) {
        tokio::select! {
            () = self.connection.closed() => {}
            () = self.callers.lost() => {}
        }
    }

    /// The end of a job was published.
    pub(super) fn end_published(&self) {
        self.unfinished.send_modify(|unfinished| *unfinished = unfinished.saturating_sub(1));
    }

    /// Waits until the end of every published job was published.
    pub(crate) async fn all_ends_published(&self) {
        // The channel closes only with `self`.
        drop(self.unfinished.subscribe().wait_for(|unfinished| *unfinished == 0).await);
    }

    /// Leaves the bus. A blocked thread can keep the process and its socket alive, and with it the name.
    pub(crate) async fn close(&self) {
        self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).abort_all();
        if let Err(error) = self.connection.clone().close().await {
            tracing::debug!("leaving the bus: {error}");
        }
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Forget tasks that have ended.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task)
    }
}

/// An error of the bus itself, for a caller.
pub(super) fn bus_failed(error: &zbus::Error) -> Error {
    Error::new(ErrorName::Failed, format!("the bus failed: {error}; try again"))
}
