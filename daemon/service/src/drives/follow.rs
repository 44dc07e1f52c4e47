//! Takes udev's events into the table of drives.

use std::time::{Duration, Instant};

use tokio::time::{Instant as Moment, sleep_until, timeout};

use super::handle::DriveManager;
use crate::device::{Event, Monitor};
use crate::supervisor::Pulse;

/// Adds the devices that are attached already, so that the first caller sees them.
pub(super) async fn what_is_there(mut monitor: Monitor, manager: &DriveManager) -> Monitor {
    // What the monitor has found it tells at once.
    while let Ok(Ok(event)) = timeout(Duration::ZERO, monitor.next()).await {
        take_in(manager, event);
    }
    manager.review();
    monitor
}

/// Follows udev; why that ended.
pub(super) async fn follow(mut monitor: Monitor, manager: DriveManager, mut pulse: Pulse) -> anyhow::Error {
    let mut reviewed = manager.0.reviewed.subscribe();
    loop {
        let forget = manager.lock().entries.values().filter_map(super::table::DriveEntry::expires).min();
        let event = tokio::select! {
            event = monitor.next() => event,
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
            Ok(event) => take_in(&manager, event),
            Err(error) => return anyhow::anyhow!(error),
        }
        manager.review();
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(Moment::from_std(moment)).await,
        None => std::future::pending().await,
    }
}

fn take_in(manager: &DriveManager, event: Event) {
    let mut table = manager.lock();
    match event {
        Event::Appeared(facts) | Event::Changed(facts) => {
            tracing::debug!("{} attached: {:?}", facts.node.display(), facts.content);
            table.devices.insert(facts.syspath.clone(), facts);
        }
        Event::Gone(syspath) => {
            tracing::debug!("{} detached", syspath.display());
            table.devices.remove(&syspath);
        }
    }
}
