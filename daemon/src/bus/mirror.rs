//! Tells of changes: as they come, but not more often than anybody can read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use butterdock_dbus::names::interface::{JOB, VOLUME};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedObjectPath, Variant};

use super::hall::Hall;
use super::job::{JobObject, changed, last_words};
use crate::jobs::Job;
use crate::volumes::Seen;

/// Between two signals of a job passes so much: three a second, so that the last, which does not wait, is the fourth.
pub(super) const GAP: Duration = Duration::from_millis(334);

/// Tells of a job until it is forgotten; `told` is what `InterfacesAdded` told, or older.
pub(super) async fn job(hall: &Hall, path: &OwnedObjectPath, job: watch::Receiver<Job>, told: Job) {
    if let Err(error) = tell_job(hall, path, job, told).await {
        tracing::debug!("a job could not be shown to its end: {error}");
    }
}

async fn tell_job(
    hall: &Hall,
    path: &OwnedObjectPath,
    mut job: watch::Receiver<Job>,
    mut told: Job,
) -> zbus::Result<()> {
    let emitter = SignalEmitter::new(&hall.connection, path)?;
    let mut may = Instant::now();
    let mut result = Ok(());
    while !told.is_over() {
        if job.changed().await.is_err() {
            break;
        }
        tokio::select! {
            () = sleep_until(may) => {}
            // What it is then is read below.
            over = job.wait_for(Job::is_over) => drop(over),
        }
        let now = job.borrow_and_update().clone();
        let changes = changed(&told, &now);
        if !changes.is_empty() {
            result = tell(&emitter, JOB, changes).await;
            may = Instant::now() + GAP;
        }
        told = now;
    }
    if let Some(end) = told.state.result() {
        result = JobObject::completed(&emitter, end.as_str(), last_words(&told)).await;
    }
    hall.told();
    while job.changed().await.is_ok() {}
    hall.connection.object_server().remove::<JobObject, _>(path).await?;
    result
}

/// Tells of a volume until it is withdrawn.
pub(super) async fn volume(connection: Connection, path: OwnedObjectPath, mut seen: watch::Receiver<Seen>, told: Seen) {
    let mut told = told;
    let Ok(emitter) = SignalEmitter::new(&connection, &path) else { return };
    while seen.changed().await.is_ok() {
        let now = *seen.borrow_and_update();
        let mut changes: HashMap<&'static str, Variant<'static>> = HashMap::new();
        if told.mounted() != now.mounted() {
            changes.insert("Mounted", now.mounted().into());
        }
        if told.size != now.size {
            changes.insert("Size", now.size.into());
        }
        if told.free != now.free {
            changes.insert("Free", now.free.into());
        }
        told = now;
        if !changes.is_empty() && tell(&emitter, VOLUME, changes).await.is_err() {
            return;
        }
    }
}

/// One signal for all of it.
pub(super) async fn tell(
    emitter: &SignalEmitter<'_>,
    interface: &'static str,
    changes: HashMap<&str, Variant<'_>>,
) -> zbus::Result<()> {
    let interface = InterfaceName::from_static_str_unchecked(interface);
    Properties::properties_changed(emitter, interface, changes, Cow::Borrowed(&[])).await
}
