//! The D-Bus client: a connection to the service, and the calls that several verbs need. Prints nothing.

mod drive;
mod objects;
mod signals;

use std::collections::HashMap;

use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_dbus::{
    BackupProxy, DestinationProxy, DriveProxy, Error, ErrorDetails, ErrorName, JobProxy, ManagerProxy, VolumeProxy,
    path,
};
use zbus::connection::Builder;
use zbus::fdo::{DBusProxy, ObjectManagerProxy};
use zbus::names::{BusName, OwnedUniqueName};
use zbus::proxy::CacheProperties;
use zbus::{Connection, Variant};

use crate::failure::Failure;

pub(crate) use drive::{Destination, Drive};
pub(crate) use objects::{Job, Objects};
pub(crate) use signals::{JobSignal, JobSignals};

/// The environment variable with the address of another bus.
const ADDRESS: &str = "BUTTERDOCK_BUS_ADDRESS";

/// A connection to the service's bus.
#[derive(Debug)]
pub(crate) struct Service {
    bus: Connection,
}

impl Service {
    /// Connects to the system bus, or to the bus in `BUTTERDOCK_BUS_ADDRESS`.
    pub(crate) async fn connect() -> Result<Self, Failure> {
        let address = std::env::var(ADDRESS).ok().filter(|address| !address.is_empty());
        let builder = address.as_deref().map_or_else(Builder::system, Builder::address);
        match builder.build().await {
            Ok(bus) => Ok(Self { bus }),
            Err(error) => Err(Failure::no_bus(address.as_deref(), &error)),
        }
    }

    /// The connection.
    pub(crate) fn bus(&self) -> &Connection {
        &self.bus
    }

    /// All volumes, drives, destinations and jobs.
    pub(crate) async fn objects(&self) -> Result<Objects, Failure> {
        self.objects_of(BUS_NAME).await
    }

    /// The same of the service with this name on the bus.
    pub(crate) async fn objects_of(&self, name: &str) -> Result<Objects, Failure> {
        let manager = ObjectManagerProxy::new(&self.bus, name.to_owned(), ROOT).await?;
        Objects::read(&manager.get_managed_objects().await?)
    }

    /// Adds where other programs have drives mounted, as far as the caller may know that.
    pub(crate) async fn add_mounts(&self, drives: &mut [Drive]) -> Result<(), Failure> {
        for drive in drives.iter_mut().filter(|drive| drive.now.mounted_by_others) {
            let rows = self.drive(&drive.path).await?.list_mounts(HashMap::new()).await;
            // It may have been unplugged meanwhile.
            drive.mount_points = rows.unwrap_or_default().into_iter().filter_map(|row| row.path).collect();
        }
        Ok(())
    }

    /// The manager object, without cached properties.
    pub(crate) async fn manager(&self) -> Result<ManagerProxy<'_>, Failure> {
        Ok(ManagerProxy::builder(&self.bus).cache_properties(CacheProperties::No).build().await?)
    }

    /// The manager object of the service with this name on the bus.
    pub(crate) async fn manager_of(&self, owner: &OwnedUniqueName) -> Result<ManagerProxy<'_>, Failure> {
        let builder = ManagerProxy::builder(&self.bus).destination(owner.clone());
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }

    /// The volume with this name in the configuration.
    pub(crate) async fn volume(&self, name: &str) -> Result<VolumeProxy<'_>, Failure> {
        let path = path::volume_path(name);
        Ok(VolumeProxy::builder(&self.bus).path(path).cache_properties(CacheProperties::No).build().await?)
    }

    /// Returns `NotFound` if no volume has this name; the bus itself only reports an unknown object.
    pub(crate) async fn known_volume(&self, name: &str) -> Result<(), Failure> {
        if self.objects().await?.volumes.iter().any(|volume| volume.name == name) {
            return Ok(());
        }
        let message = format!("there is no volume {name:?}");
        Err(Error::new(ErrorName::NotFound, message).into())
    }

    /// The backup with this name in the configuration.
    pub(crate) async fn backup(&self, name: &str) -> Result<BackupProxy<'_>, Failure> {
        let builder = BackupProxy::builder(&self.bus).path(path::backup_path(name));
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }

    /// The same, if there is such a backup.
    pub(crate) async fn known_backup(&self, name: &str) -> Result<BackupProxy<'_>, Failure> {
        let manager = ObjectManagerProxy::new(&self.bus, BUS_NAME, ROOT).await?;
        let path = path::backup_path(name);
        if manager.get_managed_objects().await?.keys().all(|known| known.as_str() != path.as_str()) {
            let next = "`butterdock backups` lists the backups";
            return Err(Failure::usage(format!("there is no backup {}", name.escape_debug()), next));
        }
        self.backup(name).await
    }

    /// The drive at this path.
    pub(crate) async fn drive(&self, path: &str) -> Result<DriveProxy<'_>, Failure> {
        let builder = DriveProxy::builder(&self.bus).path(path.to_owned());
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }

    /// The destination at this path.
    pub(crate) async fn destination(&self, path: &str) -> Result<DestinationProxy<'_>, Failure> {
        let builder = DestinationProxy::builder(&self.bus).path(path.to_owned());
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }

    /// The job at this path.
    pub(crate) async fn job(&self, path: &str) -> Result<JobProxy<'_>, Failure> {
        let builder = JobProxy::builder(&self.bus).path(path.to_owned());
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }

    /// The error details of a job. Never opens a password dialog, because a user does not expect one at the end of a job.
    pub(crate) async fn details(&self, path: &str) -> Result<ErrorDetails, Failure> {
        let job = self.job(path).await?;
        let none = HashMap::<&str, Variant<'_>>::new();
        job.inner().call("GetErrorDetails", &none).await.map_err(|error| Error::from(error).into())
    }

    /// The current owner of the service's name. Starts the service if the bus can.
    pub(crate) async fn owner(&self) -> Result<OwnedUniqueName, Failure> {
        match self.owner_now().await {
            Ok(owner) => Ok(owner),
            Err(_none) => {
                self.manager().await?.version().await?;
                self.owner_now().await
            }
        }
    }

    /// The current owner of the service's name. Does not start the service.
    pub(crate) async fn owner_now(&self) -> Result<OwnedUniqueName, Failure> {
        let bus = DBusProxy::new(&self.bus).await?;
        let name = BusName::try_from(BUS_NAME).map_err(|error| Failure::own(error.to_string()))?;
        match bus.get_name_owner(name).await {
            Err(zbus::fdo::Error::NameHasNoOwner(_)) => Err(Failure::absent()),
            answer => Ok(answer?),
        }
    }
}
