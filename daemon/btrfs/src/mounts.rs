//! Mounts: their ids, the table in `/proc/self/mountinfo`, mounts through which no device can be opened, and a seccomp filter
//! that refuses new mounts.
//!
//! The kernel decides by the mount, not by the filesystem, whether a device node may be opened: the same node can be opened
//! through one mount and is refused (`EACCES`) through another.
#![expect(unsafe_code, reason = "neither nix nor rustix has mount_setattr(2), listmount(2) and PR_SET_SECCOMP")]

use std::collections::HashSet;
use std::ffi::{CStr, c_long};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::LazyLock;

use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};

use crate::error::{Errno, Result, retry};
use crate::ioctl::{FSMOUNT, LISTMOUNT, MOUNT_SETATTR, OPEN_TREE, OPEN_TREE_ATTR};

/// `open_tree(2)` with `OPEN_TREE_CLONE`, `mount_setattr(2)` (`CAP_SYS_ADMIN`) — the same directory as the root of a mount
/// of its own that is nodev, nosuid and noexec, and attached nowhere. The mount ends when the descriptor and all that were
/// opened below it are closed. It keeps the filesystem mounted, but does not make the mount busy that it was cloned from.
///
/// # Errors
/// `EINVAL` if the mount of `directory` is not in the caller's mount namespace, `EPERM`, `ENOSYS` before
/// Linux 5.12.
pub fn without_devices(directory: impl AsFd) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = retry("open_tree", || open_tree(&directory, c"", flags))?;
    refuse_devices(tree.as_fd(), c"", libc::AT_EMPTY_PATH)?;
    // open_tree returns a descriptor for look-ups only.
    retry("openat", || openat(&tree, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()))
}

/// `mount_setattr(2)` with `AT_RECURSIVE` (`CAP_SYS_ADMIN`) — makes every mount that the caller sees nodev, nosuid and
/// noexec. The caller must have a mount namespace of its own.
///
/// # Errors
/// `EPERM`, `EINVAL` if `/` is not a mount, `ENOSYS` before Linux 5.12.
pub fn refuse_devices_everywhere() -> Result<()> {
    refuse_devices(CWD, c"/", libc::AT_RECURSIVE)
}

/// `struct mount_attr` (`linux/mount.h`, Linux 5.12).
#[repr(C)]
struct RawAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

const _: () = assert!(size_of::<RawAttributes>() == 32);

fn refuse_devices(at: BorrowedFd<'_>, path: &CStr, flags: libc::c_int) -> Result<()> {
    let set = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let attributes = RawAttributes { set: set.bits().into(), clear: 0, propagation: 0, userns_fd: 0 };
    retry("mount_setattr", || {
        let (at, path, attributes) = (at.as_raw_fd(), path.as_ptr(), std::ptr::from_ref(&attributes));
        // SAFETY: the kernel reads one string and one `RawAttributes`, whose size is an argument, and keeps no pointer.
        let answer = unsafe { libc::syscall(MOUNT_SETATTR, at, path, flags, attributes, size_of::<RawAttributes>()) };
        Errno::result(answer)
    })?;
    Ok(())
}

/// `prctl(2)` with `PR_SET_SECCOMP` (`PR_SET_NO_NEW_PRIVS` before it, or `CAP_SYS_ADMIN`) — from now on `open_tree(2)`,
/// `open_tree_attr(2)` and `mount_setattr(2)` fail with `EPERM` in the calling thread and in threads that it starts, and so
/// does an `fsmount(2)` whose mount would not be nodev: a device could be opened through such a mount. `mount(2)` and
/// `move_mount(2)` are not in the filter, because Landlock refuses them.
///
/// These calls have the same number in all ABIs of a kernel, also for x32 and 32-bit programs, so the filter does not check
/// the architecture. Calls that it always allows cost nothing (the kernel has a bitmap of them since 5.11).
///
/// # Errors
/// `EINVAL` from a kernel without `CONFIG_SECCOMP_FILTER`, `EACCES` without either privilege.
pub fn keep_devices_out() -> Result<()> {
    let mut filter = PROGRAM;
    let program = libc::sock_fprog { len: LENGTH, filter: filter.as_mut_ptr() };
    retry("PR_SET_SECCOMP", || {
        let program = std::ptr::from_ref(&program);
        // SAFETY: the kernel copies as many instructions as `program` has, checks them, and keeps no pointer.
        let answer = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, program) };
        Errno::result(answer)
    })?;
    Ok(())
}

const PROGRAM: [libc::sock_filter; 10] = [
    step(LOAD, NUMBER, 0, 0),
    step(AND, !X32, 0, 0),
    step(IF_EQUAL, number(OPEN_TREE), 6, 0),
    step(IF_EQUAL, number(MOUNT_SETATTR), 5, 0),
    step(IF_EQUAL, number(OPEN_TREE_ATTR), 4, 0),
    step(IF_EQUAL, number(FSMOUNT), 0, 2),
    step(LOAD, THIRD_ARGUMENT, 0, 0),
    step(IF_ANY_BIT, MountAttrFlags::MOUNT_ATTR_NODEV.bits(), 0, 1),
    step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    step(RETURN, libc::SECCOMP_RET_ERRNO | EPERM, 0, 0),
];

const LENGTH: u16 = 10;
const _: () = assert!(PROGRAM.len() == LENGTH as usize);

/// The errno in the data of `SECCOMP_RET_ERRNO`.
const EPERM: u32 = libc::EPERM.unsigned_abs();

/// Instructions of `linux/bpf_common.h`, on 32-bit words of `struct seccomp_data`.
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const IF_EQUAL: u16 = 0x15;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data` (`linux/seccomp.h`): the number of the call, and the lower half of the third argument, which
/// has the attributes of the mount for `fsmount(2)`.
const NUMBER: u32 = 0;
const THIRD_ARGUMENT: u32 = 32 + if cfg!(target_endian = "big") { 4 } else { 0 };

/// `__X32_SYSCALL_BIT`; no other architecture has call numbers with this bit.
const X32: u32 = 0x4000_0000;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "call numbers are small")]
const fn number(call: c_long) -> u32 {
    call as u32
}

/// `yes` and `no`: how many instructions are skipped.
const fn step(code: u16, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt: yes, jf: no, k }
}

/// `statx(2)`, `STATX_MNT_ID_UNIQUE`, before Linux 6.8 `STATX_MNT_ID` — the id of the mount through which it was opened;
/// 0 if the kernel does not report it.
#[must_use]
pub fn unique_id(descriptor: impl AsFd) -> u64 {
    let wanted = if *UNIQUE { MNT_ID_UNIQUE } else { StatxFlags::MNT_ID };
    let facts = statx(descriptor, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted);
    facts.ok().filter(|facts| facts.stx_mask & wanted.bits() != 0).map_or(0, |facts| facts.stx_mnt_id)
}

/// `listmount(2)`, before Linux 6.8 `/proc/self/mountinfo` — the ids of all mounts that this process sees, as from
/// [`unique_id`].
///
/// # Errors
/// /proc is not mounted, or memory is short.
pub fn ids() -> io::Result<HashSet<u64>> {
    if *UNIQUE {
        return listed().map_err(io::Error::other);
    }
    // As bytes, because the path of a mount point need not be UTF-8.
    Ok(parse_ids(&std::fs::read("/proc/self/mountinfo")?))
}

/// `linux/stat.h`, Linux 6.8.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
/// `LSMT_ROOT` of `linux/mount.h`: the mounts below the caller's root, and that root.
const ROOT: u64 = u64::MAX;

/// Whether both calls exist and are allowed: a sandbox may allow one of them only.
static UNIQUE: LazyLock<bool> = LazyLock::new(|| {
    let has_id = |facts: rustix::fs::Statx| facts.stx_mask & MNT_ID_UNIQUE.bits() != 0;
    let root = statx(CWD, c"/", AtFlags::STATX_DONT_SYNC, MNT_ID_UNIQUE);
    root.is_ok_and(has_id) && page(0).is_ok()
});

/// `struct mnt_id_req` (`linux/mount.h`), as Linux 6.8 has it.
#[repr(C)]
struct RawRequest {
    size: u32,
    spare: u32,
    mount: u64,
    after: u64,
}

const _: () = assert!(size_of::<RawRequest>() == 24);

/// One call returns up to this many.
const PAGE: usize = 256;

fn listed() -> Result<HashSet<u64>> {
    let mut found = HashSet::new();
    let mut last = 0;
    loop {
        let page = page(last)?;
        found.extend(&page);
        match page.last() {
            // The ids are sorted.
            Some(&number) if page.len() == PAGE && number > last => last = number,
            Some(_) | None => return Ok(found),
        }
    }
}

fn page(after: u64) -> Result<Vec<u64>> {
    let mut numbers = vec![0_u64; PAGE];
    let request = RawRequest { size: 24, spare: 0, mount: ROOT, after };
    let count = retry("listmount", || {
        let (request, numbers) = (std::ptr::from_ref(&request), numbers.as_mut_ptr());
        // SAFETY: the kernel reads one `RawRequest`, whose size is in it, writes up to `PAGE` numbers into a buffer for `PAGE`
        // numbers, and keeps no pointer.
        let answer = unsafe { libc::syscall(LISTMOUNT, request, numbers, PAGE, 0) };
        Errno::result(answer)
    })?;
    numbers.truncate(usize::try_from(count).unwrap_or_default());
    Ok(numbers)
}

/// The first field of each line.
fn parse_ids(text: &[u8]) -> HashSet<u64> {
    let first = |line: &[u8]| std::str::from_utf8(line.split(|&byte| byte == b' ').next()?).ok()?.parse().ok();
    text.split(|&byte| byte == b'\n').filter_map(first).collect()
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mount {
    /// Its id; the kernel reuses it after the mount has ended.
    pub id: u64,
    /// The filesystem, as `major:minor`: the same for all its mounts, and different from the device of its files.
    pub filesystem: Vec<u8>,
    /// Its root directory, as a path from the top of the filesystem.
    pub root: Vec<u8>,
    /// Its mount point, as a path from the root directory of the process.
    pub mount_point: Vec<u8>,
    /// The kind of the filesystem, as the kernel calls it.
    pub kind: Vec<u8>,
    /// What it was mounted from: the node of a device, where the kind has one.
    pub source: Vec<u8>,
}

/// The mounts in a `mountinfo` file, in its order: a later mount may cover an earlier one. Lines of another form are left out.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

/// `statx(2)`, `STATX_MNT_ID` (Linux 5.8) — the id of the mount through which it was opened, as in [`Mount::id`]; none if the
/// kernel does not report it.
///
/// # Errors
/// `EBADF`.
pub fn id_of(descriptor: impl AsFd) -> Result<Option<u64>> {
    let facts = retry("statx", || statx(&descriptor, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID))?;
    Ok((facts.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(facts.stx_mnt_id))
}

/// `openat(2)` with `O_PATH` — the parent directory; of the root of a mount, the parent of its mount point; of the root
/// directory of the process, that directory itself.
///
/// # Errors
/// `EACCES`, `ENOTDIR`.
pub fn above(directory: impl AsFd) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    retry("openat", || openat(&directory, c"..", flags, Mode::empty()))
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let filesystem = fields.nth(1)?.to_vec();
    let (root, mount_point) = (unescape(fields.next()?), unescape(fields.next()?));
    // The options, and then words up to a hyphen.
    let mut behind = fields.skip_while(|field| *field != b"-").skip(1);
    let (kind, source) = (unescape(behind.next()?), unescape(behind.next()?));
    Some(Mount { id, filesystem, root, mount_point, kind, source })
}

/// In the file, spaces and similar characters are a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        text.push(match (byte, behind) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                rest = after;
                (a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')
            }
            (other, _) => other,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn ids_are_read_beside_names_that_are_not_utf_8() {
        let text =
            b"22 28 0:21 / /proc rw - proc proc rw\n96 28 0:40 / /mnt/\xff\\040x rw shared:1 - btrfs /dev/loop0 rw\n";
        assert_eq!(parse_ids(text), HashSet::from([22, 96]));
    }

    #[test]
    fn the_mount_of_an_open_file_is_listed() {
        let all = ids().expect("mounts");
        for path in ["/", "/proc", "/dev/null"] {
            let mount = unique_id(File::open(path).expect("opened"));
            assert!(mount != 0 && all.contains(&mount), "{path}: {mount} is not in {all:?}");
        }
    }

    #[test]
    fn listmount_and_mountinfo_find_as_many_mounts() {
        if *UNIQUE {
            let known = parse_ids(&std::fs::read("/proc/self/mountinfo").expect("read"));
            // Other processes mount and unmount meanwhile.
            let listed = listed().expect("listed");
            assert!(listed.len().abs_diff(known.len()) < 10, "{} and {}", listed.len(), known.len());
            assert!(listed.is_disjoint(&known), "unique ids are numbers of another kind");
        }
    }

    #[test]
    fn a_line_with_spaces_in_names_is_parsed() {
        let text = b"36 35 0:33 /@/a\\040b /mnt/\\134040\\011x rw,noatime master:1 - btrfs /dev/sda rw\nnonsense\n";
        let filesystem = b"0:33".to_vec();
        let (root, mount_point) = (b"/@/a b".to_vec(), b"/mnt/\\040\tx".to_vec());
        let (kind, source) = (b"btrfs".to_vec(), b"/dev/sda".to_vec());
        let expected = Mount { id: 36, filesystem, root, mount_point, kind, source };
        assert_eq!(parse(text), [expected]);
    }

    #[test]
    fn the_mount_of_a_directory_is_in_the_table() {
        let table = parse(&std::fs::read("/proc/thread-self/mountinfo").unwrap());
        let proc = id_of(File::open("/proc").unwrap()).unwrap().unwrap();
        let found = table.iter().find(|mount| mount.id == proc).unwrap();
        assert_eq!((&found.root[..], &found.mount_point[..]), (&b"/"[..], &b"/proc"[..]));
    }

    #[test]
    fn above_a_mount_is_the_parent_of_its_mount_point() {
        let above = File::from(above(File::open("/proc").unwrap()).unwrap()).metadata().unwrap();
        let root = std::fs::metadata("/").unwrap();
        assert_eq!((above.dev(), above.ino()), (root.dev(), root.ino()));
    }
}
