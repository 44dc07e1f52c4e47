//! Takes udev's events into the table of drives.

use tokio::time::{Instant, sleep_until};

use super::handle::DriveManager;
use crate::device::{DeviceEvents, Event};
use crate::supervisor::Pulse;

/// Follows udev; why that ended.
pub(super) async fn follow(
    mut events: Box<dyn DeviceEvents>,
    manager: DriveManager,
    mut pulse: Pulse,
) -> anyhow::Error {
    let mut reviewed = manager.0.reviewed.subscribe();
    loop {
        let forget = manager.lock().entries.values().filter_map(super::table::DriveEntry::expires).min();
        let event = tokio::select! {
            event = events.next() => event,
            // Nothing is waited for while nothing is to be forgotten.
            () = at(forget) => {
                manager.review();
                continue;
            }
            // A drive may have become safe meanwhile.
            _ = reviewed.changed() => continue,
            () = pulse.answer() => continue,
        };
        match event {
            Ok(event) => manager.hear(event),
            Err(error) => return anyhow::anyhow!(error),
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl DriveManager {
    /// Takes in what happened to devices.
    pub(super) fn hear(&self, event: Event) {
        tracing::debug!("{event:?}");
        // A drive whose disk was replaced was away in between.
        let is_gone = self.lock().devices.remove(&event);
        if is_gone {
            self.review();
        }
        let is_new = self.lock().devices.add(event);
        if is_new {
            self.review();
        }
    }
}
