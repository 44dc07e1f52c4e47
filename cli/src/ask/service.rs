//! The service, as far as this program needs it.

use std::collections::HashMap;

use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_dbus::{DriveProxy, Error, ErrorDetails, ErrorName, JobProxy, ManagerProxy, VolumeProxy, path};
use zbus::connection::Builder;
use zbus::fdo::{DBusProxy, ObjectManagerProxy};
use zbus::names::{BusName, OwnedUniqueName};
use zbus::proxy::CacheProperties;
use zbus::{Connection, Variant};

use super::Objects;
use crate::failure::Failure;

/// Where another bus than the system's is named.
const ADDRESS: &str = "BUTTERDOCK_BUS_ADDRESS";

/// A connection to the bus that the service is on.
#[derive(Debug)]
pub(crate) struct Service {
    bus: Connection,
}

impl Service {
    /// Connects to the system bus, or to the one that the environment names.
    pub(crate) async fn connect() -> Result<Self, Failure> {
        let address = std::env::var(ADDRESS).ok().filter(|address| !address.is_empty());
        let builder = address.as_deref().map_or_else(Builder::system, Builder::address);
        match builder.build().await {
            Ok(bus) => Ok(Self { bus }),
            Err(error) => Err(Failure::no_bus(address.as_deref(), &error)),
        }
    }

    /// The connection itself.
    pub(crate) fn bus(&self) -> &Connection {
        &self.bus
    }

    /// Every volume, drive and job there is.
    pub(crate) async fn objects(&self) -> Result<Objects, Failure> {
        let manager = ObjectManagerProxy::new(&self.bus, BUS_NAME, ROOT).await?;
        let mut objects = Objects::read(&manager.get_managed_objects().await?)?;
        if objects.has_untitled() {
            // Without an answer the id stands for the drive.
            objects.title(&self.manager().await?.list_backups(HashMap::new()).await.unwrap_or_default());
        }
        Ok(objects)
    }

    /// The manager; its properties are fetched when they are asked for.
    pub(crate) async fn manager(&self) -> Result<ManagerProxy<'_>, Failure> {
        Ok(ManagerProxy::builder(&self.bus).cache_properties(CacheProperties::No).build().await?)
    }

    /// The volume that the configuration calls `name`.
    pub(crate) async fn volume(&self, name: &str) -> Result<VolumeProxy<'_>, Failure> {
        let path = path::volume_path(name);
        Ok(VolumeProxy::builder(&self.bus).path(path).cache_properties(CacheProperties::No).build().await?)
    }

    /// That there is a volume of this name: the bus only knows that there is no such object.
    pub(crate) async fn known_volume(&self, name: &str) -> Result<(), Failure> {
        if self.objects().await?.volumes.iter().any(|volume| volume.name == name) {
            return Ok(());
        }
        let message = format!("there is no volume {name:?}");
        Err(Error::new(ErrorName::NotFound, message).into())
    }

    /// The drive at this path.
    pub(crate) async fn drive(&self, path: &str) -> Result<DriveProxy<'_>, Failure> {
        let builder = DriveProxy::builder(&self.bus).path(path.to_owned());
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }

    /// The job at this path.
    pub(crate) async fn job(&self, path: &str) -> Result<JobProxy<'_>, Failure> {
        let builder = JobProxy::builder(&self.bus).path(path.to_owned());
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }

    /// What a job failed on, without asking a person for a password: it would come unexpected at the end of a long job.
    pub(crate) async fn details(&self, path: &str) -> Result<ErrorDetails, Failure> {
        let job = self.job(path).await?;
        let none = HashMap::<&str, Variant<'_>>::new();
        job.inner().call("GetErrorDetails", &none).await.map_err(|error| Error::from(error).into())
    }

    /// Who is the service now. Starts it where the bus can.
    pub(crate) async fn owner(&self) -> Result<OwnedUniqueName, Failure> {
        let bus = DBusProxy::new(&self.bus).await?;
        let name = BusName::try_from(BUS_NAME).map_err(|error| Failure::own(error.to_string()))?;
        match bus.get_name_owner(name.clone()).await {
            Ok(owner) => Ok(owner),
            Err(_none) => {
                self.manager().await?.version().await?;
                Ok(bus.get_name_owner(name).await?)
            }
        }
    }
}
