//! Files by descriptor: open beneath a directory, read, write, truncate, clone, lock.
#![expect(unsafe_code, reason = "the ioctls take pointers to their arguments")]

use std::ffi::CStr;
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OpenHow, ResolveFlag, openat, openat2};
use rustix::fs::{FlockOperation, SeekFrom, flock, seek};
use rustix::io::{pread, pwrite, pwritev};

use crate::error::{Errno, Error, Result, one_component, retry, signed};
use crate::ioctl::{BTRFS, Direction, FS, Request, ioctl};

pub use nix::fcntl::{FallocateFlags, OFlag};
pub use nix::sys::stat::Mode;

pub use crate::inode::{Stat, stat, stat_at};

/// `openat2(2)` with `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and `RESOLVE_NO_MAGICLINKS` — opens a path that cannot leave
/// `dir` and follows no link. The path *can* lead into another subvolume: compare [`Stat::dev`]. `mode` must be empty unless
/// `flags` has `O_CREAT` or `O_TMPFILE`. `O_CLOEXEC` is added. With `O_PATH` and `O_NOFOLLOW`, the last part may be a symlink.
///
/// # Errors
/// `EXDEV` for a path that climbs above `dir` or is absolute, `ELOOP` for a symlink anywhere in it, `ENOENT`, `ENOTDIR`,
/// `EEXIST`, `EACCES`, `EROFS`, `EAGAIN` if directories on the path were renamed during three attempts.
pub fn open_beneath(dir: impl AsFd, path: &CStr, flags: OFlag, mode: Mode) -> Result<OwnedFd> {
    open_resolved(dir.as_fd(), path, flags, mode, ResolveFlag::empty())
}

/// The same with `RESOLVE_NO_XDEV`: the path cannot lead into another mount. It can still lead into another subvolume.
///
/// # Errors
/// As for [`open_beneath`]; `EXDEV` also for a mount point anywhere in the path.
pub fn open_beneath_same_mount(dir: impl AsFd, path: &CStr, flags: OFlag) -> Result<OwnedFd> {
    open_resolved(dir.as_fd(), path, flags, Mode::empty(), ResolveFlag::RESOLVE_NO_XDEV)
}

fn open_resolved(dir: BorrowedFd<'_>, path: &CStr, flags: OFlag, mode: Mode, more: ResolveFlag) -> Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    // With O_PATH, openat2 refuses O_LARGEFILE, which is not 0 on 32-bit kernels.
    let always = if flags.contains(OFlag::O_PATH) { OFlag::O_CLOEXEC } else { ALWAYS };
    let how = OpenHow::new().flags(flags | always).mode(mode).resolve(resolve | more);
    let open = || retry("openat2", || openat2(dir, path, how));
    let mut answer = open();
    for _ in 0..2 {
        if !matches!(answer, Err(Error { errno: Errno::EAGAIN, .. })) {
            break;
        }
        answer = open();
    }
    answer
}

/// `openat(2)` with `O_NOFOLLOW` and `O_CLOEXEC` — opens or creates one name. Faster than [`open_beneath`] for a name in a
/// directory that is already open. The umask applies to `mode`.
///
/// # Errors
/// `EINVAL` for more than one component, `ELOOP` for a symlink, `EEXIST`, `ENOENT`, `ENXIO`, `ENOSPC`, `EROFS`.
pub fn openat_new(dir: impl AsFd, name: &CStr, flags: OFlag, mode: Mode) -> Result<OwnedFd> {
    let name = one_component("openat", name)?;
    let flags = flags | OFlag::O_NOFOLLOW | ALWAYS;
    retry("openat", || openat(&dir, name, flags, mode))
}

/// `pwritev(2)` — writes all slices of `data` one after another at `offset`, also if the kernel writes only a part at a time.
///
/// # Errors
/// `ENOSPC`, `EDQUOT`, `EFBIG`, `EIO`, `EBADF`, `EINVAL` for an offset above 2^63 - 1. A part may be
/// written.
pub fn write_at(fd: impl AsFd, offset: u64, data: &[IoSlice<'_>]) -> Result<()> {
    let fd = fd.as_fd();
    let mut at = offset;
    for batch in data.chunks(IOV_MAX) {
        let wanted: usize = batch.iter().map(|slice| slice.len()).sum();
        signed("pwritev", at)?;
        let done = retry("pwritev", || pwritev(fd, batch, at))?;
        if done < wanted {
            write_rest(fd, at, batch, done)?;
        }
        at = at.saturating_add(wanted as u64);
    }
    Ok(())
}

/// `pread(2)` — fills `buffer` from `offset` on; the number of bytes read, fewer only at the end of the file.
///
/// # Errors
/// `EIO` (also if a checksum does not match), `EBADF`, `EISDIR`, `EINVAL` for an offset above 2^63 - 1.
pub fn read_at(fd: impl AsFd, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let fd = fd.as_fd();
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.saturating_add(done as u64);
        signed("pread", at)?;
        match retry("pread", || pread(fd, &mut *rest, at))? {
            0 => break,
            read => done = done.saturating_add(read),
        }
    }
    Ok(done)
}

/// `lseek(2)` with `SEEK_DATA` and `SEEK_HOLE` — the first range from `offset` on that is no hole; none up to the end of the file.
/// The position of the descriptor changes.
///
/// # Errors
/// `EIO`, `EBADF`, `EINVAL` for an offset above 2^63 - 1.
pub fn next_data(fd: impl AsFd, offset: u64) -> Result<Option<std::ops::Range<u64>>> {
    let fd = fd.as_fd();
    signed("lseek", offset)?;
    let start = match retry("lseek", || seek(fd, SeekFrom::Data(offset))) {
        Err(Error { errno: Errno::ENXIO, .. }) => return Ok(None),
        start => start?,
    };
    let end = retry("lseek", || seek(fd, SeekFrom::Hole(start)))?;
    Ok(Some(start..end))
}

/// `fdatasync(2)` — writes out a file's data and waits until the device has it.
///
/// # Errors
/// As for [`sync`].
pub fn sync_data(fd: impl AsFd) -> Result<()> {
    retry("fdatasync", || rustix::fs::fdatasync(&fd))
}

/// `ftruncate(2)` — sets the file's size, in bytes; an added part reads as zeroes.
///
/// # Errors
/// `EFBIG`, `EINVAL` (not a file, not open for writing), `EIO`, `ENOSPC`, `ETXTBSY`, `EPERM`.
pub fn truncate(fd: impl AsFd, size: u64) -> Result<()> {
    signed("ftruncate", size)?;
    retry("ftruncate", || rustix::fs::ftruncate(&fd, size))
}

/// `fallocate(2)` with `FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE` — makes a range read as zeroes and frees its
/// space. A length of 0 does nothing.
///
/// # Errors
/// As for [`fallocate`].
pub fn punch_hole(fd: impl AsFd, offset: u64, len: u64) -> Result<()> {
    if len == 0 {
        return Ok(());
    }
    let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(fd, mode.bits().unsigned_abs(), offset, len)
}

/// `fallocate(2)` — `mode` is `FALLOC_FL_*` as in `linux/falloc.h`.
///
/// # Errors
/// `EOPNOTSUPP` for a mode that btrfs lacks, `EINVAL` for a length of 0, `EFBIG`, `ENOSPC`, `EBADF`, `ENODEV`, `EPERM`,
/// `ETXTBSY`.
pub fn fallocate(fd: impl AsFd, mode: u32, offset: u64, len: u64) -> Result<()> {
    const CALL: &str = "fallocate";
    i32::try_from(mode).or(Err(Error { call: CALL, errno: Errno::EOPNOTSUPP }))?;
    signed(CALL, offset)?;
    signed(CALL, len)?;
    let mode = rustix::fs::FallocateFlags::from_bits_retain(mode);
    retry(CALL, || rustix::fs::fallocate(&fd, mode, offset, len))
}

/// `fsync(2)` — writes out a file's data and attributes, or a directory's names, and waits until the device has them.
///
/// # Errors
/// `EIO`, `ENOSPC`, `EDQUOT`, `EROFS`, `EINVAL` for a file that does not support it.
pub fn sync(fd: impl AsFd) -> Result<()> {
    retry("fsync", || rustix::fs::fsync(&fd))
}

/// `flock(2)` with `LOCK_EX | LOCK_NB` — locks an open file or directory; false if another process holds the lock. The
/// kernel releases the lock when the last copy of the descriptor is closed.
///
/// # Errors
/// `ENOLCK`, `EBADF`.
pub fn lock_exclusive(fd: impl AsFd) -> Result<bool> {
    match retry("flock", || flock(&fd, FlockOperation::NonBlockingLockExclusive)) {
        Ok(()) => Ok(true),
        Err(error) if error.errno == Errno::EWOULDBLOCK => Ok(false),
        Err(error) => Err(error),
    }
}

/// `flock(2)` with `LOCK_EX` — locks an open file or directory, and waits while another process holds the lock.
///
/// # Errors
/// `ENOLCK`, `EBADF`.
pub fn wait_for_lock(fd: impl AsFd) -> Result<()> {
    retry("flock", || flock(&fd, FlockOperation::LockExclusive))
}

/// Without `O_LARGEFILE` a 32-bit kernel refuses files of 2 GiB and more, and writes after that; on other kernels it is 0.
const ALWAYS: OFlag = OFlag::O_CLOEXEC.union(OFlag::O_LARGEFILE);

/// The most slices of one call (`UIO_MAXIOV`).
const IOV_MAX: usize = 1024;

/// Writes the rest of `batch` after its first `done` bytes, slice by slice; needed only on an almost full disk.
fn write_rest(fd: BorrowedFd<'_>, offset: u64, batch: &[IoSlice<'_>], done: usize) -> Result<()> {
    let mut skip = done;
    let mut at = offset.saturating_add(done as u64);
    for slice in batch {
        let mut rest = slice.get(skip..).unwrap_or_default();
        skip = skip.saturating_sub(slice.len());
        while !rest.is_empty() {
            signed("pwrite", at)?;
            let written = retry("pwrite", || pwrite(fd, rest, at))?;
            if written == 0 {
                return Err(Error { call: "pwrite", errno: Errno::EIO });
            }
            rest = rest.get(written..).unwrap_or_default();
            at = at.saturating_add(written as u64);
        }
    }
    Ok(())
}

/// The parameters of fs-verity for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verity<'a> {
    /// `FS_VERITY_HASH_ALG_*`: 1 SHA-256, 2 SHA-512.
    pub algorithm: u32,
    /// The size of a hashed block, in bytes.
    pub block_size: u32,
    /// Up to 32 bytes, may be empty.
    pub salt: &'a [u8],
    /// A PKCS#7 signature, may be empty.
    pub signature: &'a [u8],
}

/// `FICLONERANGE` — makes a range of `dst` share the extents of a range of `src`. Both begin at a multiple of the sector
/// size; `len` is one too, or the range ends at the end of `src`; 0 means up to there.
///
/// # Errors
/// `EINVAL` for a wrong alignment, a range past the end of `src`, one that overlaps itself, or two files of which only one has
/// checksums; `EXDEV` for two filesystems, `EOPNOTSUPP`, `EBADF`, `EISDIR`, `EPERM` (immutable), `ETXTBSY`, `ENOSPC`.
pub fn clone_range(dst: impl AsFd, dst_offset: u64, src: impl AsFd, src_offset: u64, len: u64) -> Result<()> {
    let src = src.as_fd();
    let mut argument = RawClone { src_fd: i64::from(src.as_raw_fd()), src_offset, len, dst_offset };
    // SAFETY: the kernel reads one RawClone; the descriptor in it is borrowed for the whole call.
    unsafe { ioctl(dst.as_fd(), &CLONE_RANGE, &raw mut argument) }?;
    Ok(())
}

/// `FS_IOC_ENABLE_VERITY` — makes a file read-only from now on, and the kernel verifies every read. `fd` is open for reading
/// only, and the file must not be open for writing.
///
/// # Errors
/// `EOPNOTSUPP` and `ENOTTY` if the kernel or the filesystem does not support it, `EEXIST` if the file has fs-verity already,
/// `ETXTBSY` if it is open for writing, `EINVAL`, `EMSGSIZE` (salt or signature too long), `EBADMSG` and `EKEYREJECTED` (signature),
/// `EACCES`, `EROFS`, `ENOPKG`.
pub fn enable_verity(fd: impl AsFd, verity: &Verity<'_>) -> Result<()> {
    let mut argument = RawVerity {
        version: 1,
        algorithm: verity.algorithm,
        block_size: verity.block_size,
        salt_len: short(verity.salt.len())?,
        salt: address(verity.salt),
        signature_len: short(verity.signature.len())?,
        reserved1: 0,
        signature: address(verity.signature),
        reserved2: [0; 11],
    };
    // SAFETY: the kernel reads one RawVerity and the bytes of the two slices it points to.
    unsafe { ioctl(fd.as_fd(), &ENABLE_VERITY, &raw mut argument) }?;
    Ok(())
}

fn short(len: usize) -> Result<u32> {
    u32::try_from(len).or(Err(Error { call: ENABLE_VERITY.call(), errno: Errno::EMSGSIZE }))
}

/// The address of bytes; 0 for none.
fn address(bytes: &[u8]) -> u64 {
    if bytes.is_empty() { 0 } else { bytes.as_ptr().addr() as u64 }
}

/// `struct file_clone_range` (`linux/fs.h`).
#[repr(C)]
struct RawClone {
    src_fd: i64,
    src_offset: u64,
    len: u64,
    dst_offset: u64,
}

/// `struct fsverity_enable_arg` (`linux/fsverity.h`).
#[repr(C)]
struct RawVerity {
    version: u32,
    algorithm: u32,
    block_size: u32,
    salt_len: u32,
    salt: u64,
    signature_len: u32,
    reserved1: u32,
    signature: u64,
    reserved2: [u64; 11],
}

const _: () = assert!(size_of::<RawClone>() == 32 && size_of::<RawVerity>() == 128);

const CLONE_RANGE: Request =
    Request::new("FICLONERANGE", Direction::Write, BTRFS, 13, size_of::<RawClone>(), 0x4020_940d);
const ENABLE_VERITY: Request =
    Request::new("FS_IOC_ENABLE_VERITY", Direction::Write, FS, 133, size_of::<RawVerity>(), 0x4080_6685);

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn a_file_may_be_larger_than_32_bits_can_count() {
        let folder = tempfile::tempdir().unwrap();
        let dir = File::open(folder.path()).unwrap();
        let file = openat_new(&dir, c"far", OFlag::O_RDWR | OFlag::O_CREAT, Mode::S_IRUSR).unwrap();
        let far = 5 << 30;
        write_at(&file, far, &[IoSlice::new(b"be"), IoSlice::new(b"yond")]).unwrap();
        assert_eq!(stat(&file).unwrap().size, far + 6);
        truncate(&file, far + 4).unwrap();
        // Not by openat2(2), which an emulated machine may lack.
        let again = openat_new(&dir, c"far", OFlag::O_RDONLY, Mode::empty()).unwrap();
        let mut read = [0; 6];
        assert_eq!(File::from(again).read_at(&mut read, far).unwrap(), 4);
        assert_eq!(&read, b"beyo\0\0");
    }

    #[test]
    fn holes_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let dir = File::open(folder.path()).unwrap();
        let file = openat_new(&dir, c"sparse", OFlag::O_RDWR | OFlag::O_CREAT, Mode::S_IRUSR).unwrap();
        truncate(&file, 16 << 20).unwrap();
        write_at(&file, 8 << 20, &[IoSlice::new(b"x")]).unwrap();
        let data = next_data(&file, 0).unwrap().unwrap();
        assert!(data.contains(&(8 << 20)) && data.end <= 16 << 20, "{data:?}");
        assert_eq!(next_data(&file, data.end.max(9 << 20)).unwrap(), None);
    }
}
