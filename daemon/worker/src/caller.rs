//! The identity of a user, which a worker takes to read and write files on behalf of that user.

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use crate::hex;

/// The largest number of groups, so that an order fits a packet.
pub const MOST_GROUPS: usize = 1024;

/// A user who has asked for files, and what the kernel knows of that user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// The user; never root.
    pub uid: u32,
    /// All groups of the user.
    pub groups: Vec<u32>,
    /// The configured path of the backup's source. The user must be able to enter it: a directory above the source may keep users
    /// out, and a snapshot has none above it.
    #[serde(with = "hex")]
    pub source: Vec<u8>,
    /// The configured path of the volume that files are restored into, for the same reason.
    #[serde(with = "hex::optional", default)]
    pub target: Option<Vec<u8>>,
}

impl Caller {
    /// Takes the identity of the user. The kernel removes all capabilities.
    ///
    /// # Errors
    /// The worker lacks `CAP_SETUID` or `CAP_SETGID`, or the user is root.
    pub(crate) fn take(&self) -> io::Result<()> {
        if self.uid == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "root has no need of it"));
        }
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.group()));
        setgroups(&groups)?;
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        Ok(())
    }

    /// Whether the user can enter the source, after [`Caller::take`].
    pub(crate) fn can_enter_source(&self) -> bool {
        can_enter(&self.source)
    }

    /// The same of the volume that files are restored into, if any.
    pub(crate) fn can_enter_target(&self) -> bool {
        self.target.as_deref().is_none_or(can_enter)
    }

    /// The group of new files whose own group the user cannot give them. The bus does not say which group is the primary one;
    /// most users have a group with their own number. Such a file gets no rights of its group.
    fn group(&self) -> u32 {
        let own = self.groups.iter().copied().find(|group| *group == self.uid);
        own.or_else(|| self.groups.iter().copied().filter(|group| *group != 0).max()).unwrap_or(NOGROUP)
    }
}

/// Whether this process can enter a directory. The path is one of the configuration. It is opened for look-ups only, which Landlock
/// permits everywhere.
fn can_enter(path: &[u8]) -> bool {
    let Ok(path) = CString::new(path) else { return false };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // Looking up a name in it needs the right to search it.
    let entered = openat(CWD, path.as_c_str(), flags, Mode::empty())
        .and_then(|entered| openat(entered, c".", flags, Mode::empty()));
    entered.is_ok()
}

/// The group of a user without groups (`nogroup`).
const NOGROUP: u32 = 65534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_files_get_a_group_of_the_user_and_never_roots() {
        let group =
            |groups: &[u32]| Caller { uid: 1000, groups: groups.to_vec(), source: Vec::new(), target: None }.group();
        assert_eq!(group(&[24, 27, 1000, 2000]), 1000);
        assert_eq!(group(&[0, 100, 27]), 100);
        assert_eq!([group(&[]), group(&[0])], [NOGROUP; 2]);
    }

    #[test]
    fn root_is_no_caller() {
        let root = Caller { uid: 0, groups: Vec::new(), source: Vec::new(), target: None };
        assert!(root.take().is_err());
    }
}
