//! Which mounts there are, by numbers.
//!
//! The numbers of /proc/self/mountinfo are given to another mount soon after one is gone. Since Linux 6.8 each mount has one
//! besides that no other ever gets; where the kernel has them they are what is told here, of a descriptor and of all.

#![expect(unsafe_code, reason = "neither nix nor rustix has listmount(2)")]

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd;
use std::sync::LazyLock;

use nix::libc;
use rustix::fs::{AtFlags, StatxFlags, statx};

use crate::error::{Errno, Result, retry};
use crate::numbers::LISTMOUNT;

/// `statx(2)`, `STATX_MNT_ID_UNIQUE`, before Linux 6.8 `STATX_MNT_ID` — the mount through which it was opened; 0 where the
/// kernel does not tell.
#[must_use]
pub fn of(descriptor: impl AsFd) -> u64 {
    let wanted = if *UNIQUE { MNT_ID_UNIQUE } else { StatxFlags::MNT_ID };
    let facts = statx(descriptor, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted);
    facts.ok().filter(|facts| facts.stx_mask & wanted.bits() != 0).map_or(0, |facts| facts.stx_mnt_id)
}

/// `listmount(2)`, before Linux 6.8 `/proc/self/mountinfo` — all mounts that this process sees, in the numbers of [`of`].
///
/// # Errors
/// /proc is not mounted, or there is no memory.
pub fn all() -> io::Result<HashSet<u64>> {
    if *UNIQUE {
        return listed().map_err(io::Error::other);
    }
    // Bytes: a mount point's name need not be UTF-8.
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?))
}

/// `linux/stat.h`, Linux 6.8.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
/// `LSMT_ROOT` of `linux/mount.h`: below the caller's root, itself with them.
const ROOT: u64 = u64::MAX;

/// Both calls have to be there, and allowed: a sandbox may know the one and not the other.
static UNIQUE: LazyLock<bool> = LazyLock::new(|| {
    let told = |facts: rustix::fs::Statx| facts.stx_mask & MNT_ID_UNIQUE.bits() != 0;
    let root = statx(rustix::fs::CWD, c"/", AtFlags::STATX_DONT_SYNC, MNT_ID_UNIQUE);
    root.is_ok_and(told) && page(0).is_ok()
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

/// So many are asked for at a time.
const PAGE: usize = 256;

fn listed() -> Result<HashSet<u64>> {
    let mut found = HashSet::new();
    let mut last = 0;
    loop {
        let page = page(last)?;
        found.extend(&page);
        match page.last() {
            // They come in the order of their numbers.
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
        // SAFETY: the kernel reads one `RawRequest`, whose size is in it, writes at most `PAGE` numbers into a buffer of so
        // many, and keeps no pointer.
        let answer = unsafe { libc::syscall(LISTMOUNT, request, numbers, PAGE, 0) };
        Errno::result(answer)
    })?;
    numbers.truncate(usize::try_from(count).unwrap_or_default());
    Ok(numbers)
}

/// The first field of each line.
fn parse(text: &[u8]) -> HashSet<u64> {
    let first = |line: &[u8]| std::str::from_utf8(line.split(|&byte| byte == b' ').next()?).ok()?.parse().ok();
    text.split(|&byte| byte == b'\n').filter_map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_also_beside_names_that_are_no_text() {
        let text =
            b"22 28 0:21 / /proc rw - proc proc rw\n96 28 0:40 / /mnt/\xff\\040x rw shared:1 - btrfs /dev/loop0 rw\n";
        assert_eq!(parse(text), HashSet::from([22, 96]));
    }

    #[test]
    fn the_mount_of_what_is_open_is_among_all() {
        let all = all().expect("mounts");
        for path in ["/", "/proc", "/dev/null"] {
            let mount = of(std::fs::File::open(path).expect("opened"));
            assert!(mount != 0 && all.contains(&mount), "{path}: {mount} is not in {all:?}");
        }
    }

    #[test]
    fn both_ways_find_as_many() {
        if *UNIQUE {
            let known = parse(&std::fs::read("/proc/self/mountinfo").expect("read"));
            // Others mount and unmount meanwhile.
            let listed = listed().expect("listed");
            assert!(listed.len().abs_diff(known.len()) < 10, "{} and {}", listed.len(), known.len());
            assert!(listed.is_disjoint(&known), "they are numbers of another kind");
        }
    }
}
