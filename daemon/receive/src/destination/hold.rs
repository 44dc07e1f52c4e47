//! Holds: a person decided that a snapshot stays, whatever the rules of any machine say.
//!
//! A hold is a file beside the snapshot, in the staging directory of its folder. So it stays with the filesystem: a machine that
//! lost its state, and every other machine that uses a drive, finds it. Only root can write it. It is named by the snapshot's own
//! uuid. A hold that cannot be read still protects its snapshot.

use std::os::fd::{BorrowedFd, OwnedFd};

use butterdock_btrfs::roots;
use serde::{Deserialize, Serialize};

use super::record::{content_of, damaged, name_of, remove_named, write_named};
use super::staging::Staging;
use crate::error::{Cause, Error, doing};
use crate::hex;

/// The longest reason, in bytes.
pub const LONGEST_REASON: usize = 255;

/// A hold of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hold {
    /// Why, in the words of the person; up to [`LONGEST_REASON`] bytes.
    pub reason: String,
    /// When it was set: seconds since 1970.
    pub since: i64,
    /// The machine on which it was set.
    #[serde(with = "hex")]
    pub machine: [u8; 16],
}

/// A hold as it is stored. Fields of a later version must not change the meaning of these.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(flatten)]
    hold: Hold,
}

const VERSION: u32 = 1;

/// The holds in one folder.
#[derive(Debug)]
pub struct Holds {
    /// None if the folder has none.
    directory: Option<OwnedFd>,
}

impl Holds {
    /// Those in the folder `directory`.
    ///
    /// # Errors
    /// [`Cause::Staging`] if other users can enter the staging directory, or another kind of file has its name; [`Cause::Call`].
    /// Then it is not known which snapshots are held.
    pub fn of(directory: BorrowedFd<'_>) -> Result<Self, Error> {
        let staging = Staging::open_existing(directory)?;
        let directory = staging.map(|staging| staging.holds()).transpose()?.flatten();
        Ok(Self { directory })
    }

    /// The hold of the snapshot with this uuid of its own; none if it is not held. A record that is damaged or of another version
    /// is a hold without a reason.
    ///
    /// # Errors
    /// [`Cause::Call`].
    pub fn get(&self, uuid: [u8; 16]) -> Result<Option<Hold>, Error> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let name = name_of(uuid)?;
        let read = content_of(directory, &name).and_then(|text| {
            let stored = |text: Vec<u8>| serde_json::from_slice::<Stored>(&text).map_err(|_error| damaged(&name));
            text.map(stored).transpose()
        });
        match read {
            Ok(None) => Ok(None),
            Ok(Some(Stored { version: VERSION, hold })) if hold.reason.len() <= LONGEST_REASON => Ok(Some(hold)),
            Ok(Some(_)) | Err(Error { cause: Cause::Record(_), .. }) => Ok(Some(Hold::unknown())),
            Err(error) => Err(error),
        }
    }
}

/// The lock of the holds in one folder, until it is dropped. A hold is set, and a snapshot is deleted, only under it: otherwise a
/// hold could be reported as set while its snapshot is being deleted.
#[derive(Debug)]
pub struct HoldLock {
    _staging: Staging,
}

impl HoldLock {
    /// Takes the lock of the folder `directory`; waits while another process has it. Only root can hold it, because only root can
    /// enter the staging directory, which is created if it does not exist.
    ///
    /// # Errors
    /// As for [`Hold::write`]. Then no hold can be written in this folder.
    pub fn take(directory: BorrowedFd<'_>) -> Result<Self, Error> {
        Self::of(Staging::open_or_make(directory)?)
    }

    /// The same where nothing can be created; none if there is no staging directory, so that no snapshot there is held.
    ///
    /// # Errors
    /// As for [`Holds::of`].
    pub fn take_existing(directory: BorrowedFd<'_>) -> Result<Option<Self>, Error> {
        Staging::open_existing(directory)?.map(Self::of).transpose()
    }

    fn of(staging: Staging) -> Result<Self, Error> {
        butterdock_btrfs::file::wait_for_lock(&staging).map_err(doing("lock the holds"))?;
        Ok(Self { _staging: staging })
    }
}

impl Hold {
    /// A hold of which nothing is known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self { reason: String::new(), since: 0, machine: [0; 16] }
    }

    /// Holds the snapshot `uuid` in the folder `directory`, in place of an earlier hold. When this returns, it is on the device.
    ///
    /// # Errors
    /// [`Cause::Staging`] if another kind of file has the name of the staging directory; [`Cause::Value`] if the reason is too
    /// long; [`Cause::Call`].
    pub fn write(&self, directory: BorrowedFd<'_>, uuid: [u8; 16]) -> Result<(), Error> {
        if self.reason.len() > LONGEST_REASON {
            return Err(Error::new(Cause::Value("the reason of a hold")));
        }
        let stored = Stored { version: VERSION, hold: self.clone() };
        let text = serde_json::to_vec(&stored).map_err(|_error| Error::new(Cause::Value("a hold")))?;
        let holds = Staging::open_or_make(directory)?.make_holds()?;
        write_named(&holds, uuid, &text)
    }

    /// Releases the snapshot `uuid` in the folder `directory`, if it is held. When this returns, the device has no hold of it.
    ///
    /// # Errors
    /// As for [`Holds::of`].
    pub fn remove(directory: BorrowedFd<'_>, uuid: [u8; 16]) -> Result<(), Error> {
        let Some(holds) = Holds::of(directory)?.directory else { return Ok(()) };
        remove_named(&holds, &name_of(uuid)?)?;
        butterdock_btrfs::file::sync(&holds).map_err(doing("release the snapshot"))
    }

    /// Removes the hold of a snapshot that no longer exists.
    ///
    /// # Errors
    /// As for [`Self::remove`].
    pub fn remove_orphan(directory: BorrowedFd<'_>, uuid: [u8; 16]) -> Result<(), Error> {
        if roots::subvolumes_by_uuid(directory, uuid).map_err(doing("look up a uuid"))?.is_empty() {
            Self::remove(directory, uuid)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_hold_fits_and_is_read_again() {
        let hold = Hold { reason: "\u{1}".repeat(LONGEST_REASON), since: i64::MIN, machine: [0xff; 16] };
        let text = serde_json::to_vec(&Stored { version: VERSION, hold: hold.clone() }).unwrap();
        assert!((text.len() as u64) < super::super::record::LONGEST, "{}", text.len());
        assert_eq!(serde_json::from_slice::<Stored>(&text).unwrap().hold, hold);
    }
}
