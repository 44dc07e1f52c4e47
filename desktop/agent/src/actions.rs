//! What a button does: a call of the service. polkit decides there, and may ask for a password.

use std::collections::HashMap;

use butterdock_dbus::{
    BackupProxy, DestinationProxy, DriveProxy, EnrolOptions, Error, JobProxy, RunOptions, SafelyRemoveOptions,
};
use zbus::proxy::CacheProperties;
use zbus::{Connection, ObjectPath};

use crate::story::Action;

/// Performs an action. May take as long as a person needs for a password.
///
/// # Errors
/// The service refuses, or is gone.
pub(crate) async fn perform(bus: &Connection, action: &Action) -> Result<(), Error> {
    match action {
        Action::Enrol { drive } => {
            let builder = DriveProxy::builder(bus).path(drive.as_str());
            let proxy = builder.cache_properties(CacheProperties::No).build().await?;
            // The desktop has usually mounted it by now; the service unmounts what udisks mounted for this user.
            proxy.enrol(EnrolOptions { unmount: true, ..EnrolOptions::default() }.to_options()).await
        }
        // `ask` and `story` do these.
        Action::Unlock { .. } | Action::NotNow { .. } | Action::Never { .. } => Ok(()),
        Action::Cancel { job } => {
            let builder = JobProxy::builder(bus).path(job.as_str());
            builder.cache_properties(CacheProperties::No).build().await?.cancel(HashMap::new()).await
        }
        Action::Run { backup, destination } => {
            let destination = destination.as_deref().map(ObjectPath::try_from).transpose()?;
            let options = RunOptions { destination: destination.map(Into::into), ..RunOptions::default() };
            let builder = BackupProxy::builder(bus).path(backup.as_str());
            let proxy = builder.cache_properties(CacheProperties::No).build().await?;
            proxy.run(options.to_options()).await.map(drop)
        }
        Action::RunAll { destination } => of(bus, destination).await?.backup(HashMap::new()).await.map(drop),
        Action::Verify { destination } => of(bus, destination).await?.verify(HashMap::new()).await.map(drop),
        Action::SafelyRemove { drive } => {
            let builder = DriveProxy::builder(bus).path(drive.as_str());
            let proxy = builder.cache_properties(CacheProperties::No).build().await?;
            let options = SafelyRemoveOptions { when_idle: true };
            proxy.safely_remove(options.to_options()).await.map(drop)
        }
    }
}

async fn of<'p>(bus: &Connection, destination: &'p str) -> Result<DestinationProxy<'p>, Error> {
    let builder = DestinationProxy::builder(bus).path(destination);
    Ok(builder.cache_properties(CacheProperties::No).build().await?)
}
