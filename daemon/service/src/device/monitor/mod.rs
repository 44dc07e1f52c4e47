//! Receives udev events: which block devices are added, changed and removed.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;
use udev::{Device, Enumerator, EventType, MonitorBuilder, MonitorSocket};

use super::block_device::{BlockDevice, Properties};

/// What happened to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// It was attached, now or before the monitor started.
    Appeared(BlockDevice),
    /// It is the same device, and something is known otherwise.
    Changed(BlockDevice),
    /// The device of this syspath is gone.
    Gone(PathBuf),
}

/// The block devices of the machine. What it told is at any time what it knows: it tells nothing twice, and another disk
/// at the place of one that was there is told as one that went and one that came.
pub(crate) struct Monitor {
    socket: AsyncFd<MonitorSocket>,
    known: BTreeMap<PathBuf, BlockDevice>,
    pending: VecDeque<Event>,
}

impl Monitor {
    /// Subscribes first, then lists the attached devices, so that none is missed.
    ///
    /// # Errors
    /// udev's library cannot listen, or outside a runtime.
    pub(crate) fn open() -> io::Result<Self> {
        // What the rules have been applied to. Needs udevd, and no systemd.
        let socket = MonitorBuilder::new()?.match_subsystem("block")?.listen()?;
        #[expect(deprecated, reason = "what takes its place is unsafe; the socket is owned here and never replaced")]
        let socket = AsyncFd::new(socket)?;
        let mut monitor = Self { socket, known: BTreeMap::new(), pending: VecDeque::new() };
        monitor.enumerate()?;
        Ok(monitor)
    }

    /// The next event; devices that are attached already come first.
    ///
    /// # Errors
    /// The socket is broken: begin again.
    pub(crate) async fn next(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(event);
            }
            // By the mutable way: the library's socket may be sent to another thread, and not shared with one.
            let mut ready = self.socket.readable_mut().await?;
            let mut overrun = false;
            let mut heard = Vec::new();
            loop {
                Errno::clear();
                match ready.get_inner().iter().next() {
                    Some(event) => heard.push((event.event_type(), event)),
                    // The library gives no error, but leaves it in errno. The kernel tells of an overrun once, until
                    // the socket is empty: so it is emptied first, and then it is looked what is there.
                    None if Errno::last() == Errno::ENOBUFS => overrun = true,
                    None if Errno::last() == Errno::EINTR => {}
                    None => break,
                }
            }
            ready.clear_ready();
            let heard: Vec<_> = heard.into_iter().map(|(kind, event)| (kind, read(&event))).collect();
            if overrun {
                tracing::warn!("udev sent more events than could be read; examining every device again");
                self.enumerate()?;
            } else {
                for (kind, (syspath, facts)) in heard {
                    self.hear(kind, syspath, facts);
                }
            }
        }
    }

    /// Compares the attached devices with the known ones.
    fn enumerate(&mut self) -> io::Result<()> {
        let mut all = Enumerator::new()?;
        all.match_subsystem("block")?;
        // Without it the rules have not been applied yet, and the event is still to come.
        all.match_is_initialized()?;
        let all = all.scan_devices()?.map(|device| read(&device));
        let there: BTreeMap<PathBuf, BlockDevice> = all.filter_map(|(path, facts)| Some((path, facts?))).collect();
        let gone: Vec<_> = self.known.keys().filter(|path| !there.contains_key(*path)).cloned().collect();
        for path in gone {
            self.forget(path);
        }
        for facts in there.into_values() {
            self.learn(facts);
        }
        Ok(())
    }

    fn hear(&mut self, kind: EventType, syspath: PathBuf, facts: Option<BlockDevice>) {
        match (kind, facts) {
            (EventType::Remove, _) | (_, None) => self.forget(syspath),
            (
                EventType::Add | EventType::Change | EventType::Bind | EventType::Unbind | EventType::Unknown,
                Some(facts),
            ) => self.learn(facts),
        }
    }

    fn learn(&mut self, facts: BlockDevice) {
        match self.known.get(&facts.syspath) {
            Some(known) if *known == facts => return,
            Some(known) if known.diskseq == facts.diskseq => self.pending.push_back(Event::Changed(facts.clone())),
            Some(_) => {
                self.pending.push_back(Event::Gone(facts.syspath.clone()));
                self.pending.push_back(Event::Appeared(facts.clone()));
            }
            None => self.pending.push_back(Event::Appeared(facts.clone())),
        }
        self.known.insert(facts.syspath.clone(), facts);
    }

    fn forget(&mut self, syspath: PathBuf) {
        if self.known.remove(&syspath).is_some() {
            self.pending.push_back(Event::Gone(syspath));
        }
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

/// What udev says of a device, its disk, and what it lies on; nothing where that is not there any more.
fn read(device: &Device) -> (PathBuf, Option<BlockDevice>) {
    let syspath = device.syspath().to_path_buf();
    let mut all = Properties::new();
    note(&mut all, "", device, &["size", "removable", "partition", "loop/backing_file", "diskseq"]);
    let is_part = device.devtype() == Some(OsStr::new("partition"));
    if let Some(disk) = device.parent().filter(|_| is_part) {
        note(&mut all, "disk:", &disk, &["removable", "diskseq"]);
    }
    if let Some(slave) = only_entry(&syspath.join("slaves")) {
        all.insert("slave".to_owned(), slave);
    }
    let facts = BlockDevice::of(&syspath, &all);
    (syspath, facts)
}

fn note(all: &mut Properties, prefix: &str, device: &Device, attributes: &[&str]) {
    for entry in device.properties() {
        all.insert(format!("{prefix}{}", entry.name().to_string_lossy()), entry.value().to_string_lossy().into_owned());
    }
    for attribute in attributes {
        // Looked up in sysfs now: the library would remember the first answer.
        let value = fs::read(device.syspath().join(attribute)).unwrap_or_default();
        let value = String::from_utf8_lossy(&value).trim_end_matches('\n').to_owned();
        all.insert(format!("{prefix}attr:{attribute}"), value);
    }
}

/// None also where there are several: then it is no encryption.
fn only_entry(folder: &Path) -> Option<String> {
    let mut entries = fs::read_dir(folder).ok()?;
    let first = entries.next()?.ok()?.file_name().into_string().ok()?;
    entries.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests;
