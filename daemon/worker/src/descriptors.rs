//! Checks the descriptors of an order before they are used.
//!
//! A client passed them through the daemon, so each may be anything.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};

use crate::packet;

/// Why an order cannot be carried out with what came with it. It holds no name, so all users may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unfit(pub &'static str);

/// A stream's descriptor and its destination's.
pub(crate) fn ends(descriptors: Vec<OwnedFd>, quarantined: bool) -> Result<(OwnedFd, OwnedFd), Unfit> {
    let Ok([input, destination]) = <[OwnedFd; 2]>::try_from(descriptors) else {
        return Err(Unfit("the order does not come with two descriptors, a stream and a destination; start it again"));
    };
    let input = if quarantined { packet::take_descriptor(&input).map_err(|_error| UNKNOWN)? } else { input };
    readable(&input)?;
    Ok((input, directory(destination)?))
}

/// The directories of a backup: the source's, the folder for its snapshots, and the destination's.
pub(crate) fn three(descriptors: Vec<OwnedFd>) -> Result<[OwnedFd; 3], Unfit> {
    match <[OwnedFd; 3]>::try_from(descriptors) {
        Ok([source, folder, destination]) => Ok([directory(source)?, directory(folder)?, directory(destination)?]),
        Err(_) => Err(Unfit("the order does not come with the three directories of a backup; start it again")),
    }
}

/// The directories of a restore or an import: the snapshot's root or the folder, and the destination.
pub(crate) fn two(descriptors: Vec<OwnedFd>) -> Result<[OwnedFd; 2], Unfit> {
    match <[OwnedFd; 2]>::try_from(descriptors) {
        Ok([snapshot, destination]) => Ok([directory(snapshot)?, directory(destination)?]),
        Err(_) => Err(Unfit("the order does not come with the two directories that it is about; start it again")),
    }
}

/// The one descriptor of a directory.
pub(crate) fn alone(descriptors: Vec<OwnedFd>) -> Result<OwnedFd, Unfit> {
    match <[OwnedFd; 1]>::try_from(descriptors) {
        Ok([destination]) => directory(destination),
        Err(_) => Err(Unfit("the order does not come with the one descriptor of a directory; start it again")),
    }
}

/// Whether a stream can be read from it.
pub(crate) fn readable(input: impl AsFd) -> Result<(), Unfit> {
    let flags = fcntl_getfl(&input).map_err(|_errno| UNKNOWN)?;
    if flags.contains(OFlags::PATH) {
        return Err(Unfit("the stream was opened as a path only (O_PATH): open it for reading"));
    }
    if flags & OFlags::RWMODE == OFlags::WRONLY {
        return Err(Unfit("the stream was opened for writing: hand over the end that can be read"));
    }
    match kind(&input)? {
        FileType::Directory => Err(Unfit("a directory was given as the stream: open the file that btrfs send wrote")),
        FileType::RegularFile
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice => Ok(()),
        FileType::Symlink | FileType::Unknown => Err(UNKNOWN),
    }
}

const UNKNOWN: Unfit = Unfit("a descriptor cannot be looked at: hand over a pipe, a file or a socket");

fn directory(destination: OwnedFd) -> Result<OwnedFd, Unfit> {
    let flags = fcntl_getfl(&destination).map_err(|_errno| UNKNOWN)?;
    if flags.contains(OFlags::PATH) || kind(&destination)? != FileType::Directory {
        return Err(Unfit("the destination is no directory that was opened for reading"));
    }
    Ok(destination)
}

fn kind(descriptor: impl AsFd) -> Result<FileType, Unfit> {
    fstat(descriptor).map(|stat| FileType::from_raw_mode(stat.st_mode)).map_err(|_errno| UNKNOWN)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::os::unix::net::UnixStream;

    use rustix::fs::{Mode, open};

    use super::*;

    fn opened(path: &str, flags: OFlags) -> OwnedFd {
        open(path, flags | OFlags::CLOEXEC, Mode::empty()).expect("opened")
    }

    fn refusal(input: impl AsFd) -> &'static str {
        readable(input).expect_err("refused").0
    }

    #[test]
    fn what_can_be_read_is_a_stream() {
        readable(opened("/proc/self/stat", OFlags::RDONLY)).expect("a file");
        readable(opened("/dev/null", OFlags::RDWR)).expect("a device");
        readable(io::pipe().expect("a pipe").0).expect("a pipe");
        readable(UnixStream::pair().expect("a pair").0).expect("a socket");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_reason() {
        assert!(refusal(opened("/", OFlags::RDONLY)).contains("a directory"));
        assert!(refusal(opened("/proc/self/stat", OFlags::PATH)).contains("O_PATH"));
        assert!(refusal(opened("/dev/null", OFlags::WRONLY)).contains("for writing"));
        assert!(refusal(io::pipe().expect("a pipe").1).contains("for writing"));
    }

    #[test]
    fn the_destination_is_an_open_directory() {
        let stream = || opened("/dev/null", OFlags::RDONLY);
        assert!(ends(vec![stream(), opened("/", OFlags::RDONLY)], false).is_ok());
        assert!(ends(vec![stream(), opened("/", OFlags::PATH)], false).is_err());
        assert!(ends(vec![stream(), stream()], false).is_err());
        assert!(ends(vec![stream()], false).is_err() && ends(Vec::new(), false).is_err());
        assert!(ends(vec![stream(), opened("/", OFlags::RDONLY)], true).is_err(), "nothing is parked in a stream");
        assert!(alone(vec![opened("/", OFlags::RDONLY)]).is_ok());
        assert!(alone(vec![opened("/", OFlags::RDONLY), stream()]).is_err());
    }
}
