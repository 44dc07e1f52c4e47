//! The staging directory: `.butterdock-staging` in a destination, which only root can enter.
//!
//! It has the records of received subvolumes, the holds of snapshots ([`Hold`](super::Hold)), the journals of
//! [checkpoints](crate::checkpoint), and subvolumes while they are received. It stays for the next run.
//!
//! The owner of the destination may rename it, or create another file with its name, so each opening checks it. That root
//! wrote its content does not prove that butterdock did: a stream may have a directory of this name, owned by root and with
//! mode 0700, and a snapshot of the destination has a copy of it. So the records are in a directory that is named by the
//! uuid of the subvolume that has the staging directory. The kernel chooses that uuid when the subvolume is created, so
//! neither a stream nor a copy can have it. The same applies to the holds and the journals.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use butterdock_btrfs::file::{self, Mode, OFlag, Stat};
use butterdock_btrfs::{Errno, Error as Fault, inode, names, subvolume, xattr};

use crate::error::{Cause, Error, doing};

/// The name of the staging directory in a destination.
pub const STAGING: &CStr = c".butterdock-staging";

const RECORDS: &CStr = c"records";
const HOLDS: &CStr = c"holds";
const CHECKPOINTS: &CStr = c"checkpoints";
const PRIVATE: u32 = 0o700;
/// The permissions of the group and of others.
const OTHERS: u32 = 0o077;
const ACCESS_ACL: &CStr = c"system.posix_acl_access";
const DEFAULT_ACL: &CStr = c"system.posix_acl_default";

/// The staging directory of a destination, open and checked: owned by root, with mode 0700 and no ACL, in the destination's own
/// subvolume.
#[derive(Debug)]
pub struct Staging {
    fd: OwnedFd,
}

impl Staging {
    /// Opens the staging directory of `destination`; creates it if it does not exist.
    ///
    /// # Errors
    /// [`Cause::Staging`] if another kind of file has the name; [`Cause::Call`] if it cannot be created or opened.
    pub fn open_or_make(destination: BorrowedFd<'_>) -> Result<Self, Error> {
        open_or_make(destination, STAGING).map(|fd| Self { fd })
    }

    /// Opens the staging directory of `directory`; none if it does not exist.
    ///
    /// # Errors
    /// [`Cause::Staging`] if another kind of file has the name; [`Cause::Call`] if it cannot be opened.
    pub fn open_existing(directory: BorrowedFd<'_>) -> Result<Option<Self>, Error> {
        Ok(open_existing(directory, STAGING)?.map(|fd| Self { fd }))
    }

    /// Opens the directory of the records; creates it if it does not exist.
    ///
    /// # Errors
    /// As for [`Self::open_or_make`].
    pub fn make_records(&self) -> Result<OwnedFd, Error> {
        self.make(RECORDS)
    }

    /// Opens the directory of the records; none if this subvolume has no records.
    ///
    /// # Errors
    /// As for [`Self::open_existing`].
    pub fn records(&self) -> Result<Option<OwnedFd>, Error> {
        self.existing(RECORDS)
    }

    /// The same for the directory of the holds, which is created.
    pub(super) fn make_holds(&self) -> Result<OwnedFd, Error> {
        self.make(HOLDS)
    }

    /// The same for the directory of the holds, if it exists.
    pub(super) fn holds(&self) -> Result<Option<OwnedFd>, Error> {
        self.existing(HOLDS)
    }

    /// The same for the directory of the journals of checkpoints, which is created.
    pub(crate) fn make_checkpoints(&self) -> Result<OwnedFd, Error> {
        self.make(CHECKPOINTS)
    }

    /// The same for the directory of the journals, if it exists.
    pub(crate) fn checkpoints(&self) -> Result<Option<OwnedFd>, Error> {
        self.existing(CHECKPOINTS)
    }

    fn make(&self, name: &CStr) -> Result<OwnedFd, Error> {
        let all = open_or_make(self.fd.as_fd(), name)?;
        open_or_make(all.as_fd(), &self.subvolume_uuid()?)
    }

    fn existing(&self, name: &CStr) -> Result<Option<OwnedFd>, Error> {
        match open_existing(self.fd.as_fd(), name)? {
            Some(all) => open_existing(all.as_fd(), &self.subvolume_uuid()?),
            None => Ok(None),
        }
    }

    /// The uuid of the subvolume that has the staging directory, as a file name. The top-level subvolume of an old filesystem
    /// has the uuid 0; a received subvolume never has.
    fn subvolume_uuid(&self) -> Result<CString, Error> {
        let uuid = subvolume::info(&self.fd).map_err(doing("read the uuid of the destination's subvolume"))?.uuid;
        let digits = uuid.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect::<Vec<_>>();
        CString::new(digits).map_err(|_nul| Error::new(Cause::Value("a uuid")))
    }
}

impl AsFd for Staging {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Removes the ACLs that a new directory inherited from its parent directory, if any.
pub(super) fn remove_acls(directory: impl AsFd) -> Result<(), Fault> {
    for name in [DEFAULT_ACL, ACCESS_ACL] {
        if has(&directory, name)? {
            match xattr::remove(&directory, name) {
                Err(fault) if fault.errno == Errno::ENODATA => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}

fn open_or_make(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Error> {
    match names::make_dir(parent, name, PRIVATE) {
        Ok(()) => {}
        Err(fault) if fault.errno == Errno::EEXIST => {}
        Err(fault) => return Err(Error::call("make the staging directory", fault)),
    }
    let Some(fd) = open(parent, name)? else {
        let gone = Fault { call: "openat2", errno: Errno::ENOENT };
        return Err(Error::call("open the staging directory", gone));
    };
    check(parent, &fd)?;
    // The entries that a directory of mode 0700 inherits have no effect: the group bits are their mask.
    remove_acls(&fd).map_err(doing("remove the ACL of the staging directory"))?;
    inode::set_mode(&fd, PRIVATE).map_err(doing("set the mode of the staging directory"))?;
    Ok(fd)
}

fn open_existing(parent: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>, Error> {
    let Some(fd) = open(parent, name)? else { return Ok(None) };
    check(parent, &fd)?;
    if has(&fd, ACCESS_ACL).map_err(doing("read the attributes of the staging directory"))? {
        return Err(refused("has an access ACL"));
    }
    Ok(Some(fd))
}

fn open(parent: BorrowedFd<'_>, name: &CStr) -> Result<Option<OwnedFd>, Error> {
    match file::open_beneath(parent, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Fault { errno: Errno::ENOENT, .. }) => Ok(None),
        Err(Fault { errno: Errno::ELOOP, .. }) => Err(refused("is a symbolic link")),
        Err(Fault { errno: Errno::ENOTDIR, .. }) => Err(refused("is not a directory")),
        Err(fault) => Err(Error::call("open the staging directory", fault)),
    }
}

/// Checks that it is a plain directory that only root can enter.
fn check(parent: BorrowedFd<'_>, fd: &OwnedFd) -> Result<(), Error> {
    let look = doing("read the attributes of the staging directory");
    let (outside, stat) = (file::stat(parent).map_err(&look)?, file::stat(fd).map_err(&look)?);
    problem(&outside, &stat).map_or(Ok(()), |why| Err(refused(why)))
}

fn problem(outside: &Stat, stat: &Stat) -> Option<&'static str> {
    if stat.dev != outside.dev {
        return Some("is a subvolume or a mount point");
    }
    if stat.uid != 0 {
        return Some("belongs to another user than root");
    }
    (!is_roots_alone(stat)).then_some("is open to other users than root")
}

/// Whether only root can enter a directory. This holds with an ACL too, because the group bits are its mask.
pub(super) const fn is_roots_alone(stat: &Stat) -> bool {
    stat.uid == 0 && stat.mode & OTHERS == 0
}

fn has(fd: impl AsFd, acl: &CStr) -> Result<bool, Fault> {
    match xattr::get(fd, acl, &mut []) {
        Ok(value) => Ok(value.is_some()),
        Err(fault) if fault.errno == Errno::EOPNOTSUPP => Ok(false),
        Err(fault) => Err(fault),
    }
}

fn refused(why: &'static str) -> Error {
    Error::new(Cause::Staging(why))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::path::PathBuf;

    use super::*;

    /// An ACL in the format of the attribute: the user 1000 has all permissions, group and others have none.
    const ACL: &[u8] = &[
        2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0, 232, 3, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255, 16, 0, 7,
        0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];

    fn folder() -> (tempfile::TempDir, File, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (dir, staging) = (File::open(folder.path()).unwrap(), folder.path().join(".butterdock-staging"));
        (folder, dir, staging)
    }

    fn refusal(result: Result<impl Sized, Error>) -> String {
        result.err().expect("refused").to_string()
    }

    #[test]
    fn privileged_the_staging_directory_is_created_once_for_root() {
        let (_folder, dir, at) = folder();
        assert!(Staging::open_existing(dir.as_fd()).unwrap().is_none());
        let made = Staging::open_or_make(dir.as_fd()).unwrap();
        assert_eq!(fs::metadata(&at).unwrap().permissions().mode() & 0o7777, PRIVATE);
        for again in
            [Staging::open_or_make(dir.as_fd()).unwrap(), Staging::open_existing(dir.as_fd()).unwrap().unwrap()]
        {
            assert_eq!(file::stat(&again).unwrap().ino, file::stat(&made).unwrap().ino);
        }
    }

    #[test]
    fn privileged_inherited_acls_are_removed() {
        let (folder, dir, at) = folder();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o2777)).unwrap();
        xattr::set(&dir, DEFAULT_ACL, ACL).unwrap();
        let staging = Staging::open_or_make(dir.as_fd()).unwrap();
        assert!(!has(&staging, DEFAULT_ACL).unwrap() && !has(&staging, ACCESS_ACL).unwrap());
        assert_eq!(fs::metadata(at).unwrap().permissions().mode() & 0o7777, PRIVATE);
    }

    #[test]
    fn privileged_a_staging_directory_open_to_others_is_refused() {
        let (_folder, dir, at) = folder();
        let staging = Staging::open_or_make(dir.as_fd()).unwrap();
        fs::write(at.join("kept"), "").unwrap();
        for mode in [0o701, 0o710, 0o770, 0o755] {
            fs::set_permissions(&at, Permissions::from_mode(mode)).unwrap();
            assert!(refusal(Staging::open_or_make(dir.as_fd())).contains("open to other users"), "{mode:o}");
            assert!(refusal(Staging::open_existing(dir.as_fd())).contains("open to other users"), "{mode:o}");
        }
        fs::set_permissions(&at, Permissions::from_mode(PRIVATE)).unwrap();
        chown(&at, Some(1000), None).unwrap();
        assert!(refusal(Staging::open_or_make(dir.as_fd())).contains("another user"));
        chown(&at, Some(0), None).unwrap();
        xattr::set(&staging, ACCESS_ACL, ACL).unwrap();
        assert!(refusal(Staging::open_existing(dir.as_fd())).contains("open to other users"));
        assert!(at.join("kept").exists(), "nothing is removed");
    }

    #[test]
    fn privileged_a_link_or_file_of_this_name_is_refused() {
        let (folder, dir, at) = folder();
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        fs::set_permissions(folder.path().join("elsewhere"), Permissions::from_mode(PRIVATE)).unwrap();
        symlink("elsewhere", &at).unwrap();
        for answer in [Staging::open_or_make(dir.as_fd()), Staging::open_existing(dir.as_fd()).map(Option::unwrap)] {
            let refusal = refusal(answer);
            assert!(refusal.contains("symbolic link") && refusal.contains(".butterdock-staging"), "{refusal}");
        }
        fs::remove_file(&at).unwrap();
        fs::write(&at, "").unwrap();
        assert!(refusal(Staging::open_or_make(dir.as_fd())).contains("not a directory"));
    }
}
