//! Opens the folder for a backup's snapshots, or makes it.
//!
//! Root creates, renames and deletes subvolumes in this folder. So only root may change its contents, and no other
//! user may redirect root to another folder. Below the source, whose directories may belong to a user, no symbolic
//! link is followed. Elsewhere every directory on the path must belong to root ([`configured`]), so that root also
//! owns each link.
//!
//! The folder may lie in a directory that a user can write to, for example in the source. So it is checked through its
//! descriptor after it was opened, each time, and a missing folder is prepared under another name first.

use std::ffi::{CString, OsStr};
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Errno, Error as Fault, best_effort, names, subvolume, xattr};
use rustix::fs::{Mode as Bits, fchmod, fstat};
use uuid::Uuid;

use crate::configured;

/// How the name of a folder in the making begins.
const UNFINISHED: &str = ".butterdock-unfinished-";
const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);

/// Why it is not used. Shown behind "the folder for snapshots".
#[derive(Debug)]
pub(super) enum Unfit {
    /// A link, below the source or where others can exchange it.
    Link,
    /// Others can write to a directory on the way.
    Place,
    /// Others can write to it.
    Folder,
    /// Something took its place while it was made.
    Exchanged,
    /// The kernel refused.
    Io(io::Error),
}

/// Opens `snapshots`, of the source that is open as `root` and was reached as `source`.
pub(super) fn open(root: BorrowedFd<'_>, source: &Path, snapshots: &Path) -> Result<OwnedFd, Unfit> {
    let (above, name) = place(root, source, snapshots)?;
    match there(&above, &name)? {
        Found::Folder(folder) => Ok(folder),
        Found::Placeholder => {
            names::remove_dir(&above, &name)?;
            make(above.as_fd(), &name)
        }
        Found::Nothing => make(above.as_fd(), &name),
    }
}

/// Opens it where it exists; makes nothing.
pub(super) fn existing(root: BorrowedFd<'_>, source: &Path, snapshots: &Path) -> Result<Option<OwnedFd>, Unfit> {
    let (above, name) = place(root, source, snapshots)?;
    Ok(match there(&above, &name)? {
        Found::Folder(folder) => Some(folder),
        Found::Placeholder | Found::Nothing => None,
    })
}

/// Whether [`open`] would open it or make it, as things are; makes nothing.
pub(super) fn check(root: BorrowedFd<'_>, source: &Path, snapshots: &Path) -> Result<(), Unfit> {
    let (above, name) = place(root, source, snapshots)?;
    there(&above, &name).map(drop)
}

/// What it is in, and its name there.
fn place(root: BorrowedFd<'_>, source: &Path, snapshots: &Path) -> Result<(OwnedFd, CString), Unfit> {
    let (Some(above), Some(name)) = (snapshots.parent(), snapshots.file_name()) else {
        return Err(Unfit::Place);
    };
    let above = match above.strip_prefix(source) {
        Ok(below) => open_below(root, below)?,
        Err(_elsewhere) => open_elsewhere(above)?,
    };
    let name = CString::new(name.as_bytes()).map_err(|_nul| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok((above, name))
}

/// What has the folder's name.
enum Found {
    Folder(OwnedFd),
    /// The empty directory that a snapshot of the source has in place of the folder, which is a subvolume: after a rollback it is
    /// in the source. Nothing can be made in it.
    Placeholder,
    Nothing,
}

fn there(above: &OwnedFd, name: &CString) -> Result<Found, Unfit> {
    /// The inode number of every such directory (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
    const PLACEHOLDER: u64 = 2;
    let folder = match file::openat_new(above, name, FOLDER, Mode::empty()) {
        Err(Fault { errno: Errno::ENOENT, .. }) => return Ok(Found::Nothing),
        opened => opened?,
    };
    if file::stat(&folder)?.ino == PLACEHOLDER {
        return Ok(Found::Placeholder);
    }
    roots_alone(folder).map(Found::Folder)
}

fn open_below(root: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Unfit> {
    let path = if path.as_os_str().is_empty() { OsStr::new(".") } else { path.as_os_str() };
    let path = CString::new(path.as_bytes()).map_err(|_nul| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(file::open_beneath(root, &path, FOLDER, Mode::empty())?)
}

fn open_elsewhere(path: &Path) -> Result<OwnedFd, Unfit> {
    let found = configured::find(path)?;
    let directory = found.directory()?;
    if found.is_fixed && configured::is_roots_alone(&fstat(&directory)?) { Ok(directory) } else { Err(Unfit::Place) }
}

/// A subvolume rather than a folder, so that what happens in it does not change the source. It gets its name when it is
/// private: no other user can create a name in it before that, whatever default ACL the directory has.
fn make(above: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Unfit> {
    let unfinished = format!("{UNFINISHED}{}", Uuid::new_v4().simple());
    let unfinished = CString::new(unfinished).map_err(|_nul| io::Error::from(io::ErrorKind::InvalidInput))?;
    subvolume::create(above, &unfinished)?;
    let made = file::openat_new(above, &unfinished, FOLDER, Mode::empty())?;
    let facts = file::stat(&made)?;
    if !subvolume::is_root(&facts) || facts.uid != 0 || names::holds(&made, |_name| true)? {
        return Err(Unfit::Exchanged);
    }
    let id = subvolume::info(&made)?.id;
    let named = make_private(&made).and_then(|()| names::rename_noreplace(above, &unfinished, above, name));
    if let Err(fault) = named {
        // By its id: others may have given another subvolume its name.
        best_effort(subvolume::destroy_by_id(above, id));
        // Another drive's job was quicker.
        if fault.errno != Errno::EEXIST {
            return Err(fault.into());
        }
    }
    roots_alone(file::openat_new(above, name, FOLDER, Mode::empty())?)
}

/// Takes what the directory above handed down. Only root looks into it: what is in it has the modes that it had.
fn make_private(folder: &OwnedFd) -> Result<(), Fault> {
    for list in [c"system.posix_acl_access", c"system.posix_acl_default"] {
        match xattr::remove(folder, list) {
            Err(Fault { errno: Errno::ENODATA | Errno::EOPNOTSUPP, .. }) | Ok(()) => {}
            Err(fault) => return Err(fault),
        }
    }
    let failed = |errno: rustix::io::Errno| Fault { call: "fchmod", errno: Errno::from_raw(errno.raw_os_error()) };
    fchmod(folder, Bits::RWXU).map_err(failed)
}

fn roots_alone(folder: OwnedFd) -> Result<OwnedFd, Unfit> {
    if configured::is_roots_alone(&fstat(&folder)?) { Ok(folder) } else { Err(Unfit::Folder) }
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Unfit {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl From<configured::Error> for Unfit {
    fn from(error: configured::Error) -> Self {
        match error {
            configured::Error::Link => Self::Link,
            configured::Error::Io(error) => Self::Io(error),
        }
    }
}

impl From<Fault> for Unfit {
    fn from(fault: Fault) -> Self {
        // With O_DIRECTORY and O_NOFOLLOW the kernel may return either error for a link.
        if matches!(fault.errno, Errno::ELOOP | Errno::ENOTDIR) {
            return Self::Link;
        }
        Self::Io(io::Error::from_raw_os_error(fault.errno as i32))
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str(
                "is not used, because it is, or its path contains, a symbolic link or a file that users other than \
                 root can place there; remove it, or name another folder as `snapshots` in butterdock.toml",
            ),
            Self::Place => f.write_str(
                "is not used, because users other than root can write to a directory on its path; in butterdock.toml \
                 set `snapshots` to a folder in the source, or to one where only root can write",
            ),
            Self::Folder => f.write_str(
                "is not used, because users other than root can write to it and exchange its contents; rename it (the \
                 next backup makes a new one), or give it to root: chown root:root and chmod go-w",
            ),
            Self::Exchanged => f.write_str(
                "could not be created, because another program created the same name; find out which program changes \
                 the parent directory, then start the backup again",
            ),
            Self::Io(error) => {
                write!(f, "cannot be opened: {error}; correct `snapshots` in butterdock.toml, or create the folder")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
    use std::process::{Child, Command};

    use butterdock_fixtures::{Sandbox, Volume};

    use super::*;

    const USER: u32 = 1000;

    struct Fixture {
        volume: Volume,
        /// Declared last, so that the sandbox goes last.
        _sandbox: Sandbox,
    }

    impl Fixture {
        /// A volume with the source `home`, a user's subvolume, and root's folder `theirs` beside it.
        fn new() -> Self {
            let sandbox = Sandbox::new().expect("a sandbox");
            let volume = sandbox.volume("source", &Default::default()).expect("a volume");
            butterdock_fixtures::snapshot::create(&volume.join("home")).expect("a subvolume");
            chown(volume.join("home"), Some(USER), Some(USER)).expect("given to the user");
            fs::create_dir(volume.join("theirs")).expect("made");
            Self { volume, _sandbox: sandbox }
        }

        fn open(&self, snapshots: &str) -> Result<OwnedFd, Unfit> {
            let source = self.volume.join("home");
            open(File::open(&source).expect("opened").as_fd(), &source, &self.volume.join(snapshots))
        }

        fn refusal(&self, snapshots: &str) -> String {
            self.open(snapshots).expect_err("refused").to_string()
        }
    }

    #[test]
    fn privileged_a_link_in_place_of_the_folder_leads_nowhere() {
        let fixture = Fixture::new();
        let at = |name: &str| fixture.volume.join(name);
        symlink(at("theirs"), at("home/.butterdock")).expect("linked");
        assert!(fixture.refusal("home/.butterdock").contains("symbolic link"));
        symlink(at("theirs"), at("home/on-the-way")).expect("linked");
        assert!(fixture.refusal("home/on-the-way/snapshots").contains("symbolic link"));
        assert_eq!(fs::read_dir(at("theirs")).expect("read").count(), 0);
        // A link beside the source that belongs to root is allowed.
        symlink(at("theirs"), at("link")).expect("linked");
        fixture.open("link/snapshots").expect("made");
        assert!(at("theirs/snapshots").is_dir());
    }

    #[test]
    fn privileged_a_folder_writable_by_others_is_refused() {
        let fixture = Fixture::new();
        let folder = fixture.volume.join("home/.butterdock");
        fs::create_dir(&folder).expect("made");
        chown(&folder, Some(USER), Some(USER)).expect("given to the user");
        assert!(fixture.refusal("home/.butterdock").contains("chown root:root and chmod go-w"));
        chown(&folder, Some(0), Some(0)).expect("taken back");
        fixture.open("home/.butterdock").expect("root's");
        for mode in [0o775, 0o757] {
            fs::set_permissions(&folder, Permissions::from_mode(mode)).expect("set");
            assert!(fixture.refusal("home/.butterdock").contains("can write to it"), "{mode:o}");
        }
    }

    #[test]
    fn privileged_a_rolled_back_source_gets_a_new_folder() {
        let fixture = Fixture::new();
        fixture.open("home/.butterdock").expect("made");
        let (source, old) = (fixture.volume.join("home"), fixture.volume.join("home.old"));
        fs::rename(&source, &old).expect("renamed");
        butterdock_fixtures::snapshot::branch(&old, &source).expect("a snapshot");
        let folder = File::from(fixture.open("home/.butterdock").expect("made in its place"));
        let facts = folder.metadata().expect("facts");
        assert_eq!((facts.mode() & 0o7777, facts.uid(), facts.ino()), (0o700, 0, 256));
        assert!(old.join(".butterdock").metadata().expect("the old one stays").ino() == 256);
        fs::create_dir(source.join(".butterdock/something")).expect("it can be used");
    }

    #[test]
    fn privileged_a_folder_elsewhere_lies_where_root_alone_can_write() {
        let fixture = Fixture::new();
        let users = fixture.volume.join("users");
        fs::create_dir_all(users.join("roots")).expect("made");
        fixture.open("users/roots/snapshots").expect("made");
        chown(&users, Some(USER), Some(USER)).expect("given to the user");
        assert!(fixture.refusal("users/roots/snapshots").contains("on its path"));
        assert!(fixture.refusal("users/snapshots").contains("on its path"));
    }

    #[test]
    fn privileged_a_new_folder_is_private_despite_default_acls() {
        let fixture = Fixture::new();
        let source = fixture.volume.join("home");
        let given = Command::new("setfacl").args(["-d", "-m", "u:1000:rwx"]).arg(&source).status().expect("setfacl");
        assert!(given.success());
        let folder = fixture.open("home/.butterdock").expect("made");
        let facts = File::from(folder.try_clone().expect("a copy")).metadata().expect("facts");
        assert_eq!((facts.mode() & 0o7777, facts.uid(), facts.ino()), (0o700, 0, 256));
        assert_eq!(xattr::get(&folder, c"system.posix_acl_access", &mut [0; 256]), Ok(None));
        assert_eq!(fs::read_dir(&source).expect("read").count(), 1, "nothing unfinished is left");
    }

    /// The owner of the source, who exchanges what is in it as fast as he can. Killed when dropped.
    struct Owner(Child);

    impl Owner {
        fn new(source: &Path, script: &str) -> Self {
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid",
                "1000",
                "--regid",
                "1000",
                "--clear-groups",
                "--pdeathsig",
                "KILL",
                "sh",
                "-c",
                script,
            ]);
            Self(command.current_dir(source).spawn().expect("started"))
        }
    }

    impl Drop for Owner {
        fn drop(&mut self) {
            // It may have ended.
            best_effort(self.0.kill());
            best_effort(self.0.wait());
        }
    }

    #[test]
    fn privileged_an_owner_who_exchanges_the_folder_gains_nothing() {
        let fixture = Fixture::new();
        let (source, theirs) = (fixture.volume.join("home"), fixture.volume.join("theirs"));
        let script = format!(
            "mkdir own; ln -s {} link; while :; do for name in .butterdock*; do mv -T $name gone 2>/dev/null; done; \
             mv -T link .butterdock; mv -T .butterdock link; mv -T own .butterdock; mv -T .butterdock own; rmdir gone; done \
             2>/dev/null",
            theirs.display()
        );
        let owner = Owner::new(&source, &script);
        let (mut opened, mut refused) = (0, 0);
        while opened < 50 || refused < 50 {
            match fixture.open("home/.butterdock") {
                Ok(folder) => {
                    opened += 1;
                    let facts = File::from(folder).metadata().expect("facts");
                    assert_eq!((facts.mode() & 0o7777, facts.uid(), facts.ino()), (0o700, 0, 256));
                }
                Err(_why) => refused += 1,
            }
        }
        drop(owner);
        assert_eq!(fs::read_dir(&theirs).expect("read").count(), 0);
        assert_eq!(theirs.metadata().expect("facts").mode() & 0o7777, 0o755);
    }

    #[test]
    fn privileged_two_jobs_can_create_the_snapshots_folder() {
        let fixture = Fixture::new();
        for round in 0..20 {
            let folder = format!("home/snapshots-{round}");
            let start = std::sync::Barrier::new(2);
            std::thread::scope(|threads| {
                for _ in 0..2 {
                    threads.spawn(|| {
                        start.wait();
                        fixture.open(&folder).expect("opened");
                    });
                }
            });
        }
    }
}
