//! Verifies a drive: the kernel scrubs all its devices at the same time, each at its own speed.
//!
//! A scrub is one call that blocks to its end. Only [`cancel`] stops it, and it stops the scrubs of all devices. So one thread per
//! device makes the calls, and the job's thread reports progress and cancels. Each call scrubs one chunk: so it is known in which
//! chunks the damage is, and [`damaged_files`] finds the files.

mod damaged_files;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, Scope, scope};
use std::time::Duration;

use butterdock_btrfs::chunks::device_extents;
use butterdock_btrfs::scrub::{Repair, Scrubbed, cancel, progress, scrub};
use butterdock_btrfs::space::{Kind, space};
use butterdock_btrfs::{Errno, Error as Fault, best_effort, filesystem};
use butterdock_receive::{Control, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::backups::Identity;
use crate::hex;
use damaged_files::{DamagedFiles, Searched};

/// The time between two reports of progress.
const TICK: Duration = Duration::from_millis(250);

/// The verification of a drive.
#[derive(Clone, Copy)]
pub(crate) struct Verify<'v> {
    /// The top of the drive's filesystem. Where it is mounted read-only, nothing is repaired.
    pub root: BorrowedFd<'v>,
    pub control: &'v Control,
    pub report: &'v dyn Fn(VerifyEvent),
}

/// A device that is scrubbed.
#[derive(Debug)]
struct Device {
    id: u64,
    /// The bytes read by calls that have ended.
    read: AtomicU64,
}

/// What was found on a device: the sums, and the chunks with damage.
#[derive(Debug, Default)]
struct DeviceScrub {
    scrubbed: Scrubbed,
    damaged: HashSet<u64>,
}

/// The id and the result of one device.
type DeviceResult = (u64, Result<DeviceScrub, Fault>);

impl Verify<'_> {
    /// Reads all data. Damage is reported as the last event; it is not an error of this call.
    pub(crate) fn run(&self) -> Result<(), VerifyError> {
        let (devices, is_read_only) = (self.devices()?, filesystem::is_read_only(self.root)?);
        let repair = if is_read_only { Repair::Counts } else { Repair::Writes };
        for device in &devices {
            // Another program's scrub: cancelling this job would end it.
            if progress(self.root, device.id)?.is_some() {
                return Err(VerifyError::Scrubbed);
            }
        }
        (self.report)(VerifyEvent::Total { bytes: self.in_use()? });
        let ends = scope(|threads| {
            let done = self.begin(threads, &devices, repair)?;
            Ok::<_, VerifyError>(self.watch(&devices, &done))
        })?;
        let mut found = DeviceScrub::default();
        for end in ends.into_values() {
            match end {
                Ok(device) => {
                    found.scrubbed = found.scrubbed.and(device.scrubbed);
                    found.damaged.extend(device.damaged);
                }
                Err(Fault { errno: Errno::ECANCELED, .. }) if self.control.is_cancelled() => {
                    return Err(VerifyError::Cancelled);
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        let search = DamagedFiles { root: self.root, control: self.control, report: self.report };
        let searched = if found.damaged.is_empty() { Searched::default() } else { search.find(&found.damaged) };
        let Searched { files, elsewhere } = searched;
        (self.report)(VerifyEvent::Found(Found { files, elsewhere, is_read_only, ..Found::of(&found.scrubbed) }));
        Ok(())
    }

    /// Those that the filesystem was mounted with.
    fn devices(&self) -> Result<Vec<Device>, Fault> {
        let mut devices = Vec::new();
        for id in 1..=filesystem::info(self.root)?.max_id {
            if filesystem::device_info(self.root, id)?.is_some_and(|device| !device.is_missing()) {
                devices.push(Device { id, read: AtomicU64::new(0) });
            }
        }
        Ok(devices)
    }

    /// The bytes to read. A scrub reads every copy.
    fn in_use(&self) -> Result<u64, Fault> {
        let space = space(self.root)?;
        let of = |kind: Kind| kind.used.saturating_mul(kind.copies.max(1));
        let mixed = space.data == space.metadata;
        Ok(if mixed { of(space.data) } else { of(space.data).saturating_add(of(space.metadata)) })
    }

    fn begin<'scope, 'env>(
        &'env self,
        threads: &'scope Scope<'scope, 'env>,
        devices: &'env [Device],
        repair: Repair,
    ) -> Result<Receiver<DeviceResult>, VerifyError> {
        let (ended, done) = channel();
        for device in devices {
            let (ended, root, control) = (ended.clone(), self.root, self.control);
            let work = move || ended.send((device.id, device.scrub(root, repair, control))).unwrap_or_default();
            let begun = Builder::new().name(format!("scrub {}", device.id)).spawn_scoped(threads, work);
            if let Err(error) = begun {
                // The scope waits for the threads that have begun.
                self.stop();
                return Err(VerifyError::NoThread(error.to_string()));
            }
        }
        Ok(done)
    }

    /// Reports progress until every device has ended.
    fn watch(&self, devices: &[Device], done: &Receiver<DeviceResult>) -> BTreeMap<u64, Result<DeviceScrub, Fault>> {
        let mut ends = BTreeMap::new();
        while ends.len() < devices.len() {
            match done.recv_timeout(TICK) {
                Ok((devid, end)) => drop(ends.insert(devid, end)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return ends,
            }
            if self.control.is_cancelled() {
                self.stop();
            }
            let now = |device: &Device| {
                let before = device.read.load(Ordering::Relaxed);
                // If this fails, the result of the device has the error.
                let call = progress(self.root, device.id).ok().flatten().map_or(0, |running| running.bytes);
                before.saturating_add(call)
            };
            let bytes = devices.iter().map(now).fold(0, u64::saturating_add);
            (self.report)(VerifyEvent::Read { bytes });
        }
        ends
    }

    /// Cancels the scrubs. Called at every tick, because a scrub may begin after the first call.
    fn stop(&self) {
        // It fails if no scrub runs.
        best_effort(cancel(self.root));
    }
}

impl Device {
    /// Scrubs each chunk of the device.
    fn scrub(&self, root: BorrowedFd<'_>, repair: Repair, control: &Control) -> Result<DeviceScrub, Fault> {
        let extents = device_extents(root, self.id)?;
        // Nothing but the superblocks.
        let mut sums = scrub(root, self.id, 0..0, repair)?;
        let superblocks = sums.super_errors;
        let mut damaged = HashSet::new();
        for extent in extents {
            // A cancel between two calls found no scrub that it could end.
            if control.is_cancelled() {
                return Err(Fault { call: "BTRFS_IOC_SCRUB", errno: Errno::ECANCELED });
            }
            let chunk = scrub(root, self.id, extent.device, repair)?;
            if chunk.uncorrectable > 0 {
                damaged.insert(extent.chunk);
            }
            sums = sums.and(chunk);
            self.read.store(sums.bytes, Ordering::Relaxed);
        }
        // Every call reads them.
        Ok(DeviceScrub { scrubbed: Scrubbed { super_errors: superblocks, ..sums }, damaged })
    }
}

/// An event of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyEvent {
    /// About this many bytes will be read.
    Total {
        /// In bytes.
        bytes: u64,
    },
    /// This many bytes were read.
    Read {
        /// In bytes.
        bytes: u64,
    },
    /// A damaged file.
    DamagedFile {
        /// Its path from the top of the drive's filesystem, as bytes.
        #[serde(with = "hex")]
        path: Vec<u8>,
    },
    /// A subvolume that has damaged files.
    DamagedSubvolume {
        /// Its own uuid.
        uuid: Identity,
    },
    /// The result, after all data was read.
    Found(Found),
}

/// The result of a verification, in blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Bytes that were read.
    pub bytes: u64,
    /// Blocks that the device could not read.
    pub unreadable: u64,
    /// Blocks with a wrong checksum or header.
    pub wrong: u64,
    /// Of both, the blocks that were repaired from a good copy.
    pub corrected: u64,
    /// Of both, the blocks without a good copy.
    pub lost: u64,
    /// Wrong superblocks; the next commit rewrites them.
    pub superblocks: u64,
    /// The drive is mounted read-only: nothing was repaired.
    #[serde(default)]
    pub is_read_only: bool,
    /// The files with lost blocks, in all subvolumes.
    #[serde(default)]
    pub files: u64,
    /// Blocks are or may be lost that no file shows: in trees, or because not all files could be searched.
    #[serde(default)]
    pub elsewhere: bool,
}

/// Why a verification did not read all data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VerifyError {
    Cancelled,
    /// Another program scrubs the drive.
    Scrubbed,
    NoThread(String),
    Fault(Fault),
}

impl Found {
    /// The result of one device.
    pub fn of(scrubbed: &Scrubbed) -> Self {
        let Scrubbed { bytes, read_errors, csum_errors, verify_errors, super_errors, corrected, uncorrectable } =
            *scrubbed;
        Self {
            bytes,
            unreadable: read_errors,
            wrong: csum_errors.saturating_add(verify_errors),
            corrected,
            lost: uncorrectable,
            superblocks: super_errors,
            is_read_only: false,
            files: 0,
            elsewhere: false,
        }
    }

    /// A sentence about lost blocks; `None` without any.
    pub fn damage(&self) -> Option<String> {
        let Self { bytes, unreadable, wrong, lost, files, elsewhere, .. } = *self;
        let files = match (files, elsewhere) {
            (0, true) => "the damage is not only in files, or the files could not be found (dmesg)".to_owned(),
            (0, false) => "no file shows the damage".to_owned(),
            (_, false) => format!("damaged files: {files}; the job's error details name them"),
            (_, true) => format!("damaged files: {files} or more; the job's error details name them"),
        };
        let mended = self.mended().map(|mended| format!("; {mended}")).unwrap_or_default();
        (lost > 0).then(|| {
            format!(
                "the drive is damaged: of {} MiB that were read, {} cannot be read ({} unreadable, {} with a \
                 wrong checksum){mended}; {files}; back up to another drive, then replace this one",
                bytes >> 20,
                blocks(lost),
                blocks(unreadable),
                blocks(wrong),
            )
        })
    }

    /// A sentence about repaired blocks; `None` without any.
    pub fn mended(&self) -> Option<String> {
        let Self { corrected, superblocks, is_read_only, .. } = *self;
        if is_read_only {
            let wrong = corrected.saturating_add(superblocks);
            return (wrong > 0).then(|| {
                format!("{} wrong with a good copy, and not repaired, because the drive takes no writes", blocks(wrong))
            });
        }
        let copies = (corrected > 0).then(|| format!("{} put right from a good copy", blocks(corrected)));
        let supers = (superblocks > 0).then(|| format!("{superblocks} of the superblocks wrong, and written anew"));
        let all: Vec<String> = copies.into_iter().chain(supers).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl VerifyError {
    /// The kind of the error.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Scrubbed => ErrorKind::Busy,
            Self::NoThread(_) => ErrorKind::Failed,
            #[expect(clippy::wildcard_enum_match_arm, reason = "errno has a hundred and thirty values")]
            Self::Fault(fault) => match fault.errno {
                Errno::EINPROGRESS => ErrorKind::Busy,
                Errno::EROFS => ErrorKind::ReadOnly,
                Errno::EIO | Errno::ENODEV | Errno::ENXIO | Errno::ESHUTDOWN => ErrorKind::DeviceGone,
                _ => ErrorKind::Failed,
            },
        }
    }
}

impl From<Fault> for VerifyError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Scrubbed => f.write_str("another program scrubs the drive; wait until that has ended"),
            Self::NoThread(error) => write!(f, "the worker cannot begin: {error}; free some memory and try again"),
            Self::Fault(fault) => {
                write!(f, "the drive cannot be read to its end: {fault}; check it and its cable (dmesg)")
            }
        }
    }
}

fn blocks(count: u64) -> String {
    if count == 1 { "1 block".to_owned() } else { format!("{count} blocks") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_data_is_reported_and_repaired_data_is_no_damage() {
        let scrubbed =
            Scrubbed { bytes: 40 << 20, csum_errors: 3, corrected: 2, uncorrectable: 1, ..Scrubbed::default() };
        let damage = Found::of(&scrubbed).damage().expect("damaged");
        assert!(damage.starts_with("the drive is damaged: of 40 MiB that were read, 1 block cannot"), "{damage}");
        assert!(damage.contains("3 blocks with a wrong checksum); 2 blocks put right"), "{damage}");
        let mended = Found::of(&Scrubbed { uncorrectable: 0, super_errors: 1, ..scrubbed });
        assert_eq!(mended.damage(), None);
        assert!(mended.mended().is_some_and(|text| text.ends_with("1 of the superblocks wrong, and written anew")));
        let read_only = Found { is_read_only: true, ..mended }.mended().expect("wrong");
        assert!(read_only.starts_with("3 blocks wrong with a good copy, and not repaired"), "{read_only}");
        assert_eq!((Found::default().damage(), Found::default().mended()), (None, None));
    }
}
