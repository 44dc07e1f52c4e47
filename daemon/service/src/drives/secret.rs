//! Reads the secret that unlocks a drive. The writer of a pipe may never close it, so dedicated threads read it, which
//! may block without affecting those for drives and files.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use crate::types::{Error, ErrorCode, SECRET_MAX};
use butterdock_btrfs::SecretMemory;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;

use crate::device::Secret;
use crate::untrusted_fd::{Lost, QuarantinedFd, borrow};

/// Timeout for the end of the secret, which a person has typed before.
const PATIENCE: Duration = Duration::from_secs(10);
/// Timeout for a thread that reads a file which does not answer.
const LOST: Duration = Duration::from_secs(12);

/// What the descriptor gives, up to its end.
///
/// # Errors
/// `InvalidArgs` where it cannot be read, is empty or too long, or does not end; `Busy` where many of the user's do not.
pub(super) async fn of_caller(secret: QuarantinedFd, uid: u32) -> Result<Secret, Error> {
    match borrow(secret, uid, LOST, |from| whole(from, PATIENCE)).await {
        Ok((quarantined, bytes)) => {
            drop(quarantined);
            bytes.map(Secret::new)
        }
        Err(Lost::Silent) => Err(endless()),
        Err(Lost::System(error)) => Err(unread(&error)),
        Err(Lost::Busy) => {
            let text = "earlier descriptors of yours still block; wait until their calls have ended";
            Err(Error::new(ErrorCode::Busy, text))
        }
    }
}

fn whole(from: BorrowedFd<'_>, limit: Duration) -> Result<SecretMemory, Error> {
    let end = Instant::now() + limit;
    let mut bytes = SecretMemory::zeroed(SECRET_MAX + 1).map_err(|fault| unread(&fault.errno.into()))?;
    let mut length = 0_usize;
    let done = loop {
        let left = PollTimeout::try_from(end.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(from, PollFlags::POLLIN)], left) {
            Ok(0) => break Err(endless()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => break Err(unread(&errno.into())),
        }
        match read(from, bytes.get_mut(length..).unwrap_or_default()) {
            Ok(0) => break Ok(()),
            Ok(count) => length = length.saturating_add(count),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => break Err(unread(&errno.into())),
        }
    };
    let good = done.and_then(|()| match length {
        0 => Err(Error::InvalidArgs("the secret is empty; pass the passphrase or the key".to_owned())),
        1..=SECRET_MAX => Ok(()),
        _ => Err(Error::InvalidArgs(format!("the secret has more than {SECRET_MAX} bytes; check that it is the key"))),
    });
    bytes.truncate(length);
    good.map(|()| bytes)
}

fn endless() -> Error {
    let seconds = PATIENCE.as_secs();
    Error::InvalidArgs(format!(
        "the secret did not end within {seconds} seconds; close the writing end of the pipe, or pass a file"
    ))
}

fn unread(error: &io::Error) -> Error {
    Error::InvalidArgs(format!("cannot read the secret ({error}); pass a pipe or a file that is open for reading"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Write as _, pipe};
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_secret_includes_its_newline() {
        let (reader, mut writer) = pipe().expect("a pipe");
        writer.write_all(b"pass").expect("written");
        writer.write_all(b"phrase\n").expect("written");
        drop(writer);
        assert_eq!(*whole(reader.as_fd(), PATIENCE).expect("read"), *b"passphrase\n");
    }

    #[test]
    fn one_that_does_not_end_gives_its_thread_back() {
        let (reader, mut writer) = pipe().expect("a pipe");
        writer.write_all(b"pass").expect("written");
        let refused = whole(reader.as_fd(), Duration::from_millis(100)).expect_err("it does not end");
        assert!(refused.to_string().contains("did not end within"), "{refused}");
    }

    #[test]
    fn empty_long_or_unreadable_secrets_are_refused() {
        let null = File::open("/dev/null").expect("open");
        let zero = File::open("/dev/zero").expect("open");
        let deaf = File::options().write(true).open("/dev/null").expect("open");
        for (from, words) in [(null, "is empty"), (zero, "more than 65536"), (deaf, "cannot read the secret")] {
            let refused = whole(from.as_fd(), PATIENCE).expect_err("refused");
            assert!(refused.to_string().contains(words), "{refused}");
        }
    }

    #[tokio::test]
    async fn endless_secrets_are_limited_per_user() {
        let (reader, writer) = pipe().expect("a pipe");
        let quarantined = || QuarantinedFd::new(reader.try_clone().expect("a copy").into(), None).expect("parked");
        let asked: tokio::task::JoinSet<_> = (0..6).map(|_| of_caller(quarantined(), 7003)).collect();
        let other = pipe().map(|(reader, mut writer)| {
            writer.write_all(b"x").expect("written");
            QuarantinedFd::new(reader.into(), None).expect("parked")
        });
        of_caller(other.expect("a pipe"), 7004).await.expect("another user's is read at once");
        // The first four wait for its end, the others for a place.
        let refused = asked.join_all().await;
        let busy =
            refused.iter().filter(|refused| matches!(refused, Err(error) if error.code() == ErrorCode::Busy)).count();
        assert_eq!((busy, refused.len()), (2, 6));
        drop(writer);
    }
}
