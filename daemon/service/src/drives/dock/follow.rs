//! Takes in what udev tells.

use std::time::{Duration, Instant};

use tokio::time::{Instant as Moment, sleep_until, timeout};

use super::handle::Dock;
use crate::drives::{Event, Monitor};

/// Takes in what is there already, so that whoever asks first sees it.
pub(super) async fn what_is_there(mut monitor: Monitor, dock: &Dock) -> Monitor {
    // What the monitor has found it tells at once.
    while let Ok(Ok(event)) = timeout(Duration::ZERO, monitor.next()).await {
        take_in(dock, event);
    }
    dock.review();
    monitor
}

/// Follows udev until the service ends.
pub(super) async fn follow(mut monitor: Monitor, dock: Dock) {
    let mut reviewed = dock.0.reviewed.subscribe();
    loop {
        let forget = dock.lock().cards.values().filter_map(super::picture::Card::expires).min();
        let event = tokio::select! {
            event = monitor.next() => event,
            // Nothing is waited for while nothing is to be forgotten.
            () = at(forget) => {
                dock.review();
                continue;
            }
            // A drive may have become safe meanwhile.
            _ = reviewed.changed() => continue,
        };
        match event {
            Ok(event) => take_in(&dock, event),
            Err(error) => {
                tracing::error!("drives are not seen any more: {error}; restart the service");
                return;
            }
        }
        dock.review();
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(Moment::from_std(moment)).await,
        None => std::future::pending().await,
    }
}

fn take_in(dock: &Dock, event: Event) {
    let mut picture = dock.lock();
    match event {
        Event::Appeared(facts) | Event::Changed(facts) => {
            tracing::debug!("{} is there: {:?}", facts.node.display(), facts.content);
            picture.devices.insert(facts.syspath.clone(), facts);
        }
        Event::Gone(syspath) => {
            tracing::debug!("{} is gone", syspath.display());
            picture.devices.remove(&syspath);
        }
    }
}
