//! Publishes jobs and volumes: each is added, changed and removed. The rate of changes of a job is limited.

use std::collections::HashMap;
use std::sync::Arc;

use butterdock_dbus::Error;
use butterdock_dbus::names::interface::{JOB, VOLUME};
use butterdock_service::jobs::Job;
use butterdock_service::volumes::{Seen, Volume};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedObjectPath, Variant};

use super::job::{JobObject, changed as changed_job, end_details};
use super::mapping::job_result;
use super::object_publisher::{GAP, emit};
use super::server::BusServer;

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
