//! The directory of a volume, opened once for each receive.

use butterdock_btrfs::mounts;
use rustix::fs::{AtFlags, StatxFlags, statx};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use crate::config::VolumeRule;
use crate::configured;
use crate::dir_handle::DirHandle;
use crate::system_directories;

/// A directory on btrfs, open.
#[derive(Debug)]
pub(crate) struct OpenVolume {
    pub directory: DirHandle,
    /// What it is.
    pub place: DirIdentity,
    /// The mount that it was reached through, as `mounts::unique_id` has it; 0 if the kernel does not report it.
    pub mount: u64,
}

/// A directory of a filesystem: the same under whatever path and mount it is reached, and no other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirIdentity {
    fsid: [u8; 16],
    subvolume: u64,
    inode: u64,
}

#[cfg(test)]
impl DirIdentity {
    /// A directory that is nowhere.
    pub fn nowhere() -> Self {
        Self { fsid: [0; 16], subvolume: 0, inode: 0 }
    }
}

/// Why a volume is not usable now. Its text is public, without names and paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// There is none.
    Missing,
    /// It is not a directory.
    NoDirectory,
    /// It is not on btrfs: most often the drive is not mounted, and the empty mount point is seen.
    NotBtrfs,
    /// It is not on the configured filesystem: usually on the one below the mount point.
    Another,
    /// Users other than root can redirect its path.
    Link,
    /// Links or mounts on its path lead to a directory of the system.
    System,
    /// It cannot be opened or looked at.
    Unreadable(nix::Error),
}

/// Opens a volume's directory. Blocks, as long as the drive does.
///
/// # Errors
/// Why it cannot be received into.
pub(crate) fn open(rule: &VolumeRule) -> Result<OpenVolume, Unusable> {
    let found = configured::find(&rule.path).and_then(|found| found.directory().map_err(configured::Error::Io));
    let folder = found.map_err(|error| match error {
        configured::Error::Link => Unusable::Link,
        configured::Error::Io(error) => match error.raw_os_error().map(nix::Error::from_raw) {
            Some(nix::Error::ENOENT) => Unusable::Missing,
            Some(nix::Error::ENOTDIR) => Unusable::NoDirectory,
            errno => Unusable::Unreadable(errno.unwrap_or(nix::Error::EIO)),
        },
    })?;
    match system_directories::is_behind(&rule.path, &folder) {
        Ok(false) => {}
        Ok(true) => return Err(Unusable::System),
        Err(_unreadable) => return Err(Unusable::Unreadable(nix::Error::EIO)),
    }
    if !butterdock_btrfs::filesystem::is_btrfs(&folder).map_err(|fault| Unusable::Unreadable(fault.errno))? {
        return Err(Unusable::NotBtrfs);
    }
    let fault = |fault: butterdock_btrfs::Error| Unusable::Unreadable(fault.errno);
    let fsid = butterdock_btrfs::filesystem::info(&folder).map_err(fault)?.fsid;
    if rule.uuid.is_some_and(|wanted| !wanted.is(fsid)) {
        return Err(Unusable::Another);
    }
    let subvolume = butterdock_btrfs::subvolume::info(&folder).map_err(fault)?.id;
    let facts = statx(&folder, c"", AtFlags::EMPTY_PATH, StatxFlags::INO)
        .map_err(|error| Unusable::Unreadable(nix::Error::from_raw(error.raw_os_error())))?;
    let place = DirIdentity { fsid, subvolume, inode: facts.stx_ino };
    let mount = mounts::unique_id(&folder);
    Ok(OpenVolume { directory: folder.into(), place, mount })
}

impl AsFd for OpenVolume {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("its directory does not exist; mount the drive or correct the path"),
            Self::NoDirectory => f.write_str("its path is not a directory; correct it in butterdock.toml"),
            Self::NotBtrfs => f.write_str("it is not on btrfs; mount the right drive"),
            Self::Another => f.write_str(
                "the filesystem there does not have the uuid in butterdock.toml: another drive is mounted, or none; \
                 mount the right drive, or correct the uuid",
            ),
            Self::Link => f.write_str(
                "users other than root can exchange a symbolic link on its path; in butterdock.toml name the \
                 directory that the link leads to",
            ),
            Self::System => f.write_str(
                "a symbolic link or a mount on its path leads to a directory of the system; remove it, or name that directory itself \
                 in butterdock.toml",
            ),
            Self::Unreadable(errno) => write!(f, "it cannot be opened ({}); see dmesg", errno.desc()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::VolumeName;

    #[test]
    fn a_destination_must_be_a_directory_on_btrfs() {
        let refusal = |path: &str| {
            let name = VolumeName::try_from("tank".to_owned()).expect("a name");
            open(&VolumeRule { name, path: PathBuf::from(path), uuid: None }).map(drop).expect_err("refused")
        };
        assert_eq!(refusal("/nonexistent/x"), Unusable::Missing);
        assert_eq!(refusal("/proc/version"), Unusable::NoDirectory);
        assert_eq!(refusal("/proc"), Unusable::NotBtrfs);
    }

    #[test]
    fn privileged_a_link_to_a_directory_of_the_system_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("volume");
        std::os::unix::fs::symlink("/usr", &link).expect("linked");
        let name = VolumeName::try_from("tank".to_owned()).expect("a name");
        let refusal = open(&VolumeRule { name, path: link.join("share"), uuid: None }).map(drop).expect_err("refused");
        assert_eq!(refusal, Unusable::System);
    }

    #[test]
    fn privileged_a_volume_behind_a_users_link_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("volume");
        std::os::unix::fs::symlink("/dev", &link).expect("linked");
        let rule =
            VolumeRule { name: VolumeName::try_from("tank".to_owned()).expect("a name"), path: link, uuid: None };
        let refusal = || open(&rule).map(drop).expect_err("refused");
        assert_eq!(refusal(), Unusable::NotBtrfs, "a link of root's is followed");
        std::os::unix::fs::chown(folder.path(), Some(1000), None).expect("given to a user; this test needs root");
        assert_eq!(refusal(), Unusable::Link);
    }
}
