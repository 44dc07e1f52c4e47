//! What the daemon remembers of each backup on each drive, so that the next one is an increment.
//!
//! A drive may be away for months. The snapshot of the source that it has too must not be thinned meanwhile, and neither may
//! its twin on the drive. Both carry one identity, so one mark pins both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::identity::Identity;

/// What tells a snapshot and its twin from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    /// What it is called in streams.
    pub(crate) sent_as: Identity,
    /// The state that it was in: snapshots of what was once received share their name.
    pub(crate) ctransid: u64,
}

/// What a drive needs for the next increment of one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// What the snapshot is called in streams: its own uuid, or that under which it was received itself.
    pub(crate) sent_as: Identity,
    /// Its transaction beside the source.
    pub(crate) ctransid: u64,
    /// The uuid of the snapshot beside the source.
    pub(crate) source: Identity,
    /// The uuid of its twin on the drive.
    pub(crate) drive: Identity,
    /// When the drive was last up to date: seconds since 1970.
    pub(crate) time: i64,
}

/// The pins of one drive, by the names of backups. What an older or newer version wrote beside them is not lost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pins(BTreeMap<String, Pin>);

/// An order has room for so many pins: as many drives may take part in one backup.
pub(crate) const MOST: usize = 40;

impl Pin {
    /// What an order says of it.
    pub(crate) fn mark(&self) -> Mark {
        Mark { sent_as: self.sent_as, ctransid: self.ctransid }
    }
}

impl Pins {
    /// The pin of a backup.
    pub(crate) fn of(&self, backup: &str) -> Option<&Pin> {
        self.0.get(backup)
    }

    /// Replaces the pin of a backup.
    pub(crate) fn set(&mut self, backup: &str, pin: Pin) {
        self.0.insert(backup.to_owned(), pin);
    }

    /// Forgets a backup that is configured no more.
    pub(crate) fn forget(&mut self, backup: &str) {
        self.0.remove(backup);
    }
}

/// What all these drives need for one backup: the pins of its next order.
pub(crate) fn together<'p>(drives: impl IntoIterator<Item = &'p Pins>, backup: &str) -> Vec<Mark> {
    let mut all: Vec<Mark> = drives.into_iter().filter_map(|pins| pins.of(backup)).map(Pin::mark).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_come_back_from_what_was_written_and_are_gathered_over_drives() {
        let id = |number: u8| Identity([number; 16]);
        let mark = |number: u8| Mark { sent_as: id(number), ctransid: 8 };
        let pin = |number: u8| Pin { sent_as: id(number), ctransid: 8, source: id(1), drive: id(2), time: 7 };
        let (mut one, mut two) = (Pins::default(), Pins::default());
        one.set("home", pin(5));
        two.set("home", pin(4));
        two.set("etc", pin(6));
        let text = serde_json::to_string(&two).expect("written");
        assert_eq!(serde_json::from_str::<Pins>(&text).expect("read"), two);
        assert_eq!(together([&one, &two, &one], "home"), [mark(4), mark(5)]);
        two.forget("home");
        assert_eq!(together([&one, &two], "home"), [mark(5)]);
    }
}
