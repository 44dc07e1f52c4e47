//! What persons asked to delete, recorded before they get an answer, in `deletions` of the state directory: a file for each
//! request. A request is done when its job has ended; if the service or the drive goes away before, it is done after the next
//! start or plug.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::backups::Identity;
use crate::durable::{self, Loaded};

/// A request has up to a thousand snapshots.
const LARGEST: u64 = 128 << 10;
/// The largest number of requests that are not done.
pub(crate) const MOST: usize = 64;

/// The side of a backup where snapshots are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderPlace {
    /// On the drive with this id.
    Drive(String),
    /// Beside the source of the backup with this name.
    Source(String),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeletionOrder {
    pub(crate) place: OrderPlace,
    pub(crate) snapshots: Vec<Identity>,
    /// Also the parents of the next increments.
    pub(crate) force: bool,
    /// The user who asked.
    pub(crate) uid: u32,
}

/// The requests that are not done. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct DeletionOrders {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
    /// Changes when one may begin.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    orders: BTreeMap<Uuid, DeletionOrder>,
    /// Those that are jobs now.
    begun: BTreeSet<Uuid>,
    /// How often each began again since the start of the service.
    attempts: BTreeMap<Uuid, usize>,
    /// The service ends: the jobs that it cancels are done later.
    ending: bool,
}

impl DeletionOrders {
    /// Reads those that are not done. One that cannot be read is moved aside: nothing is deleted for it. Blocks.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let folder = state.join("deletions");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        durable::sweep(&folder)?;
        let mut orders = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let Some(id) = id_of(&path) else { continue };
            match durable::load(&path, LARGEST, |bytes| Ok(serde_json::from_slice(bytes)?)) {
                Ok(Loaded::Read(order)) => drop(orders.insert(id, order)),
                Ok(Loaded::Missing | Loaded::SetAside) => {}
                Ok(Loaded::Unreadable { error, aside }) => tracing::error!(
                    "cannot read a request to delete snapshots: {error}; its remaining snapshots stay; delete them again; the \
                     file is now {}",
                    aside.display()
                ),
                Err(error) => tracing::error!("cannot read a request to delete snapshots: {error}"),
            }
        }
        let state = Arc::new(Mutex::new(State { orders, ..State::default() }));
        Ok(Self { folder, state, changed: watch::Sender::new(()) })
    }

    /// Records a request, durably; it counts as begun. None if there are too many. Blocks.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn add(&self, order: DeletionOrder) -> io::Result<Option<Uuid>> {
        let (id, text) = (Uuid::new_v4(), serde_json::to_vec(&order)?);
        {
            let mut state = self.lock();
            if state.orders.len() >= MOST {
                return Ok(None);
            }
            state.orders.insert(id, order);
            state.begun.insert(id);
        }
        if let Err(error) = durable::write(&self.file(id), &text) {
            let mut state = self.lock();
            state.orders.remove(&id);
            state.begun.remove(&id);
            return Err(error);
        }
        Ok(Some(id))
    }

    /// One is done, or given up. Blocks.
    pub(crate) fn remove(&self, id: Uuid) {
        if let Err(error) = durable::remove(&self.file(id)) {
            // After the next start it finds nothing left to delete.
            tracing::warn!("cannot remove the record of a deletion: {error}");
        }
        let mut state = self.lock();
        state.orders.remove(&id);
        state.begun.remove(&id);
        state.attempts.remove(&id);
    }

    /// One is no job any more, and not done.
    pub(crate) fn set_waiting(&self, id: Uuid) {
        self.lock().begun.remove(&id);
        self.changed.send_replace(());
    }

    /// One becomes a job; false if it is one already, or done.
    pub(crate) fn set_begun(&self, id: Uuid) -> bool {
        let mut state = self.lock();
        let begins = state.orders.contains_key(&id) && state.begun.insert(id);
        if begins {
            let attempts = state.attempts.entry(id).or_default();
            *attempts = attempts.saturating_add(1);
        }
        begins
    }

    /// How often it began again since the start of the service.
    pub(crate) fn attempts(&self, id: Uuid) -> usize {
        self.lock().attempts.get(&id).copied().unwrap_or_default()
    }

    /// Those that are no jobs.
    pub(crate) fn waiting(&self) -> Vec<(Uuid, DeletionOrder)> {
        let state = self.lock();
        let waiting = state.orders.iter().filter(|(id, _)| !state.begun.contains(*id));
        waiting.map(|(id, order)| (*id, order.clone())).collect()
    }

    /// Whether a snapshot is to be deleted.
    pub(crate) fn includes(&self, snapshot: Identity) -> bool {
        self.lock().orders.values().any(|order| order.snapshots.contains(&snapshot))
    }

    /// The backup has another name now.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let is_of_it = |order: &DeletionOrder| order.place == OrderPlace::Source(from.to_owned());
        let renamed: Vec<(Uuid, DeletionOrder)> = {
            let mut state = self.lock();
            let of_it = state.orders.iter_mut().filter(|(_, order)| is_of_it(order));
            let rename = |(id, order): (&Uuid, &mut DeletionOrder)| {
                order.place = OrderPlace::Source(to.to_owned());
                (*id, order.clone())
            };
            of_it.map(rename).collect()
        };
        renamed.into_iter().try_for_each(|(id, order)| durable::write(&self.file(id), &serde_json::to_vec(&order)?))
    }

    /// From now on a cancelled job is cancelled by the end of the service.
    pub(crate) fn set_ending(&self) {
        self.lock().ending = true;
    }

    /// Whether the service ends.
    pub(crate) fn is_ending(&self) -> bool {
        self.lock().ending
    }

    /// Changes when one may begin.
    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn file(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn id_of(path: &Path) -> Option<Uuid> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    Uuid::try_parse(name).ok().filter(|id| id.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(number: u8) -> DeletionOrder {
        let snapshots = vec![Identity([number; 16])];
        DeletionOrder { place: OrderPlace::Drive("blue".to_owned()), snapshots, force: false, uid: 1000 }
    }

    #[test]
    fn a_request_survives_the_service_until_it_is_done() {
        let state = tempfile::tempdir().expect("a folder");
        let orders = DeletionOrders::open(state.path()).expect("opened");
        let id = orders.add(order(1)).expect("written").expect("room");
        assert!(orders.waiting().is_empty() && orders.includes(Identity([1; 16])) && !orders.set_begun(id));
        let again = DeletionOrders::open(state.path()).expect("opened");
        assert_eq!(again.waiting(), [(id, order(1))]);
        assert!(again.set_begun(id) && again.waiting().is_empty());
        again.set_waiting(id);
        assert_eq!(again.waiting().len(), 1);
        again.remove(id);
        assert!(again.waiting().is_empty() && !again.set_begun(id) && !again.includes(Identity([1; 16])));
        assert!(DeletionOrders::open(state.path()).expect("opened").waiting().is_empty());
    }

    #[test]
    fn an_unreadable_request_deletes_nothing() {
        let state = tempfile::tempdir().expect("a folder");
        let orders = DeletionOrders::open(state.path()).expect("opened");
        let id = orders.add(order(1)).expect("written").expect("room");
        fs::write(orders.file(id), "{").expect("damaged");
        assert!(DeletionOrders::open(state.path()).expect("opened").waiting().is_empty());
        assert!(!orders.file(id).exists(), "it was moved aside");
    }

    #[test]
    fn requests_are_bounded_and_follow_a_rename() {
        let state = tempfile::tempdir().expect("a folder");
        let orders = DeletionOrders::open(state.path()).expect("opened");
        let beside = DeletionOrder { place: OrderPlace::Source("home".to_owned()), ..order(1) };
        let id = orders.add(beside).expect("written").expect("room");
        for number in 1..MOST {
            assert!(orders.add(order(u8::try_from(number).expect("small"))).expect("written").is_some());
        }
        assert_eq!(orders.add(order(0)).expect("not written"), None);
        orders.rename("home", "daheim").expect("written");
        let again = DeletionOrders::open(state.path()).expect("opened");
        let renamed = again.waiting().into_iter().find(|(known, _)| *known == id).expect("it");
        assert_eq!(renamed.1.place, OrderPlace::Source("daheim".to_owned()));
    }
}
