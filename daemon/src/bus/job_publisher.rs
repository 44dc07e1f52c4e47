//! Publishes jobs: added, changed, ended and removed. The rate of changes is limited.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use butterdock_dbus::Error;
use butterdock_dbus::names::interface::JOB;
use butterdock_service::jobs::Job;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{OwnedObjectPath, Variant};

use super::job::{JobObject, changed, end_details};
use super::mapping::job_result;
use super::server::BusServer;

/// Shortest time between two signals of a job: three a second, so that the last, which does not wait, is the fourth.
pub(super) const GAP: Duration = Duration::from_millis(334);

/// Publishes every job as it begins to exist, until the service ends.
pub(super) async fn follow(server: Arc<BusServer>, mut begun: watch::Receiver<()>) {
    while begun.changed().await.is_ok() {
        if let Err(error) = catch_up(&server).await {
            tracing::debug!("cannot publish a job on the bus: {error}");
        }
    }
}

/// Publishes the jobs that there are.
///
/// # Errors
/// The connection is lost.
pub(super) async fn catch_up(server: &Arc<BusServer>) -> Result<(), Error> {
    for handle in server.service.jobs().live() {
        server.publish_job(handle).await?;
    }
    Ok(())
}

/// Publishes a job until it is forgotten; `before` is what `InterfacesAdded` said, or older.
pub(super) async fn publish(server: &BusServer, path: &OwnedObjectPath, job: watch::Receiver<Job>, before: Job) {
    if let Err(error) = publish_changes(server, path, job, before).await {
        tracing::debug!("cannot publish the end of a job on the bus: {error}");
    }
}

async fn publish_changes(
    server: &BusServer,
    path: &OwnedObjectPath,
    mut job: watch::Receiver<Job>,
    mut before: Job,
) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(&server.connection, path)?;
    let mut may = Instant::now();
    let mut result = Ok(());
    while !before.is_over() {
        if job.changed().await.is_err() {
            break;
        }
        tokio::select! {
            () = sleep_until(may) => {}
            // What it is then is read below.
            over = job.wait_for(Job::is_over) => drop(over),
        }
        let now = job.borrow_and_update().clone();
        let changes = changed(&before, &now);
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
pub(super) async fn emit(
    emitter: &SignalEmitter<'_>,
    interface: &'static str,
    changes: HashMap<&str, Variant<'_>>,
) -> zbus::Result<()> {
    let interface = InterfaceName::from_static_str_unchecked(interface);
    Properties::properties_changed(emitter, interface, changes, Cow::Borrowed(&[])).await
}
