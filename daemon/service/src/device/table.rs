//! The block devices that are attached.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::block_device::BlockDevice;
use super::devices::Event;
use super::probe::Probed;

/// The block devices that are attached, by syspath, with what was found on them.
#[derive(Debug, Default)]
pub(crate) struct DeviceTable {
    devices: BTreeMap<PathBuf, BlockDevice>,
    /// As udev reported them.
    reported: BTreeMap<PathBuf, BlockDevice>,
    /// Those that are or were read by ourselves since udev reported them.
    probed: BTreeSet<PathBuf>,
}

impl DeviceTable {
    /// The first half of an event: removes what it says is gone, also a disk that another one has replaced at its place. Answers
    /// whether anything was removed: then its drive was away, however soon [`Self::add`] follows.
    pub(crate) fn remove(&mut self, event: &Event) -> bool {
        let before = self.reported.len();
        match event {
            Event::All(all) => self.reported.retain(|_, known| all.iter().any(|facts| is_same(known, facts))),
            Event::Present(facts) => self.remove_replaced(facts),
            Event::Gone(syspath) => drop(self.reported.remove(syspath)),
        }
        self.devices.retain(|syspath, _| self.reported.contains_key(syspath));
        self.probed.retain(|syspath| self.reported.contains_key(syspath));
        self.reported.len() != before
    }

    /// The second half: takes in what is attached. Answers whether that was not known.
    pub(crate) fn add(&mut self, event: Event) -> bool {
        let facts = match event {
            Event::All(all) => all,
            Event::Present(facts) => vec![*facts],
            Event::Gone(_) => Vec::new(),
        };
        let mut is_new = false;
        for facts in facts {
            is_new |= self.insert(facts);
        }
        is_new
    }

    /// Takes in one device; answers whether that was not known.
    pub(crate) fn insert(&mut self, facts: BlockDevice) -> bool {
        let is_new = self.reported.get(&facts.syspath) != Some(&facts);
        if is_new {
            self.probed.remove(&facts.syspath);
            self.devices.insert(facts.syspath.clone(), facts.clone());
            self.reported.insert(facts.syspath.clone(), facts);
        }
        is_new
    }

    /// The devices that are to be read, each once after udev reported it.
    pub(crate) fn take_unclear(&mut self, is_unclear: impl Fn(&BlockDevice) -> bool) -> Vec<BlockDevice> {
        let Self { reported, probed, .. } = self;
        let unclear = reported.values().filter(|device| !probed.contains(&device.syspath) && is_unclear(device));
        let unclear: Vec<BlockDevice> = unclear.cloned().collect();
        probed.extend(unclear.iter().map(|device| device.syspath.clone()));
        unclear
    }

    /// Takes in what was found on a device, unless udev has reported it anew meanwhile. Answers whether that changes anything.
    pub(crate) fn found(&mut self, reported: &BlockDevice, found: Probed) -> bool {
        if self.reported.get(&reported.syspath) != Some(reported) {
            return false;
        }
        let device = reported.clone().with(found);
        let is_new = self.devices.get(&device.syspath) != Some(&device);
        self.devices.insert(device.syspath.clone(), device);
        is_new
    }

    /// The device as udev reported it.
    pub(crate) fn reported(&self, syspath: &Path) -> Option<&BlockDevice> {
        self.reported.get(syspath)
    }

    /// The device of this node.
    pub(crate) fn at(&self, node: &Path) -> Option<&BlockDevice> {
        self.devices.values().find(|facts| facts.node == node)
    }

    fn remove_replaced(&mut self, facts: &BlockDevice) {
        if self.reported.get(&facts.syspath).is_some_and(|known| !is_same(known, facts)) {
            self.reported.remove(&facts.syspath);
        }
    }
}

impl Deref for DeviceTable {
    type Target = BTreeMap<PathBuf, BlockDevice>;

    fn deref(&self) -> &Self::Target {
        &self.devices
    }
}

fn is_same(known: &BlockDevice, facts: &BlockDevice) -> bool {
    known.syspath == facts.syspath && known.diskseq == facts.diskseq
}

#[cfg(test)]
mod tests {
    use super::super::Bus;
    use super::*;

    fn device(name: &str, diskseq: u64) -> BlockDevice {
        BlockDevice {
            node: Path::new("/dev").join(name),
            devnum: 1,
            syspath: Path::new("/sys/block").join(name),
            diskseq,
            bus: Bus::Usb,
            removable: false,
            model: String::new(),
            serial: String::new(),
            id_path: String::new(),
            size: 1000,
            partition: None,
            content: None,
            mapping: None,
            loop_file: None,
            finding: None,
            filesystem_devices: None,
        }
    }

    fn present(device: BlockDevice) -> Event {
        Event::Present(Box::new(device))
    }

    /// Whether something was removed, and whether something was new.
    fn hear(table: &mut DeviceTable, event: Event) -> (bool, bool) {
        (table.remove(&event), table.add(event))
    }

    #[test]
    fn only_news_change_the_table() {
        let mut table = DeviceTable::default();
        assert_eq!(hear(&mut table, present(device("sdb", 1))), (false, true));
        assert_eq!(hear(&mut table, present(device("sdb", 1))), (false, false));
        let changed = BlockDevice { size: 2000, ..device("sdb", 1) };
        assert_eq!(hear(&mut table, present(changed.clone())), (false, true));
        assert_eq!(table.at(Path::new("/dev/sdb")), Some(&changed));
        assert_eq!(hear(&mut table, Event::Gone(changed.syspath.clone())), (true, false));
        assert_eq!(hear(&mut table, Event::Gone(changed.syspath)), (false, false));
    }

    #[test]
    fn a_finding_lasts_until_udev_reports_the_device_anew() {
        let mut table = DeviceTable::default();
        let (first, later) = (device("sdb", 1), BlockDevice { model: "Other".to_owned(), ..device("sdb", 1) });
        let damaged = || Probed::Damaged { what: "it is damaged".into(), has_copy: false };
        hear(&mut table, present(first.clone()));
        assert_eq!(table.take_unclear(|_| true), std::slice::from_ref(&first));
        assert_eq!(table.take_unclear(|_| true), [], "it is read once");
        assert!(table.found(&first, damaged()) && !table.found(&first, damaged()));
        assert_eq!(hear(&mut table, present(first.clone())), (false, false), "the same again");
        assert!(table.at(&first.node).is_some_and(|device| device.finding.is_some()));
        hear(&mut table, present(later.clone()));
        assert!(!table.found(&first, damaged()), "it was read before that");
        assert_eq!(table.at(&first.node), Some(&later));
        assert_eq!(table.take_unclear(|_| true), [later]);
    }

    #[test]
    fn another_disk_at_the_same_place_removes_the_first() {
        let mut table = DeviceTable::default();
        hear(&mut table, present(device("sdb", 1)));
        assert_eq!(hear(&mut table, present(device("sdb", 2))), (true, true));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_list_of_all_devices_replaces_the_table() {
        let mut table = DeviceTable::default();
        hear(&mut table, Event::All(vec![device("sdb", 1), device("sdc", 2)]));
        let all = Event::All(vec![device("sdb", 1), device("sdd", 3)]);
        assert_eq!(hear(&mut table, all.clone()), (true, true));
        assert_eq!(hear(&mut table, all), (false, false));
        assert_eq!(
            table.keys().filter_map(|path| path.to_str()).collect::<Vec<_>>(),
            ["/sys/block/sdb", "/sys/block/sdd"]
        );
    }
}
