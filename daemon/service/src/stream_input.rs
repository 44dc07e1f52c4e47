//! Examines a descriptor that a caller passed, without reading from it.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::time::Duration;

use crate::types::{Error, ErrorCode, TotalSource};
use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags, fcntl_getfl, fstatfs, statx};
use rustix::io::Errno;

use crate::jobs::Total;
use crate::untrusted_fd::{Lost, QuarantinedFd, borrow};

/// Timeout for examining a descriptor.
const LOOK: Duration = Duration::from_secs(2);
/// `FUSE_SUPER_MAGIC` of `linux/magic.h`.
const FUSE: u64 = 0x6573_5546;

/// Refuses a descriptor from which no stream can be read. Returns the expected number of bytes: the caller's, or the rest of the
/// file.
///
/// # Errors
/// `InvalidArgs` with a sentence; `Busy` where many of the user's descriptors do not answer.
pub(crate) async fn check(stream: QuarantinedFd, uid: u32, said: Option<u64>) -> Result<(QuarantinedFd, Total), Error> {
    match borrow(stream, uid, LOOK, move |stream| look(stream, said)).await {
        Ok((stream, total)) => Ok((stream, total?)),
        Err(Lost::Silent) => Err(refused("does not respond; pass a pipe, a socket or another file")),
        Err(Lost::System(error)) => Err(refused(&format!("cannot be examined ({error})"))),
        Err(Lost::Busy) => {
            let text = "earlier descriptors of yours still block; wait until their calls have ended";
            Err(Error::new(ErrorCode::Busy, text))
        }
    }
}

fn look(stream: impl AsFd, said: Option<u64>) -> Result<Total, Error> {
    let stream = stream.as_fd();
    let flags = fcntl_getfl(stream).map_err(|error| refused(&format!("cannot be examined ({error})")))?;
    if flags.contains(OFlags::PATH) {
        return Err(refused("was opened with O_PATH and cannot be read; open it for reading"));
    }
    if flags & OFlags::ACCMODE == OFlags::WRONLY {
        return Err(refused("is open for writing only; open it for reading, or pass the other end of the pipe"));
    }
    let facts = statx(stream, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE | StatxFlags::SIZE);
    let facts = match facts {
        Ok(facts) => facts,
        // A filesystem in user space that only its owner may use.
        Err(Errno::ACCESS) => return Err(slow()),
        Err(error) => return Err(refused(&format!("cannot be examined ({error})"))),
    };
    match FileType::from_raw_mode(facts.stx_mode.into()) {
        FileType::Fifo | FileType::Socket => Ok(total(said, None)),
        FileType::RegularFile if is_in_user_space(stream)? => Err(slow()),
        FileType::RegularFile => Ok(total(said, rest(stream, facts.stx_size))),
        FileType::Directory => Err(refused("is a directory; pass a pipe, a socket or the file that btrfs send wrote")),
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Symlink | FileType::Unknown => {
            Err(refused("is a device or another special file; pass a pipe, a socket or a file"))
        }
    }
}

/// No signal ends a process that waits for a read from such a filesystem: the caller could make a worker hold its volume
/// without limit.
fn is_in_user_space(file: BorrowedFd<'_>) -> Result<bool, Error> {
    let facts = fstatfs(file).map_err(|error| refused(&format!("cannot be examined ({error})")))?;
    Ok(u64::try_from(facts.f_type).is_ok_and(|kind| kind == FUSE))
}

fn slow() -> Error {
    refused(
        "is on a filesystem in user space (FUSE), which could block a worker; pass a pipe: cat FILE | butterdock \
         receive VOLUME -",
    )
}

/// The caller's number precedes the file's size: the file may hold more than the stream.
fn total(said: Option<u64>, rest: Option<u64>) -> Total {
    match (said, rest) {
        (Some(bytes), _) if bytes != 0 => Total { bytes, source: TotalSource::Client },
        (_, Some(bytes)) if bytes != 0 => Total { bytes, source: TotalSource::File },
        _ => Total { bytes: 0, source: TotalSource::Unknown },
    }
}

fn rest(file: BorrowedFd<'_>, size: u64) -> Option<u64> {
    Some(size.saturating_sub(position(file)?))
}

/// The position in a file, from `proc_pid_fdinfo(5)`. lseek(2) would wait for a running read of the same open file, and the
/// caller may have one that never ends.
fn position(file: BorrowedFd<'_>) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("pos:")?.trim().parse().ok())
}

fn refused(why: &str) -> Error {
    Error::InvalidArgs(format!("the stream's descriptor {why}"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _, Write as _};
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn refusal(stream: impl AsFd) -> String {
        look(stream, None).map(drop).expect_err("refused").to_string()
    }

    #[test]
    fn pipes_sockets_and_files_are_accepted() {
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        assert_eq!(look(&reader, Some(5)).map(|total| total.bytes), Ok(5));
        let (socket, _other) = UnixStream::pair().expect("a pair");
        assert_eq!(look(&socket, None).map(|total| total.source), Ok(TotalSource::Unknown));
    }

    #[test]
    fn the_total_of_a_file_is_its_unread_rest() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&[0; 10]).expect("written");
        file.rewind().expect("rewound");
        file.read_exact(&mut [0; 4]).expect("read");
        let total = look(&file, None).expect("taken");
        assert_eq!((total.bytes, total.source), (6, TotalSource::File));
        assert_eq!(look(&file, Some(7)).map(|total| total.source), Ok(TotalSource::Client));
    }

    #[test]
    fn unreadable_descriptors_are_refused_with_the_reason() {
        assert!(refusal(File::open("/").expect("opened")).contains("is a directory"));
        assert!(refusal(File::open("/dev/null").expect("opened")).contains("is a device"));
        let (_reader, writer) = std::io::pipe().expect("a pipe");
        assert!(refusal(&writer).contains("for writing only"));
        let path = OFlags::PATH.bits().cast_signed();
        let path = File::options().read(true).custom_flags(path).open("/proc/version").expect("opened");
        assert!(refusal(path).contains("O_PATH"));
    }
}
