//! The key files that the service made for containers, in `<state>/keys`: each with the container's uuid as its name, and for root
//! alone. With one, the drive is unlocked when it is plugged in.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use butterdock_btrfs::SecretMemory;
use butterdock_btrfs::system::random_bytes;
use uuid::Uuid;

use super::Enrolment;
use crate::device::{Error, Result};
use crate::durable;

/// Random bytes of a key, in groups of sixteen.
const GROUPS: usize = 4;

/// The folder. Every call blocks.
#[derive(Debug, Clone)]
pub(crate) struct KeyFiles {
    folder: PathBuf,
}

impl KeyFiles {
    /// Makes nothing yet.
    pub(super) fn below(state: &Path) -> Self {
        Self { folder: state.join("keys") }
    }

    /// Where the key of a container is.
    pub(crate) fn file(&self, luks: Uuid) -> PathBuf {
        self.folder.join(luks.to_string())
    }

    /// Makes a new key for a container, durably. Answers where it is.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) fn make(&self, luks: Uuid) -> Result<PathBuf> {
        let doing = || format!("making a key file in {}", self.folder.display());
        let system = |fault: butterdock_btrfs::Error| Error::system(doing())(fault.errno);
        let mut key = SecretMemory::zeroed(GROUPS * 16).map_err(system)?;
        for group in key.chunks_mut(16) {
            group.copy_from_slice(&random_bytes().map_err(system)?);
        }
        let file = self.file(luks);
        durable::write(&file, &key).map_err(Error::system(doing()))?;
        Ok(file)
    }

    /// Removes the key of a container, where there is one. The key slot on the drive stays.
    pub(crate) fn remove(&self, luks: Uuid) {
        let file = self.file(luks);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!("cannot remove the key file {}: {error}; remove it", file.display());
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Removes what a service left that was killed before it had enrolled the drive.
    pub(super) fn sweep(&self, enrolments: &[Enrolment]) {
        let members =
            || enrolments.iter().filter(|enrolment| enrolment.own_key).flat_map(|enrolment| &enrolment.members);
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = files.filter_map(|entry| Uuid::try_parse(entry.file_name().to_str()?).ok());
        for left in names.filter(|luks| !members().any(|member| member.luks == Some(*luks))) {
            self.remove(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Member;
    use super::*;

    #[test]
    fn a_key_is_random_and_for_its_owner_alone() {
        let state = tempfile::tempdir().expect("a folder");
        let keys = KeyFiles::below(state.path());
        let [one, other] = [Uuid::new_v4(), Uuid::new_v4()].map(|luks| keys.make(luks).expect("made"));
        let bytes = [&one, &other].map(|file| fs::read(file).expect("read"));
        assert!(bytes.iter().all(|bytes| bytes.len() == 64) && bytes[0] != bytes[1]);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&one), mode(&state.path().join("keys"))), (0o600, 0o700));
    }

    #[test]
    fn keys_of_no_enrolment_are_removed() {
        let state = tempfile::tempdir().expect("a folder");
        let keys = KeyFiles::below(state.path());
        let (kept, left) = (Uuid::new_v4(), Uuid::new_v4());
        let [kept_file, left_file] = [kept, left].map(|luks| keys.make(luks).expect("made"));
        let member = Member { device: Uuid::new_v4(), luks: Some(kept), serial: String::new(), size: 1 };
        let mut enrolment = Enrolment::new(Uuid::new_v4(), "Blue".to_owned(), vec![member], 7);
        enrolment.own_key = true;
        keys.sweep(std::slice::from_ref(&enrolment));
        assert!(kept_file.exists() && !left_file.exists());
        enrolment.own_key = false;
        keys.sweep(&[enrolment]);
        assert!(!kept_file.exists());
    }
}
