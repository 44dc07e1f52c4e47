//! Checks the descriptors of an order before the job uses them. Some of them come from a client, so they may be anything.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};

use crate::packet;

/// Why the descriptors of an order cannot be used. The text contains no names, so all users may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DescriptorError(pub &'static str);

/// The stream and the destination directory. A `quarantined` stream is still inside a socket.
pub(crate) fn stream_and_directory(
    descriptors: Vec<OwnedFd>,
    quarantined: bool,
) -> Result<(OwnedFd, OwnedFd), DescriptorError> {
    let Ok([input, destination]) = <[OwnedFd; 2]>::try_from(descriptors) else {
        return Err(DescriptorError(
            "the order does not come with two descriptors, a stream and a destination; start it again",
        ));
    };
    let input = if quarantined { packet::take_descriptor(&input).map_err(|_error| UNKNOWN)? } else { input };
    readable(&input)?;
    Ok((input, directory(destination)?))
}

/// The directories of a backup: the source, the folder for its snapshots, and the destination; or of a restore: the snapshot, the
/// folder that has it, and the destination.
pub(crate) fn three_directories(descriptors: Vec<OwnedFd>) -> Result<[OwnedFd; 3], DescriptorError> {
    match <[OwnedFd; 3]>::try_from(descriptors) {
        Ok([source, folder, destination]) => Ok([directory(source)?, directory(folder)?, directory(destination)?]),
        Err(_) => Err(DescriptorError("the order does not come with its three directories; start it again")),
    }
}

/// The directories of an import: the folder of stream files, and the destination.
pub(crate) fn two_directories(descriptors: Vec<OwnedFd>) -> Result<[OwnedFd; 2], DescriptorError> {
    match <[OwnedFd; 2]>::try_from(descriptors) {
        Ok([folder, destination]) => Ok([directory(folder)?, directory(destination)?]),
        Err(_) => Err(DescriptorError("the order does not come with its two directories; start it again")),
    }
}

/// The end of a pipe that is written to, and a directory.
pub(crate) fn pipe_and_directory(descriptors: Vec<OwnedFd>) -> Result<(OwnedFd, OwnedFd), DescriptorError> {
    let Ok([pipe, place]) = <[OwnedFd; 2]>::try_from(descriptors) else {
        return Err(DescriptorError("the order does not come with a pipe and a directory; start it again"));
    };
    if kind(&pipe)? != FileType::Fifo {
        return Err(DescriptorError("the order does not come with a pipe; start it again"));
    }
    Ok((pipe, directory(place)?))
}

/// The only directory of an order.
pub(crate) fn one_directory(descriptors: Vec<OwnedFd>) -> Result<OwnedFd, DescriptorError> {
    match <[OwnedFd; 1]>::try_from(descriptors) {
        Ok([destination]) => directory(destination),
        Err(_) => {
            Err(DescriptorError("the order does not come with the one descriptor of a directory; start it again"))
        }
    }
}

/// Checks that a stream can be read from it.
fn readable(input: impl AsFd) -> Result<(), DescriptorError> {
    let flags = fcntl_getfl(&input).map_err(|_errno| UNKNOWN)?;
    if flags.contains(OFlags::PATH) {
        return Err(DescriptorError("the stream was opened as a path only (O_PATH): open it for reading"));
    }
    if flags & OFlags::RWMODE == OFlags::WRONLY {
        return Err(DescriptorError("the stream was opened for writing: pass a descriptor that is open for reading"));
    }
    match kind(&input)? {
        FileType::Directory => {
            Err(DescriptorError("a directory was given as the stream: open the file that btrfs send wrote"))
        }
        FileType::RegularFile
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice => Ok(()),
        FileType::Symlink | FileType::Unknown => Err(UNKNOWN),
    }
}

const UNKNOWN: DescriptorError = DescriptorError("a descriptor cannot be examined: pass a pipe, a file or a socket");

fn directory(descriptor: OwnedFd) -> Result<OwnedFd, DescriptorError> {
    let flags = fcntl_getfl(&descriptor).map_err(|_errno| UNKNOWN)?;
    if flags.contains(OFlags::PATH) || kind(&descriptor)? != FileType::Directory {
        return Err(DescriptorError("a directory of the order is no directory that is open for reading"));
    }
    Ok(descriptor)
}

fn kind(descriptor: impl AsFd) -> Result<FileType, DescriptorError> {
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
    fn files_devices_pipes_and_sockets_are_streams() {
        readable(opened("/proc/self/stat", OFlags::RDONLY)).expect("a file");
        readable(opened("/dev/null", OFlags::RDWR)).expect("a device");
        readable(io::pipe().expect("a pipe").0).expect("a pipe");
        readable(UnixStream::pair().expect("a pair").0).expect("a socket");
    }

    #[test]
    fn an_unreadable_stream_is_refused_with_the_reason() {
        assert!(refusal(opened("/", OFlags::RDONLY)).contains("a directory"));
        assert!(refusal(opened("/proc/self/stat", OFlags::PATH)).contains("O_PATH"));
        assert!(refusal(opened("/dev/null", OFlags::WRONLY)).contains("for writing"));
        assert!(refusal(io::pipe().expect("a pipe").1).contains("for writing"));
    }

    #[test]
    fn the_destination_is_an_open_directory() {
        let stream = || opened("/dev/null", OFlags::RDONLY);
        assert!(stream_and_directory(vec![stream(), opened("/", OFlags::RDONLY)], false).is_ok());
        assert!(stream_and_directory(vec![stream(), opened("/", OFlags::PATH)], false).is_err());
        assert!(stream_and_directory(vec![stream(), stream()], false).is_err());
        assert!(
            stream_and_directory(vec![stream()], false).is_err() && stream_and_directory(Vec::new(), false).is_err()
        );
        assert!(stream_and_directory(vec![stream(), opened("/", OFlags::RDONLY)], true).is_err(), "no socket");
        assert!(one_directory(vec![opened("/", OFlags::RDONLY)]).is_ok());
        assert!(one_directory(vec![opened("/", OFlags::RDONLY), stream()]).is_err());
    }
}
