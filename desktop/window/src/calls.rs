//! What buttons do: calls of the service. polkit decides there, and may ask for a password.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use butterdock_dbus::{
    BackupProxy, DestinationProxy, DriveProxy, EnrolEncryptedOptions, Error, JobProxy, RunOptions, SafelyRemoveOptions,
};
use butterdock_window_model::Action;
use zbus::proxy::CacheProperties;
use zbus::{Connection, ObjectPath};

/// Performs the action of a button. May take as long as a person needs for a password. The actions that open a dialog do nothing here.
///
/// # Errors
/// The service refuses, or is gone.
pub(crate) async fn perform(bus: Connection, action: Action) -> Result<(), Error> {
    match action {
        Action::AskEnrol { .. } | Action::AskUnlock { .. } => Ok(()),
        Action::SafelyRemove { drive } => {
            let options = SafelyRemoveOptions { when_idle: true };
            drive_at(&bus, &drive).await?.safely_remove(options.to_options()).await.map(drop)
        }
        Action::RunAll { destination } => {
            destination_at(&bus, &destination).await?.backup(HashMap::new()).await.map(drop)
        }
        Action::Run { backup, destination } => {
            let destination = destination.as_deref().map(ObjectPath::try_from).transpose()?;
            let options = RunOptions { destination: destination.map(Into::into), ..RunOptions::default() };
            let builder = BackupProxy::builder(&bus).path(backup.as_str());
            let proxy = builder.cache_properties(CacheProperties::No).build().await?;
            proxy.run(options.to_options()).await.map(drop)
        }
        Action::Verify { destination } => {
            destination_at(&bus, &destination).await?.verify(HashMap::new()).await.map(drop)
        }
        Action::Cancel { job } => {
            let builder = JobProxy::builder(&bus).path(job.as_str());
            builder.cache_properties(CacheProperties::No).build().await?.cancel(HashMap::new()).await
        }
    }
}

/// Enrols a drive; an encrypted one with a passphrase, which the service reads from the descriptor.
///
/// # Errors
/// The service refuses, or is gone.
pub(crate) async fn enrol(
    bus: Connection,
    drive: String,
    secret: Option<OwnedFd>,
    options: EnrolEncryptedOptions,
) -> Result<(), Error> {
    let proxy = drive_at(&bus, &drive).await?;
    match secret {
        Some(secret) => proxy.enrol_encrypted(secret.into(), options.to_options()).await,
        None => proxy.enrol(options.enrol.to_options()).await,
    }
}

/// Unlocks a drive with the passphrase that the service reads from the descriptor.
///
/// # Errors
/// The service refuses, or is gone.
pub(crate) async fn unlock(bus: Connection, drive: String, secret: OwnedFd) -> Result<(), Error> {
    drive_at(&bus, &drive).await?.unlock(secret.into(), HashMap::new()).await
}

async fn drive_at<'p>(bus: &Connection, path: &'p str) -> Result<DriveProxy<'p>, Error> {
    Ok(DriveProxy::builder(bus).path(path).cache_properties(CacheProperties::No).build().await?)
}

async fn destination_at<'p>(bus: &Connection, path: &'p str) -> Result<DestinationProxy<'p>, Error> {
    Ok(DestinationProxy::builder(bus).path(path).cache_properties(CacheProperties::No).build().await?)
}
