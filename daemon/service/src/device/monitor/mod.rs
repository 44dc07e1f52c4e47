//! Receives udev events, which say which block devices are added, changed and removed; and the kernel's notifications of changed
//! mounts.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use udev::{Device, Enumerator, EventType, MonitorBuilder, MonitorSocket};

use super::block_device::{BlockDevice, Properties};
use super::devices::{DeviceEvents, Event, MountEvents, Waiting};

/// The block devices of the machine, as udev knows them.
pub(crate) struct Monitor {
    socket: AsyncFd<MonitorSocket>,
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
        Ok(Self { socket, pending: [Event::All(attached()?)].into() })
    }

    async fn receive(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Ok(event);
            }
            // By the mutable way: the library's socket may be sent to another thread, and not shared with one.
            let mut ready = self.socket.readable_mut().await?;
            let mut overrun = false;
            let mut received = Vec::new();
            loop {
                Errno::clear();
                match ready.get_inner().iter().next() {
                    Some(event) => received.push((event.event_type(), event)),
                    // The library gives no error, but leaves it in errno. The kernel reports an overrun once, until the socket
                    // is empty: so it is emptied first, and then all devices are listed.
                    None if Errno::last() == Errno::ENOBUFS => overrun = true,
                    None if Errno::last() == Errno::EINTR => {}
                    None => break,
                }
            }
            ready.clear_ready();
            if overrun {
                tracing::warn!("udev sent more events than could be read; examining every device again");
                self.pending.push_back(Event::All(attached()?));
            } else {
                self.pending.extend(received.iter().map(|(kind, device)| event(*kind, device)));
            }
        }
    }
}

impl DeviceEvents for Monitor {
    fn next(&mut self) -> Waiting<'_, io::Result<Event>> {
        Box::pin(self.receive())
    }
}

fn attached() -> io::Result<Vec<BlockDevice>> {
    let mut all = Enumerator::new()?;
    all.match_subsystem("block")?;
    // Without it the rules have not been applied yet, and the event is still to come.
    all.match_is_initialized()?;
    Ok(all.scan_devices()?.filter_map(|device| read(&device).1).collect())
}

fn event(kind: EventType, device: &Device) -> Event {
    match (kind, read(device)) {
        (EventType::Remove, (syspath, _)) | (_, (syspath, None)) => Event::Gone(syspath),
        (
            EventType::Add | EventType::Change | EventType::Bind | EventType::Unbind | EventType::Unknown,
            (_, Some(facts)),
        ) => Event::Present(Box::new(facts)),
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor").field("pending", &self.pending.len()).finish_non_exhaustive()
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

/// The mounts of this process, kept open for notifications of changes (`proc_pid_mountinfo(5)`: `POLLPRI`).
#[derive(Debug)]
pub(super) struct MountMonitor {
    file: AsyncFd<File>,
}

impl MountMonitor {
    /// As [`super::Devices::mount_events`] has it.
    pub(super) fn open() -> io::Result<Self> {
        let file = File::open("/proc/self/mountinfo")?;
        #[expect(deprecated, reason = "what takes its place is unsafe; the file is owned here and never replaced")]
        let file = AsyncFd::with_interest(file, Interest::PRIORITY)?;
        Ok(Self { file })
    }
}

impl MountEvents for MountMonitor {
    fn changed(&mut self) -> Waiting<'_, io::Result<()>> {
        Box::pin(async {
            self.file.ready(Interest::PRIORITY).await?.clear_ready();
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
