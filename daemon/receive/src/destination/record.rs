//! The record of a received subvolume, in the staging directory beside it.
//!
//! The owner of a subvolume's root may make it writable, change it, mark it as received under any identity, and make it
//! read-only again. So the filesystem's own marks prove little. Each published subvolume has a record that only root can
//! read or write: its own uuid, which the kernel chooses; its mark, with the mark's transaction, which the kernel sets; and
//! the user for whom it was received. A subvolume counts as received while it agrees with its record.
//!
//! A record is a file of a few hundred bytes of JSON, named by the subvolume's own uuid. If the subvolume is published by a
//! rename, the record is on the device before.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use butterdock_btrfs::roots::RootItem;
use butterdock_btrfs::subvolume::SubvolumeInfo;
use butterdock_btrfs::{Errno, Error as Fault, names, roots, system};
use serde::{Deserialize, Serialize};

use super::staging::Staging;
use super::staging_file;
use crate::error::{Cause, Error, doing};
use crate::hex;

/// The longest name of a backup in a record, in bytes.
pub const LONGEST_BACKUP: usize = 255;
/// The longest path of a subvolume below a source in a record, in bytes: `PATH_MAX` less its NUL.
pub const LONGEST_NESTED: usize = 4095;

/// The identity and the state of a subvolume. The numbers are transactions of a filesystem.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SubvolumeState {
    /// Its own uuid.
    #[serde(with = "hex")]
    pub uuid: [u8; 16],
    /// Its uuid at the sender; zeroes if it was not received.
    #[serde(with = "hex")]
    pub received_uuid: [u8; 16],
    /// Its ctransid at the sender.
    pub stransid: u64,
    /// The transaction in which it was marked as received.
    pub rtransid: u64,
    /// The transaction in which an inode of it last changed.
    pub ctransid: u64,
}

/// The origin of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The machine's id, derived from the one in `/etc/machine-id`.
    #[serde(with = "hex")]
    pub machine: [u8; 16],
    /// The uuid of the source subvolume.
    #[serde(with = "hex")]
    pub source: [u8; 16],
    /// The name of the backup in that machine's configuration; up to [`LONGEST_BACKUP`] bytes.
    pub backup: String,
    /// The source itself was sent, because it is read-only, and not a snapshot that the backup made of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_source: bool,
    /// It is the source's snapshot of a run with so many snapshots of subvolumes below the source. 0 also in older records.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub members: u32,
    /// It is the snapshot of a subvolume below the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested: Option<NestedOrigin>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(members: &u32) -> bool {
    *members == 0
}

/// The place of a subvolume below the source of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NestedOrigin {
    /// The uuid of the source's snapshot that was made with it, on the machine of the source.
    #[serde(with = "hex")]
    pub run: [u8; 16],
    /// Its path from the root of the source, up to [`LONGEST_NESTED`] bytes.
    #[serde(with = "hex::bytes")]
    pub path: Vec<u8>,
}

/// The record of one subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its state when it was published.
    pub state: SubvolumeState,
    /// The user for whom it was received; 0 for root and for what root configured.
    pub asked_by: u32,
    /// Its origin, if it is a backup.
    pub origin: Option<Origin>,
}

impl SubvolumeState {
    /// The state in an item of the tree of roots.
    #[must_use]
    pub fn of_item(item: &RootItem) -> Self {
        let RootItem { uuid, received_uuid, stransid, rtransid, ctransid, .. } = *item;
        Self { uuid, received_uuid, stransid, rtransid, ctransid }
    }

    /// The state in the answer of `BTRFS_IOC_GET_SUBVOL_INFO`.
    #[must_use]
    pub fn of_info(info: &SubvolumeInfo) -> Self {
        let SubvolumeInfo { uuid, received_uuid, stransid, rtransid, ctransid, .. } = *info;
        Self { uuid, received_uuid, stransid, rtransid, ctransid }
    }

    /// Whether `now` is the same subvolume with the same mark. `ctransid` may differ: the change times of the inodes show
    /// whether a later one means a change.
    #[must_use]
    pub fn is_marked_as(&self, now: &Self) -> bool {
        let mark = |state: &Self| (state.uuid, state.received_uuid, state.stransid, state.rtransid);
        mark(self) == mark(now)
    }
}

impl Record {
    /// The record of the subvolume `uuid` in `directory`, which has both the subvolume and the staging directory; none if there
    /// is no record. A staging directory that another user can enter counts as empty.
    ///
    /// # Errors
    /// [`Cause::Record`] if the record is damaged or of another version; [`Cause::Call`].
    pub fn read(directory: BorrowedFd<'_>, uuid: [u8; 16]) -> Result<Option<Self>, Error> {
        match records(directory)? {
            Some(records) => read_named(&records, &name_of(uuid)?),
            None => Ok(None),
        }
    }

    /// All records in `directory`, in no order. A record that is damaged or of another version is left out.
    ///
    /// # Errors
    /// [`Cause::Call`].
    pub fn list(directory: BorrowedFd<'_>) -> Result<Vec<Self>, Error> {
        let Some(records) = records(directory)? else { return Ok(Vec::new()) };
        let named = |name: &CStr| uuid_of(name.to_bytes()).is_some();
        let names = names::entries_where(&records, named).map_err(doing("list the records"))?;
        let mut found = Vec::new();
        for name in names {
            match read_named(&records, &name) {
                Ok(record) => found.extend(record),
                Err(Error { cause: Cause::Record(_), .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Writes the record into the staging directory of `directory`. When this returns, it is on the device.
    ///
    /// # Errors
    /// [`Cause::Staging`] if another kind of file has the name of the staging directory; [`Cause::Value`] if the name of the
    /// backup is too long; [`Cause::Call`].
    pub fn write(&self, directory: BorrowedFd<'_>) -> Result<(), Error> {
        if self.origin.as_ref().is_some_and(|origin| origin.backup.len() > LONGEST_BACKUP) {
            return Err(Error::new(Cause::Value("the name of a backup in a record")));
        }
        let nested = self.origin.as_ref().and_then(|origin| origin.nested.as_ref());
        if nested.is_some_and(|nested| nested.path.len() > LONGEST_NESTED) {
            return Err(Error::new(Cause::Value("the path of a subvolume in a record")));
        }
        let text = serde_json::to_vec(&Stored::from(self)).map_err(|_error| Error::new(Cause::Value("a record")))?;
        let records = Staging::open_or_make(directory)?.make_records()?;
        write_named(&records, self.state.uuid, &text)
    }

    /// Removes the record of the subvolume `uuid` from `directory`, if there is one.
    ///
    /// # Errors
    /// [`Cause::Call`].
    pub fn remove(directory: BorrowedFd<'_>, uuid: [u8; 16]) -> Result<(), Error> {
        let Some(records) = records(directory)? else { return Ok(()) };
        remove_named(&records, &name_of(uuid)?)
    }

    /// Removes the records of subvolumes that no longer exist. It looks at up to `most` records, from a random one on, so that
    /// several runs look at all records of a large directory.
    ///
    /// # Errors
    /// [`Cause::Call`].
    pub fn remove_orphans(directory: BorrowedFd<'_>, most: usize) -> Result<(), Error> {
        let Some(records) = records(directory)? else { return Ok(()) };
        let mut names = names::entries(&records).map_err(doing("list the records"))?;
        if names.len() > most {
            let random = system::random_bytes().map_err(doing("get a random number"))?;
            let [low, high, ..] = random;
            let first = usize::from(u16::from_le_bytes([low, high])).checked_rem(names.len()).unwrap_or_default();
            names.rotate_left(first);
        }
        for name in names.into_iter().take(most) {
            // The name of a temporary file begins with the uuid too.
            let uuid = name.to_bytes().split(|&byte| byte == b'.').next().and_then(uuid_of);
            let Some(uuid) = uuid else { continue };
            if roots::subvolumes_by_uuid(&records, uuid).map_err(doing("look up a uuid"))?.is_empty() {
                remove_named(&records, &name)?;
            }
        }
        Ok(())
    }
}

/// The directory of the records; none if it does not exist or another user can enter the staging directory.
fn records(directory: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Error> {
    let opened = match Staging::open_existing(directory) {
        Ok(Some(staging)) => staging.records(),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    match opened {
        Err(Error { cause: Cause::Staging(_), .. }) => Ok(None),
        other => other,
    }
}

/// Writes the file that is named by a uuid. When this returns, it is on the device.
pub(super) fn write_named(records: &OwnedFd, uuid: [u8; 16], text: &[u8]) -> Result<(), Error> {
    staging_file::write(records, &name_of(uuid)?, text, "write the record of the subvolume")
}

/// The content of a file of root's with this name; none if there is no such file.
///
/// # Errors
/// As for [`staging_file::read`].
pub(super) fn content_of(records: &OwnedFd, name: &CStr) -> Result<Option<Vec<u8>>, Error> {
    staging_file::read(records, name, LONGEST, "read the record of a subvolume")
}

/// The error for a file that is no record.
pub(super) fn damaged(name: &CStr) -> Error {
    Error::new(Cause::Record(name.to_bytes().to_vec()))
}

fn read_named(records: &OwnedFd, name: &CStr) -> Result<Option<Record>, Error> {
    let Some(text) = content_of(records, name)? else { return Ok(None) };
    let damaged = || damaged(name);
    let stored: Stored = serde_json::from_slice(&text).map_err(|_error| damaged())?;
    let record = Record::try_from(stored).map_err(|()| damaged())?;
    // butterdock writes a record under no other name.
    if uuid_of(name.to_bytes()) == Some(record.state.uuid) { Ok(Some(record)) } else { Err(damaged()) }
}

pub(super) fn remove_named(records: impl AsFd, name: &CStr) -> Result<(), Error> {
    match names::unlink(records, name) {
        Err(Fault { errno: Errno::ENOENT, .. }) => Ok(()),
        other => other.map_err(doing("remove the record of a subvolume")),
    }
}

/// A record as it is stored. Fields of a later version must not change the meaning of these.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(flatten)]
    state: SubvolumeState,
    asked_by: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
}

const VERSION: u32 = 1;
/// The longest record, in bytes: JSON may take six bytes for one byte of a backup's name, and two for one of a path.
pub(super) const LONGEST: u64 = 12 << 10;

impl From<&Record> for Stored {
    fn from(record: &Record) -> Self {
        let Record { state, asked_by, origin } = record.clone();
        Self { version: VERSION, state, asked_by, origin }
    }
}

impl TryFrom<Stored> for Record {
    type Error = ();

    fn try_from(stored: Stored) -> Result<Self, ()> {
        let Stored { version, state, asked_by, origin } = stored;
        if version == VERSION { Ok(Self { state, asked_by, origin }) } else { Err(()) }
    }
}

pub(super) fn name_of(uuid: [u8; 16]) -> Result<CString, Error> {
    CString::new(hex::digits(&uuid)).map_err(|_nul| Error::new(Cause::Value("a uuid")))
}

fn uuid_of(name: &[u8]) -> Option<[u8; 16]> {
    hex::read(std::str::from_utf8(name).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: SubvolumeState =
        SubvolumeState { uuid: [0xab; 16], received_uuid: [1; 16], stransid: u64::MAX, rtransid: 7, ctransid: 8 };

    fn origin(backup: String) -> Origin {
        Origin { machine: [2; 16], source: [3; 16], backup, is_source: false, members: 0, nested: None }
    }

    #[test]
    fn a_record_survives_writing_and_reading() {
        let longest = origin("\u{1}".repeat(LONGEST_BACKUP));
        let nested = Some(NestedOrigin { run: [4; 16], path: vec![b'\xff'; LONGEST_NESTED] });
        let below = Origin { nested, ..longest.clone() };
        for origin in
            [None, Some(longest.clone()), Some(Origin { is_source: true, members: 100, ..longest }), Some(below)]
        {
            let record = Record { state: STATE, asked_by: 1000, origin };
            let text = serde_json::to_vec(&Stored::from(&record)).unwrap();
            assert!((text.len() as u64) < LONGEST, "{}", text.len());
            let stored: Stored = serde_json::from_slice(&text).unwrap();
            assert_eq!(Record::try_from(stored), Ok(record));
        }
    }

    #[test]
    fn a_record_of_another_version_is_ignored() {
        let record = Record { state: STATE, asked_by: 0, origin: None };
        let stored = Stored { version: 2, ..Stored::from(&record) };
        assert_eq!(Record::try_from(stored), Err(()));
    }

    #[test]
    fn a_records_name_is_its_uuid() {
        assert_eq!(uuid_of(name_of(STATE.uuid).unwrap().to_bytes()), Some(STATE.uuid));
        for name in ["", "ab", "abababababababababababababababab0", "ABABABABABABABABABABABABABABABAB", "+1"] {
            assert_eq!(uuid_of(name.as_bytes()), None, "{name}");
        }
        assert_eq!(uuid_of(b"abababababababababababababababab.new"), None);
    }

    #[test]
    fn only_the_ctransid_may_differ_with_the_same_mark() {
        assert!(STATE.is_marked_as(&SubvolumeState { ctransid: 9, ..STATE }));
        for other in [
            SubvolumeState { uuid: [0; 16], ..STATE },
            SubvolumeState { received_uuid: [0; 16], ..STATE },
            SubvolumeState { stransid: 1, ..STATE },
            SubvolumeState { rtransid: 8, ..STATE },
        ] {
            assert!(!STATE.is_marked_as(&other), "{other:?}");
        }
    }
}
