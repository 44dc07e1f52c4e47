//! The destinations of backups as they are now: enrolled drives, attached or away, and volumes. `drives` and the configuration say
//! which there are; front ends watch them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::types::{DestinationId, DestinationKind, DestinationProperties};

/// The destinations. Cheap to clone; all clones are one list.
#[derive(Debug, Clone, Default)]
pub struct DestinationList(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    all: Mutex<BTreeMap<DestinationId, watch::Sender<DestinationProperties>>>,
    /// Changes when there is one that there was not.
    arrived: watch::Sender<()>,
}

impl DestinationList {
    /// All destinations; the channel of each closes when it is forgotten or not configured any more.
    #[must_use]
    pub fn all(&self) -> Vec<watch::Receiver<DestinationProperties>> {
        self.lock().values().map(watch::Sender::subscribe).collect()
    }

    /// What is known of one.
    #[must_use]
    pub fn get(&self, id: &DestinationId) -> Option<DestinationProperties> {
        self.lock().get(id).map(|known| known.borrow().clone())
    }

    /// Changes whenever [`Self::all`] has one that it did not have.
    #[must_use]
    pub fn appearing(&self) -> watch::Receiver<()> {
        self.0.arrived.subscribe()
    }

    /// These are all destinations of this kind now. Of two with one id, the one that was there first stays.
    pub(crate) fn set(&self, kind: DestinationKind, now: Vec<DestinationProperties>) {
        let mut is_any_new = false;
        {
            let mut all = self.lock();
            all.retain(|id, known| known.borrow().kind != kind || now.iter().any(|properties| properties.id == *id));
            for properties in now {
                if let Some(known) = all.get(&properties.id) {
                    known.send_if_modified(|known| {
                        let is_other = known.kind == kind && *known != properties;
                        if is_other {
                            *known = properties;
                        }
                        is_other
                    });
                } else {
                    is_any_new = true;
                    all.insert(properties.id.clone(), watch::Sender::new(properties));
                }
            }
        }
        if is_any_new {
            self.0.arrived.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DestinationId, watch::Sender<DestinationProperties>>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(id: &str, kind: DestinationKind, free: u64) -> DestinationProperties {
        DestinationProperties { id: DestinationId(id.to_owned()), kind, free, ..DestinationProperties::default() }
    }

    #[test]
    fn each_kind_is_replaced_by_itself() {
        let list = DestinationList::default();
        let mut arrived = list.appearing();
        let (drive, volume) = (DestinationKind::Drive, DestinationKind::Volume);
        list.set(drive, vec![destination("blue", drive, 1), destination("red", drive, 2)]);
        list.set(volume, vec![destination("pool", volume, 3), destination("red", volume, 4)]);
        assert!(arrived.has_changed().expect("open"));
        arrived.mark_unchanged();
        let ids = |list: &DestinationList| -> Vec<String> {
            list.all().iter().map(|known| known.borrow().id.to_string()).collect()
        };
        assert_eq!(ids(&list), ["blue", "pool", "red"]);
        assert_eq!(list.get(&DestinationId("red".to_owned())).map(|red| red.kind), Some(drive), "the first one stays");
        let mut red = list.all().remove(2);
        list.set(drive, vec![destination("blue", drive, 1)]);
        assert_eq!(ids(&list), ["blue", "pool"]);
        assert!(red.has_changed().is_err(), "its channel is open");
        assert!(!arrived.has_changed().expect("open"));
        red = list.all().remove(0);
        list.set(drive, vec![destination("blue", drive, 1)]);
        assert!(!red.has_changed().expect("open"), "nothing changed");
        list.set(drive, vec![destination("blue", drive, 9)]);
        assert!(red.has_changed().expect("open") && red.borrow().free == 9);
    }
}
