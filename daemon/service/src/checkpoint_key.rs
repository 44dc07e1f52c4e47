//! The key of this machine's checkpoints, made once and kept in `<state>/checkpoint-key`.
//!
//! It authenticates the journal of an interrupted transfer on a drive, so that only this machine can write one that it uses. Without the
//! key, interrupted transfers start over.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use butterdock_receive::CheckpointKey;

use crate::config::Config;
use crate::durable::{self, Loaded};

/// A key has 32 bytes.
const LARGEST: u64 = 64;

/// The key in the service's state directory: that of systemd's `STATE_DIRECTORY`, or `/var/lib/butterdock`. It is made if there is none.
///
/// # Errors
/// The state directory cannot be read or written.
pub fn checkpoint_key() -> io::Result<CheckpointKey> {
    let state = std::env::var_os("STATE_DIRECTORY").map_or_else(|| Config::default().state, Into::into);
    kept_or_made(&state)
}

fn kept_or_made(state: &Path) -> io::Result<CheckpointKey> {
    let file = state.join("checkpoint-key");
    DirBuilder::new().mode(0o700).recursive(true).create(state)?;
    // Of two processes that find none, one makes it.
    let lock = File::open(state)?;
    lock.lock()?;
    match durable::load(&file, LARGEST, parse)? {
        Loaded::Read(key) => return Ok(key),
        Loaded::Missing | Loaded::SetAside => {}
        Loaded::Unreadable { error, aside } => {
            tracing::warn!(
                "{} cannot be read ({error}) and is made anew; it is now {}. Interrupted transfers start over",
                file.display(),
                aside.display()
            );
        }
    }
    let key = CheckpointKey::random().map_err(|fault| io::Error::from_raw_os_error(fault.errno as i32))?;
    durable::write(&file, key.as_bytes())?;
    Ok(key)
}

fn parse(bytes: &[u8]) -> io::Result<CheckpointKey> {
    bytes.try_into().map(CheckpointKey::from_bytes).map_err(|_length| io::Error::other("it has another length"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_for_root_alone() {
        let state = tempfile::tempdir().expect("a folder");
        let made = kept_or_made(state.path()).expect("made");
        assert_eq!(kept_or_made(state.path()).expect("kept"), made);
        let file = state.path().join("checkpoint-key");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        let other = tempfile::tempdir().expect("a folder");
        assert_ne!(kept_or_made(other.path()).expect("made"), made, "the key is not random");
    }

    #[test]
    fn a_damaged_key_is_replaced() {
        let state = tempfile::tempdir().expect("a folder");
        fs::write(state.path().join("checkpoint-key"), "short").expect("written");
        let made = kept_or_made(state.path()).expect("made");
        assert_eq!(kept_or_made(state.path()).expect("kept"), made);
    }
}
