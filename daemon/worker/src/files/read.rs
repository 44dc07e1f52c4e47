//! Copies a file into a pipe.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use butterdock_btrfs::file::read_at;
use butterdock_btrfs::{Errno, Error as Fault, best_effort};
use butterdock_receive::{Control, StreamPath};
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno as PipeErrno, ioctl_fionread};

use super::FileEvent;
use super::cause::{FileCause, FileError, Side, reading};
use super::tree::{Tree, open_file};

/// Bytes that are read at once.
const PIECE: usize = 1 << 20;
/// The wanted size of the pipe: the largest that users get by default.
const PIPE: i32 = 1 << 20;
/// The first time between two looks at a pipe that is being read.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The time between two looks for a cancel.
const TICK: Duration = Duration::from_millis(100);
/// A reader that takes longer for a piece loses the pipe: the drive stays mounted meanwhile.
const PIECE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// A file that is read.
#[derive(Debug)]
pub(super) struct Read<'r> {
    pub tree: Tree<'r>,
    pub path: &'r StreamPath,
    pub pipe: BorrowedFd<'r>,
    pub control: &'r Control,
}

impl Read<'_> {
    /// Copies the whole file. Holes become zeroes.
    pub(super) fn run(&self, report: &dyn Fn(FileEvent)) -> Result<(), FileError> {
        let path = self.path.as_bytes();
        let not_a_file = || FileError::because(FileCause::NotAFile, path);
        let (parent, stat) = self.tree.find(self.path).map_err(reading(path))?;
        if !stat.is_file() {
            return Err(not_a_file());
        }
        let (file, stat) = open_file(&parent, self.path.name()).map_err(reading(path))?.ok_or_else(not_a_file)?;
        report(FileEvent::Total { bytes: stat.size });
        self.copy(&file, PIECE_TIMEOUT)
    }

    fn copy(&self, file: &OwnedFd, timeout: Duration) -> Result<(), FileError> {
        // The end of the pipe for writing is the worker's alone.
        fcntl_setfl(self.pipe, OFlags::NONBLOCK).map_err(|errno| self.of_pipe(errno))?;
        // With a smaller pipe the copy is slower.
        best_effort(fcntl(self.pipe, FcntlArg::F_SETPIPE_SZ(PIPE)));
        let (mut buffer, mut offset) = (vec![0; PIECE], 0_u64);
        loop {
            let read = read_at(file, offset, &mut buffer).map_err(reading(self.path.as_bytes()))?;
            if read == 0 {
                return self.drain(timeout);
            }
            self.write(buffer.get(..read).unwrap_or_default(), timeout)?;
            offset = offset.saturating_add(read as u64);
        }
    }

    /// Writes a piece. A part that is read does not renew the timeout: a byte now and then would keep the drive mounted.
    fn write(&self, mut rest: &[u8], timeout: Duration) -> Result<(), FileError> {
        let begun = Instant::now();
        while !rest.is_empty() {
            if self.control.is_cancelled() {
                return Err(FileError::cancelled());
            }
            match rustix::io::write(self.pipe, rest) {
                Ok(written) => {
                    self.control.pass(written as u64);
                    rest = rest.get(written..).unwrap_or_default();
                }
                Err(PipeErrno::INTR) => {}
                Err(PipeErrno::AGAIN) if begun.elapsed() > timeout => {
                    return Err(FileError::of_cause(FileCause::ReaderIdle));
                }
                Err(PipeErrno::AGAIN) => self.await_room()?,
                Err(errno) => return Err(self.of_pipe(errno)),
            }
        }
        Ok(())
    }

    /// Waits until the reader has read all. So the job lasts for as long as its pipe has content, and counts as one of the user.
    fn drain(&self, timeout: Duration) -> Result<(), FileError> {
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        while ioctl_fionread(self.pipe).map_err(|errno| self.of_pipe(errno))? > 0 {
            if self.control.is_cancelled() {
                return Err(FileError::cancelled());
            }
            if begun.elapsed() > timeout {
                return Err(FileError::of_cause(FileCause::ReaderIdle));
            }
            if self.poll(PollFlags::empty(), pause)?.contains(PollFlags::POLLERR) {
                return Err(FileError::of_cause(FileCause::ReaderGone));
            }
            pause = pause.saturating_mul(2).min(TICK);
        }
        Ok(())
    }

    fn await_room(&self) -> Result<(), FileError> {
        self.poll(PollFlags::POLLOUT, TICK).map(drop)
    }

    /// Waits for these events on the pipe, or for its reader to leave.
    fn poll(&self, events: PollFlags, timeout: Duration) -> Result<PollFlags, FileError> {
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
        let mut polled = [PollFd::new(self.pipe, events)];
        match poll(&mut polled, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(polled.iter().find_map(PollFd::revents).unwrap_or(PollFlags::empty())),
            Err(errno) => Err(FileError::of_fault(Side::Snapshot, self.path.as_bytes(), Fault { call: "poll", errno })),
        }
    }

    fn of_pipe(&self, errno: PipeErrno) -> FileError {
        if errno == PipeErrno::PIPE {
            return FileError::of_cause(FileCause::ReaderGone);
        }
        let fault = Fault { call: "write to the pipe", errno: Errno::from_raw(errno.raw_os_error()) };
        FileError::of_fault(Side::Snapshot, self.path.as_bytes(), fault)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{PipeReader, Read as _, pipe};
    use std::os::fd::AsFd as _;

    use super::*;

    fn read(root: &File, path: &[u8], pipe: &OwnedFd, control: &Control) -> Result<(), FileError> {
        let path = StreamPath::new(path).expect("a path");
        let tree = Tree::new(root.as_fd()).expect("a tree");
        Read { tree, path: &path, pipe: pipe.as_fd(), control }.run(&|_event| {})
    }

    fn ends() -> (PipeReader, OwnedFd) {
        let (reader, writer) = pipe().expect("a pipe");
        (reader, writer.into())
    }

    #[test]
    fn a_sparse_file_arrives_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::create(folder.path().join("sparse")).expect("created");
        file.set_len(20 << 20).expect("set");
        std::os::unix::fs::FileExt::write_at(&file, b"end", (20 << 20) - 3).expect("written");
        let (mut reader, writer) = ends();
        let (root, control) = (File::open(folder.path()).expect("opened"), Control::new().expect("a control"));
        let got = std::thread::scope(|threads| {
            let copying = threads.spawn(|| {
                let copied = read(&root, b"sparse", &writer, &control);
                drop(writer);
                copied
            });
            let mut got = Vec::new();
            reader.read_to_end(&mut got).expect("read");
            copying.join().expect("no panic").expect("copied");
            got
        });
        assert!(got.len() == 20 << 20 && got.ends_with(b"\0end"));
        assert_eq!(control.progress().bytes, 20 << 20);
    }

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).expect("linked");
        fs::create_dir(folder.path().join("directory")).expect("made");
        let (root, control) = (File::open(folder.path()).expect("opened"), Control::new().expect("a control"));
        let (_reader, writer) = ends();
        for path in [&b"pipe"[..], b"link", b"directory", b""] {
            let error = read(&root, path, &writer, &control).expect_err("refused");
            assert_eq!(error.cause, Some(FileCause::NotAFile), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn a_reader_of_a_byte_now_and_then_loses_the_pipe() {
        let folder = tempfile::tempdir().expect("a folder");
        File::create(folder.path().join("large")).expect("created").set_len(1 << 30).expect("set");
        let (root, control) = (File::open(folder.path()).expect("opened"), Control::new().expect("a control"));
        let (mut reader, writer) = ends();
        let path = StreamPath::new(b"large").expect("a path");
        let tree = Tree::new(root.as_fd()).expect("a tree");
        let (parent, _stat) = tree.find(&path).expect("found");
        let (file, _stat) = open_file(&parent, path.name()).expect("opened").expect("a file");
        let copied = std::thread::scope(|threads| {
            threads.spawn(move || {
                // It ends with the pipe.
                while reader.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            let copied = Read { tree, path: &path, pipe: writer.as_fd(), control: &control }
                .copy(&file, Duration::from_millis(200));
            drop(writer);
            copied
        });
        assert_eq!(copied.expect_err("ended").cause, Some(FileCause::ReaderIdle));
    }

    #[test]
    fn a_small_file_that_is_not_read_keeps_its_job() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("small"), "text").expect("written");
        let (root, control) = (File::open(folder.path()).expect("opened"), Control::new().expect("a control"));
        let (mut reader, writer) = ends();
        std::thread::scope(|threads| {
            let reading = threads.spawn(|| read(&root, b"small", &writer, &control));
            let mut text = [0; 4];
            reader.read_exact(&mut text).expect("read");
            assert_eq!((&text, reading.join().expect("joined")), (b"text", Ok(())));
        });
        let (reader, writer) = ends();
        std::thread::scope(|threads| {
            let reading = threads.spawn(|| read(&root, b"small", &writer, &control));
            while ioctl_fionread(&reader).expect("asked") == 0 {
                std::thread::yield_now();
            }
            assert!(!reading.is_finished(), "its content is in the pipe");
            drop(reader);
            assert_eq!(reading.join().expect("joined").expect_err("ended").cause, Some(FileCause::ReaderGone));
        });
        let (_reader, writer) = ends();
        let (path, tree) = (StreamPath::new(b"small").expect("a path"), Tree::new(root.as_fd()).expect("a tree"));
        let (parent, _stat) = tree.find(&path).expect("found");
        let (file, _stat) = open_file(&parent, path.name()).expect("opened").expect("a file");
        let unread = Read { tree, path: &path, pipe: writer.as_fd(), control: &control };
        let error = unread.copy(&file, Duration::from_millis(100)).expect_err("ended");
        assert_eq!(error.cause, Some(FileCause::ReaderIdle));
    }

    #[test]
    fn a_reader_that_leaves_or_a_cancel_ends_it() {
        let folder = tempfile::tempdir().expect("a folder");
        File::create(folder.path().join("large")).expect("created").set_len(1 << 30).expect("set");
        let (root, control) = (File::open(folder.path()).expect("opened"), Control::new().expect("a control"));
        let (reader, writer) = ends();
        drop(reader);
        let error = read(&root, b"large", &writer, &control).expect_err("ended");
        assert_eq!(error.cause, Some(FileCause::ReaderGone));
        let (_reader, writer) = ends();
        control.cancel();
        let error = read(&root, b"large", &writer, &control).expect_err("ended");
        assert_eq!((error.kind, error.cause), (butterdock_receive::ErrorKind::Cancelled, None));
    }
}
