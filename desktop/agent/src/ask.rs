//! Asks a person for the passphrase of a locked drive, and unlocks the drive with it.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

use butterdock_dbus::{DriveProxy, Error, ErrorName};
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::names::BusName;
use zbus::proxy::CacheProperties;

use crate::pinentry::{Closer, Dialog, ask};

/// Why an action did not work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The service refused.
    #[error(transparent)]
    Service(#[from] Error),
    /// No passphrase could be asked for.
    #[error("no passphrase can be asked for: {0}")]
    NoDialog(#[source] io::Error),
}

/// The name of the Secret Service on the session bus.
const SECRETS: &str = "org.freedesktop.secrets";

/// Asks until the passphrase is right, the person cancels, or the dialog is closed. `wrong` says that it was wrong.
///
/// The passphrase reaches the service through a pipe; it is part of no message, argument or log.
///
/// # Errors
/// Nothing can be asked, or the service refuses.
pub(crate) async fn unlock(
    bus: &Connection,
    session: &Connection,
    drive: &str,
    mut dialog: Dialog,
    wrong: &str,
    closer: &Closer,
) -> Result<(), Failure> {
    // A pinentry offers to remember it also where nothing does.
    if !has_secrets(session).await.unwrap_or(false) {
        dialog.remember = None;
    }
    let builder = DriveProxy::builder(bus).path(drive).cache_properties(CacheProperties::No);
    let proxy = builder.build().await.map_err(Error::from)?;
    loop {
        let (asked, closer) = (dialog.clone(), closer.clone());
        // The dialog waits for a person: in a thread of its own.
        let answer = tokio::task::spawn_blocking(move || ask(&asked, &closer)).await;
        let answer = answer.map_err(|ended| Failure::NoDialog(io::Error::other(ended)))?;
        let Some(secret) = answer.map_err(Failure::NoDialog)? else { return Ok(()) };
        match proxy.unlock(OwnedFd::from(secret).into(), HashMap::new()).await {
            Ok(()) => return Ok(()),
            Err(Error::Named(ErrorName::WrongPassphrase, _)) => dialog.error = Some(wrong.to_owned()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the session has a Secret Service, or starts one on demand.
async fn has_secrets(session: &Connection) -> zbus::fdo::Result<bool> {
    let bus = DBusProxy::new(session).await?;
    let name = BusName::try_from(SECRETS)?;
    Ok(bus.name_has_owner(name).await?
        || bus.list_activatable_names().await?.iter().any(|name| name.as_str() == SECRETS))
}
