//! Publishes objects whose state is in a channel of the service, such as drives and destinations: each is added, changed, and
//! removed when its channel closes. The rate of changes is limited.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use zbus::fdo::Properties;
use zbus::names::InterfaceName;
use zbus::object_server::{Interface, SignalEmitter};
use zbus::{OwnedObjectPath, Variant};

use super::server::{BusServer, PublishedStates};

/// Shortest time between two signals of an object: three a second, because the last one of a job does not wait.
pub(super) const GAP: Duration = Duration::from_millis(334);

/// An interface of an object whose state is in a channel of the service.
pub(super) trait PublishedObject: Interface + Sized {
    /// Everything that its properties show.
    type State: Clone + Send + Sync + 'static;

    /// The name of the interface.
    const INTERFACE: &'static str;

    fn new(server: Arc<BusServer>, state: watch::Receiver<Self::State>) -> Self;

    /// The path of the object, which never changes.
    fn path(state: &Self::State) -> OwnedObjectPath;

    /// Every property that may change, with its value; always in the same order.
    fn changing(state: &Self::State) -> Vec<(&'static str, Variant<'static>)>;
}

/// Publishes those of all objects of one interface that are not published yet. The others are removed when this returns.
pub(super) async fn catch_up<O: PublishedObject>(
    published: &mut PublishedStates<O::State>,
    server: &Arc<BusServer>,
    all: Vec<watch::Receiver<O::State>>,
) {
    let is_gone = |known: &watch::Receiver<_>| !all.iter().any(|state| state.same_channel(known));
    let gone: Vec<_> = published.extract_if(|_, (known, _)| is_gone(known)).collect();
    for (_, (_, task)) in gone {
        // Its channel is closed. One that panicked has ended as well.
        drop(task.await);
    }
    for state in all {
        let before = state.borrow().clone();
        let path = O::path(&before);
        match published.remove(&path) {
            Some(known) if known.0.same_channel(&state) => {
                published.insert(path, known);
                continue;
            }
            // It went and appeared again: the new object waits until the old one is removed.
            Some((_, task)) => task.await.unwrap_or_default(),
            None => {}
        }
        let object = O::new(Arc::clone(server), state.clone());
        if let Err(error) = server.connection.object_server().at(&path, object).await {
            tracing::error!("cannot publish {path} on the bus: {error}");
            continue;
        }
        let (server, of, known) = (Arc::clone(server), path.clone(), state.clone());
        let task = tokio::spawn(async move { publish_changes::<O>(&server, of, state, before).await });
        published.insert(path, (known, task));
    }
}

/// Publishes the changes of an object until its channel closes; `before` is the state of `InterfacesAdded`, or an older one.
async fn publish_changes<O: PublishedObject>(
    server: &BusServer,
    path: OwnedObjectPath,
    mut state: watch::Receiver<O::State>,
    mut before: O::State,
) {
    let Ok(emitter) = SignalEmitter::new(&server.connection, &path) else { return };
    let mut may = Instant::now();
    while state.changed().await.is_ok() {
        tokio::select! {
            () = sleep_until(may) => {}
            // One that is gone is removed at once.
            () = closed(state.clone()) => {}
        }
        let now = state.borrow_and_update().clone();
        let changes = changed::<O>(&before, &now);
        if !changes.is_empty() {
            if let Err(error) = emit(&emitter, O::INTERFACE, changes).await {
                tracing::debug!("cannot publish a change of {path} on the bus: {error}");
            }
            may = Instant::now() + GAP;
        }
        before = now;
    }
    if let Err(error) = server.connection.object_server().remove::<O, _>(&path).await {
        tracing::debug!("cannot remove {path} from the bus: {error}");
    }
}

async fn closed<S>(mut state: watch::Receiver<S>) {
    drop(state.wait_for(|_| false).await);
}

/// The contents of `PropertiesChanged` for a change from `before` to `now`.
fn changed<O: PublishedObject>(before: &O::State, now: &O::State) -> HashMap<&'static str, Variant<'static>> {
    let both = O::changing(before).into_iter().zip(O::changing(now));
    both.filter(|(old, new)| old != new).map(|(_, new)| new).collect()
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

#[cfg(test)]
mod tests {
    use butterdock_service::drives::{Drive, DriveId};
    use butterdock_service::{DestinationProperties, DestinationState, DriveProperties, DriveState};

    use super::*;
    use crate::bus::destination::DestinationObject;
    use crate::bus::drive::DriveObject;

    fn names<O: PublishedObject>(before: &O::State, now: &O::State) -> Vec<&'static str> {
        let mut names: Vec<_> = changed::<O>(before, now).into_keys().collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn only_changed_properties_are_published() {
        let before = Drive { id: DriveId("a".to_owned()), is: DriveProperties::default() };
        assert_eq!(names::<DriveObject>(&before, &before), [""; 0]);
        let is = DriveProperties { state: DriveState::Busy, last_seen: 7, ..before.is.clone() };
        assert_eq!(names::<DriveObject>(&before, &Drive { is, ..before.clone() }), ["LastSeen", "State"]);
        let before = DestinationProperties::default();
        let (state, backups) = (DestinationState::Busy, vec!["home".to_owned()]);
        let now = DestinationProperties { state, backups, free: 7, ..before.clone() };
        assert_eq!(names::<DestinationObject>(&before, &now), ["Backups", "Free", "State"]);
    }
}
