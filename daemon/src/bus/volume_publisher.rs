//! Publishes volumes: added, changed and removed.

use std::collections::HashMap;
use std::sync::Arc;

use butterdock_dbus::names::interface::VOLUME;
use butterdock_service::volumes::{Seen, Volume};
use tokio::sync::watch;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedObjectPath, Variant};

use super::job_publisher::emit;
use super::server::BusServer;

/// Publishes what is configured, until the service ends.
pub(super) async fn follow(server: Arc<BusServer>, mut configured: watch::Receiver<Vec<Arc<Volume>>>) {
    while configured.changed().await.is_ok() {
        if let Err(error) = server.publish_volumes().await {
            tracing::debug!("cannot publish the volumes on the bus: {error}");
        }
    }
}

/// Publishes the changes of a volume until it is withdrawn.
pub(super) async fn publish(
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
