//! The token on a drive: who it belongs to, and a word that changes at every visit, so that a copy made earlier is noticed.
//!
//! ```text
//! state: next = new      durable, before the drive has it: whatever the power does, one of two words is on the drive
//! drive: nonce = new     written beside, synced, renamed, the directory synced
//! state: nonce = new     from here on the word before is that of a copy
//! ```

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{AtFlags, Mode, OFlags, fsync, openat, renameat, unlinkat};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::enrolment::{Enrolment, Register};
use super::error::{Error, Result};
use super::node::small;

/// Its name, at the top of the drive's filesystem.
pub(crate) const NAME: &str = ".butterdock-drive";

/// Whether the drive mounted at `root` is the enrolled one, which visits now: the word on it and in `register` changes.
///
/// # Errors
/// The token is missing, another drive's, or older than it should be; or it cannot be written.
pub(crate) fn visit(root: impl AsFd, enrolment: &mut Enrolment, register: &Register) -> Result<()> {
    let name = shown(enrolment);
    let Some(token) = read(&root)? else {
        return Err(Error::refused(format!(
            "{name} has no token: since it was enrolled it was formatted, another drive was copied onto it, or the file {NAME} \
             was deleted or damaged; if it is yours, forget it and enrol it again"
        )));
    };
    if token.id != enrolment.id {
        return Err(Error::refused(format!(
            "{name} was enrolled as another drive since; forget it and enrol it again"
        )));
    }
    if token.nonce != enrolment.nonce && Some(token.nonce) != enrolment.next_nonce {
        return Err(Error::refused(format!(
            "this is a copy of {name} that was made earlier, or was put back from one; plug in the drive itself, or forget \
             it and enrol this one"
        )));
    }
    enrolment.nonce = token.nonce;
    write_anew(root, enrolment, register)
}

/// Writes the first token of a new enrolment, and the enrolment. Whatever token was there is gone.
///
/// # Errors
/// The drive or the state directory cannot be written.
pub(crate) fn begin(root: impl AsFd, enrolment: &mut Enrolment, register: &Register) -> Result<()> {
    write_anew(root, enrolment, register)
}

/// What the file holds. Unknown members are skipped; identity is in these two.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    id: Uuid,
    nonce: Uuid,
}

/// A token is some hundred bytes; whatever is larger is none.
const LARGEST: u64 = 4096;

const TEMPORARY: &str = ".butterdock-drive.new";

fn write_anew(root: impl AsFd, enrolment: &mut Enrolment, register: &Register) -> Result<()> {
    let nonce = Uuid::new_v4();
    enrolment.next_nonce = Some(nonce);
    register.write(enrolment)?;
    write(root, &Token { id: enrolment.id, nonce })
        .map_err(Error::system(format!("writing the token of {}", shown(enrolment))))?;
    enrolment.nonce = nonce;
    enrolment.next_nonce = None;
    register.write(enrolment)
}

fn read(root: impl AsFd) -> Result<Option<Token>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match openat(root, NAME, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => return Ok(None),
        Err(error) => return Err(Error::system("opening the drive's token")(error)),
    };
    let facts = file.metadata().map_err(Error::system("looking at the drive's token"))?;
    // Anybody who may write to the drive could have put it there: only root's counts.
    if !facts.is_file() || facts.uid() != 0 {
        return Ok(None);
    }
    let bytes = small(&file, LARGEST).map_err(Error::system("reading the drive's token"))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn write(root: impl AsFd, token: &Token) -> io::Result<()> {
    match unlinkat(&root, TEMPORARY, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&root, TEMPORARY, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(&serde_json::to_vec(token)?)?;
    file.sync_all()?;
    renameat(&root, TEMPORARY, &root, NAME)?;
    Ok(fsync(root)?)
}

fn shown(enrolment: &Enrolment) -> String {
    format!("the drive \"{}\" ({})", enrolment.label, enrolment.filesystem)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::drives::Member;

    struct Stage {
        root: TempDir,
        state: TempDir,
        register: Register,
        enrolment: Enrolment,
    }

    impl Stage {
        /// An enrolled drive. Only root's tokens count, so these tests say so where they do not run as root.
        fn set() -> Self {
            let (root, state) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
            let register = Register::open(state.path()).expect("opened");
            let member = Member { device: Uuid::new_v4(), luks: None, serial: String::new(), size: 1 };
            let enrolment = Enrolment::new(Uuid::new_v4(), "Blue".to_owned(), vec![member], 7);
            let mut stage = Self { root, state, register, enrolment };
            begin(stage.folder(), &mut stage.enrolment, &stage.register).expect("begun");
            stage
        }

        fn folder(&self) -> File {
            File::open(self.root.path()).expect("opened")
        }

        fn token(&self) -> PathBuf {
            self.root.path().join(NAME)
        }

        fn visit(&mut self) -> Result<()> {
            visit(self.folder(), &mut self.enrolment, &self.register)
        }

        fn refusal(&mut self) -> String {
            self.visit().expect_err("refused").to_string()
        }
    }

    #[test]
    fn privileged_every_visit_changes_the_word_and_a_copy_made_earlier_is_noticed() {
        let mut stage = Stage::set();
        let copy = fs::read(stage.token()).expect("read");
        assert_eq!(fs::metadata(stage.token()).expect("there").permissions().mode() & 0o777, 0o600);
        stage.visit().expect("the drive itself");
        stage.visit().expect("again");
        assert_eq!(stage.register.list().expect("listed").0, [stage.enrolment.clone()]);
        fs::write(stage.token(), copy).expect("put back");
        assert!(stage.refusal().contains("copy"));
        assert!(stage.state.path().join("drives").exists());
    }

    #[test]
    fn privileged_power_lost_between_drive_and_state_is_no_copy() {
        let mut stage = Stage::set();
        let (before, next) = (stage.enrolment.nonce, Uuid::new_v4());
        for on_drive in [before, next] {
            stage.enrolment.nonce = before;
            stage.enrolment.next_nonce = Some(next);
            write(stage.folder(), &Token { id: stage.enrolment.id, nonce: on_drive }).expect("written");
            stage.visit().expect("one of two words");
        }
    }

    #[test]
    fn privileged_what_is_no_token_is_none() {
        let mut stage = Stage::set();
        let good = fs::read(stage.token()).expect("read");
        fs::remove_file(stage.token()).expect("removed");
        assert!(stage.refusal().contains("no token"));
        let elsewhere = stage.state.path().join("token");
        fs::write(&elsewhere, good).expect("written");
        symlink(&elsewhere, stage.token()).expect("linked");
        assert!(stage.refusal().contains("no token"));
        fs::remove_file(stage.token()).expect("removed");
        fs::write(stage.token(), "x".repeat(1 << 20)).expect("written");
        assert!(stage.refusal().contains("no token"));
        write(stage.folder(), &Token { id: Uuid::new_v4(), nonce: stage.enrolment.nonce }).expect("written");
        assert!(stage.refusal().contains("another drive"));
    }

    #[test]
    fn privileged_a_link_in_the_way_of_writing_is_not_followed() {
        let mut stage = Stage::set();
        let precious = stage.state.path().join("precious");
        fs::write(&precious, "precious").expect("written");
        symlink(&precious, stage.root.path().join(TEMPORARY)).expect("linked");
        stage.visit().expect("visited");
        assert_eq!(fs::read_to_string(precious).expect("read"), "precious");
    }
}
