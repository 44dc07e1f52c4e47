//! Directories of the system: programs, and what decides which programs run. What the service is asked to write to by others than the
//! administrator's editor is in none of them.
//!
//! One may have several paths. It is recognised by its name, through symbolic links, through another mount of its filesystem, and
//! where it is itself mounted elsewhere (a bind mount).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use butterdock_btrfs::mounts::{self, Mount};

/// Directories of the system: programs, and what decides which programs run.
const SYSTEM: [&str; 21] = [
    "bin",
    "boot",
    "efi",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "nix",
    "opt",
    "ostree",
    "proc",
    "root",
    "run",
    "sbin",
    "snap",
    "sys",
    "sysroot",
    "usr",
    "var/cron",
    "var/lib",
    "var/spool",
];

/// Whether a path leads to one: by its names, through links or through mounts, as they are now.
pub(crate) fn is_reached_by(path: &Path) -> bool {
    let real = resolved(path);
    let table = fs::read("/proc/thread-self/mountinfo").map(|text| mounts::parse(&text)).unwrap_or_default();
    is_named_by(path)
        || is_named_by(&real)
        || also_known_as(&real).iter().chain(&mounted_as(&real, &table)).any(|path| is_named_by(path))
}

/// Whether a directory was opened that is one of the system, by a path that does not say so: through a link, or through a mount that
/// shows programs. A path was checked when it was set; a subvolume that was received since may have brought a link, and a mount may
/// have come. The administrator's file may name such a directory itself.
pub(crate) fn is_behind(configured: &Path, opened: impl AsFd) -> io::Result<bool> {
    if is_named_by(configured) {
        return Ok(false);
    }
    let opened = fs::read_link(format!("/proc/self/fd/{}", opened.as_fd().as_raw_fd()))?;
    let table = mounts::parse(&fs::read("/proc/thread-self/mountinfo")?);
    Ok(is_named_by(&opened) || shows_programs(&opened, &table))
}

/// Whether a directory is one of the system itself, which is mounted there. Homes and what is above a directory of the system may be
/// mounted elsewhere: data of people is there.
fn shows_programs(path: &Path, table: &[Mount]) -> bool {
    let is_system = |path: &PathBuf| {
        let path = path.strip_prefix("/").unwrap_or(path);
        SYSTEM.into_iter().any(|fixed| path.starts_with(fixed))
    };
    also_known_as(path).iter().chain(&mounted_as(path, table)).any(is_system)
}

/// Whether a path names a directory of the system, one above it, a home directory, or a hidden directory in one.
pub(crate) fn is_named_by(path: &Path) -> bool {
    let parts = path.components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir));
    let plain: PathBuf = parts.collect();
    let is_in = |fixed: &str| plain.starts_with(fixed) || Path::new(fixed).starts_with(&plain);
    let is_hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
    let is_home = plain.starts_with("home") && plain.components().nth(2).is_none_or(is_hidden);
    SYSTEM.into_iter().any(is_in) || is_home
}

/// Other paths of the directory, if one above it is a directory of the system through another mount of its filesystem, as the root
/// is below a mounted top of a btrfs.
fn also_known_as(path: &Path) -> Vec<PathBuf> {
    let identity = |path: &Path| path.metadata().ok().map(|facts| (facts.dev(), facts.ino()));
    let roots = ["", "home", "var"].into_iter().chain(SYSTEM).map(|name| Path::new("/").join(name));
    let known: Vec<_> = roots.filter_map(|root| Some((identity(&root)?, root))).collect();
    let of = |above: &Path| {
        let (rest, here) = (path.strip_prefix(above).ok()?.to_owned(), identity(above)?);
        let same = known.iter().filter(move |(there, root)| *there == here && root != above);
        Some(same.map(move |(_, root)| root.join(&rest)).collect::<Vec<_>>())
    };
    path.ancestors().filter_map(of).flatten().collect()
}

/// Other paths of the directory, through other mounts of its filesystem that show it.
fn mounted_as(path: &Path, table: &[Mount]) -> Vec<PathBuf> {
    let point = |mount: &Mount| PathBuf::from(OsStr::from_bytes(&mount.mount_point));
    let root = |mount: &Mount| PathBuf::from(OsStr::from_bytes(&mount.root));
    // Of several mounts at one point the last one covers the others.
    let over = table.iter().filter(|mount| path.starts_with(point(mount)));
    let Some(own) = over.max_by_key(|mount| point(mount).components().count()) else { return Vec::new() };
    let Ok(rest) = path.strip_prefix(point(own)) else { return Vec::new() };
    let within = root(own).join(rest);
    let other = |mount: &Mount| {
        let rest = within.strip_prefix(root(mount)).ok()?;
        let shown = point(mount).join(rest);
        (mount.filesystem == own.filesystem && shown != path && !is_of_another_program(&point(mount))).then_some(shown)
    };
    table.iter().filter_map(other).collect()
}

/// Whether other programs mount data there: /run/media, /run/timeshift; below /sysroot is everything of an ostree system.
fn is_of_another_program(point: &Path) -> bool {
    point.starts_with("/sysroot") || (point.starts_with("/run") && point != Path::new("/run"))
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            return real.join(rest);
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_the_system_is_known_through_another_mount() {
        let known = |path: &str| also_known_as(Path::new(path));
        // The kernel's link leads to the root without its name.
        for below in ["etc/cron.d/new", "home/ann"] {
            let all = known(&format!("/proc/self/root/{below}"));
            let path = Path::new("/").join(below);
            assert!(all.contains(&path) && all.iter().any(|path| is_named_by(path)), "{all:?}");
        }
        assert_eq!(known("/srv/tank/new"), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_directory_deep_in_the_system_is_known_where_it_is_mounted() {
        let table = mounts::parse(
            b"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            21 20 8:1 /etc/systemd/system /srv/units rw - ext4 /dev/sda1 rw\n\
            22 20 0:40 /@data /srv/tank rw - btrfs /dev/sdb rw\n\
            23 20 0:40 /@data/cron /etc/cron.d rw - btrfs /dev/sdb rw\n\
            24 20 0:40 / /run/timeshift/top rw - btrfs /dev/sdb rw\n",
        );
        let others = |path: &str| mounted_as(Path::new(path), &table);
        assert_eq!(others("/srv/units/new"), [PathBuf::from("/etc/systemd/system/new")]);
        assert_eq!(others("/srv/tank/cron/new"), [PathBuf::from("/etc/cron.d/new")]);
        assert_eq!(others("/srv/tank/backups"), [""; 0].map(PathBuf::from));
        assert_eq!(others("/srv/other"), [""; 0].map(PathBuf::from));
    }

    #[test]
    fn a_mount_that_shows_programs_is_known_and_one_of_data_is_not() {
        let table = mounts::parse(
            b"20 1 0:30 /@ / rw - btrfs /dev/sda rw\n\
            21 20 0:30 / /mnt/pool rw - btrfs /dev/sda rw\n\
            22 20 0:30 /@home /home rw - btrfs /dev/sda rw\n\
            23 20 0:30 /@/etc/systemd/system /srv/units rw - btrfs /dev/sda rw\n",
        );
        let shows = |path: &str| shows_programs(Path::new(path), &table);
        assert!(shows("/srv/units/new") && shows("/mnt/pool/@/usr/local"));
        for data in ["/mnt/pool/@home/.butterdock", "/mnt/pool/@home/ann/.snapshots", "/mnt/pool/backups", "/srv/tank"]
        {
            assert!(!shows(data), "{data}");
        }
    }

    #[test]
    fn a_directory_of_the_system_behind_a_link_is_known_when_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/etc", &link).expect("linked");
        let etc = fs::File::open(&link).expect("opened");
        assert_eq!(is_behind(&link, &etc).ok(), Some(true));
        assert_eq!(is_behind(Path::new("/etc"), &etc).ok(), Some(false), "the administrator wrote so");
        let own = fs::File::open(folder.path()).expect("opened");
        assert_eq!(is_behind(folder.path(), &own).ok(), Some(false));
    }
}
