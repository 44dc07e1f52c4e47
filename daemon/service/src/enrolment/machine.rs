//! The id of this machine on drives, created once and kept in `<state>/machine`.
//!
//! It is derived from `/etc/machine-id`, which must not be published (machine-id(5)), so it stays the same if the
//! state directory is lost. It is stored, because a machine with a read-only root may get a new machine id at every
//! boot.

use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::durable::{self, Loaded};

/// What systemd calls the machine.
const MACHINE_ID: &str = "/etc/machine-id";
/// An id has 37 bytes.
const LARGEST: u64 = 256;

/// The id of the machine whose state directory this is. It is made and written down where there is none.
///
/// # Errors
/// The state directory cannot be read or written.
pub(crate) fn id(state: &Path) -> io::Result<Uuid> {
    kept_or_made(state, Path::new(MACHINE_ID))
}

fn kept_or_made(state: &Path, machine_id: &Path) -> io::Result<Uuid> {
    let file = state.join("machine");
    match durable::load(&file, LARGEST, parse)? {
        Loaded::Read(id) => return Ok(id),
        Loaded::Missing | Loaded::SetAside => {}
        Loaded::Unreadable { error, aside } => {
            tracing::warn!(
                "{} cannot be read ({error}) and is written anew; it is now {}",
                file.display(),
                aside.display()
            );
        }
    }
    // One without a machine id, such as a container, is known by its state directory alone.
    let id = derived(machine_id).unwrap_or_else(Uuid::new_v4);
    durable::write(&file, format!("{id}\n").as_bytes())?;
    Ok(id)
}

fn parse(bytes: &[u8]) -> io::Result<Uuid> {
    let text = str::from_utf8(bytes).map_err(io::Error::other)?;
    let id = Uuid::try_parse(text.trim()).map_err(io::Error::other)?;
    if id.is_nil() { Err(io::Error::other("it is no id")) } else { Ok(id) }
}

/// None where systemd has not given the machine an id yet.
fn derived(machine_id: &Path) -> Option<Uuid> {
    let text = fs::read_to_string(machine_id).ok()?;
    let machine_id = Uuid::try_parse(text.trim()).ok().filter(|id| !id.is_nil())?;
    let digest = Sha256::new().chain_update("butterdock machine\n").chain_update(machine_id.as_bytes()).finalize();
    let bytes = digest.first_chunk::<16>()?;
    Some(Builder::from_custom_bytes(*bytes).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_keeps_its_id_when_its_state_is_lost() {
        let state = tempfile::tempdir().expect("a folder");
        let machine_id = state.path().join("machine-id");
        fs::write(&machine_id, "0123456789abcdef0123456789abcdef\n").expect("written");
        let id = kept_or_made(state.path(), &machine_id).expect("made");
        assert!(!id.simple().to_string().contains("0123456789"), "others are not shown the machine id: {id}");
        fs::remove_file(state.path().join("machine")).expect("lost");
        assert_eq!(kept_or_made(state.path(), &machine_id).expect("derived"), id);
        fs::write(state.path().join("machine"), [0xff, 0xfe]).expect("written");
        assert_eq!(kept_or_made(state.path(), &machine_id).expect("derived"), id);
    }

    #[test]
    fn a_machine_id_that_changes_at_boot_changes_nothing() {
        let state = tempfile::tempdir().expect("a folder");
        let machine_id = state.path().join("machine-id");
        fs::write(&machine_id, "uninitialized\n").expect("written");
        let id = kept_or_made(state.path(), &machine_id).expect("made");
        fs::write(&machine_id, "fedcba9876543210fedcba9876543210\n").expect("written");
        assert_eq!(kept_or_made(state.path(), &machine_id).expect("kept"), id);
    }
}
