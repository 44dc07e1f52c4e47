//! The token on a drive: it proves that the drive was enrolled on this machine, and has a nonce that changes at every
//! visit, so that an older copy is detected.
//!
//! Each machine has its own token, in a file named by the machine's id, so that a visit to another machine does not
//! change it. Proving the drive needs no write, so that a full or write-protected one can be read; a visit that may
//! write changes the nonce:
//!
//! ```text
//! state: next = new      durable, before the drive has it: after a power cut the drive has one of the two nonces
//! drive: nonce = new     written to a temporary file, synced, renamed, the filesystem synced
//! state: nonce = new     from now on the old nonce identifies a copy
//! ```
//!
//! The whole filesystem is synced, because a drive that is write-protected later cannot replay the log, in which the token would be
//! after a sync of the file.
//!
//! Until version 0.1 there was one file for all machines. The machine whose state proves that it wrote the file takes
//! it over.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;

use butterdock_btrfs::best_effort;
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, syncfs, unlinkat};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Enrolment, EnrolmentStore};
use crate::device::{Error, Part, Result, Sentence, of_drive, read_small};
use crate::types::DriveProblemCode;

/// Its name, at the top of the drive's filesystem, with the machine's id behind a dot. The file that was there for all machines
/// has this name alone.
const NAME: &str = ".butterdock-drive";

/// Why a drive that was proved has no new nonce. The state accepts the nonce on the drive all the same.
#[derive(Debug)]
pub(crate) enum Unrenewed {
    /// The drive does not take the new token.
    Drive(Error),
    /// The state directory does not take the new nonce.
    State(Error),
}

/// Checks the token of the drive mounted at `root` and replaces its nonce, on the drive and in the state directory. Answers why a
/// drive that was proved keeps its nonce.
///
/// # Errors
/// The token is missing, another enrolment's, or older than it should be; or the drive is not enrolled any more.
pub(crate) fn visit(
    root: impl AsFd,
    enrolment: &mut Enrolment,
    register: &EnrolmentStore,
) -> Result<Option<Unrenewed>> {
    let (proved, nonce) = (proved_nonce(&root, enrolment, register.machine())?, Uuid::new_v4());
    // Only the two nonce fields: a finished backup may be recorded at the same time.
    let begun = register.change(enrolment.id, |enrolment| {
        enrolment.nonce = proved;
        enrolment.next_nonce = Some(nonce);
    });
    match begun {
        Ok(begun) => *enrolment = begun,
        Err(error) => return unrecorded(error).map(Some),
    }
    if let Err(error) = write(&root, enrolment, register.machine(), nonce) {
        return Ok(Some(Unrenewed::Drive(error)));
    }
    match settle(enrolment, register, nonce) {
        Ok(()) => Ok(remove_old(&root, enrolment).err().map(Unrenewed::Drive)),
        Err(error) => unrecorded(error).map(Some),
    }
}

/// A state directory that cannot be written is no reason not to read the drive.
fn unrecorded(error: Error) -> Result<Unrenewed> {
    match error {
        Error::System { .. } => Ok(Unrenewed::State(error)),
        Error::Refused(_) | Error::InUse(_) | Error::WrongSecret(_) | Error::WriteProtected { .. } => Err(error),
    }
}

/// Checks the token of the drive mounted at `root`, and writes nothing.
///
/// # Errors
/// The token is missing, another enrolment's, or older than it should be.
pub(crate) fn prove(root: impl AsFd, enrolment: &Enrolment, register: &EnrolmentStore) -> Result<()> {
    proved_nonce(root, enrolment, register.machine()).map(drop)
}

/// Writes the first token of a new enrolment, and the enrolment. What token of this machine was there is gone; those of others
/// stay. Answers with the enrolment that the old token was of.
///
/// # Errors
/// The drive or the state directory cannot be written.
pub(crate) fn begin(root: impl AsFd, enrolment: &mut Enrolment, register: &EnrolmentStore) -> Result<Option<Uuid>> {
    let before = read(&root, &name(register.machine()))?.map(|token| token.id);
    let nonce = Uuid::new_v4();
    enrolment.next_nonce = Some(nonce);
    register.write(enrolment)?;
    write(&root, enrolment, register.machine(), nonce)?;
    settle(enrolment, register, nonce)?;
    remove_old(&root, enrolment)?;
    Ok(before)
}

/// What the file holds. Unknown members are skipped; identity is in these two.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    id: Uuid,
    nonce: Uuid,
}

/// A token is some hundred bytes; whatever is larger is none.
const LARGEST: u64 = 4096;

/// Checks that the drive is the enrolled one. Returns the nonce on the drive; writes nothing.
fn proved_nonce(root: impl AsFd, enrolment: &Enrolment, machine: Uuid) -> Result<Uuid> {
    let shown = shown(enrolment);
    let token = match read(&root, &name(machine))? {
        Some(token) => Some(token),
        // That of another enrolment is another machine's, or was this one's before it forgot the drive.
        None => read(&root, NAME)?.filter(|token| token.id == enrolment.id),
    };
    let Some(token) = token else {
        return Err(Error::refused(Sentence::of(&[
            Part::Sentence(&shown),
            Part::Text(
                " has no token of this machine: after its enrolment it was formatted, another drive was copied onto \
                 it, or the file ",
            ),
            Part::Name(&name(machine)),
            Part::Text(" was deleted or damaged; if it is yours, forget it and enrol it again"),
        ])
.coded(DriveProblemCode::TokenMissing, of_drive(enrolment.label()))));
    };
    if token.id != enrolment.id {
        let text = " was enrolled here again as another drive; forget it and enrol it again";
        return Err(Error::refused(
            Sentence::of(&[Part::Sentence(&shown), Part::Text(text)])
                .coded(DriveProblemCode::EnrolledAgain, of_drive(enrolment.label())),
        ));
    }
    if token.nonce != enrolment.nonce && Some(token.nonce) != enrolment.next_nonce {
        return Err(Error::refused(
            Sentence::of(&[
                Part::Text("this is an older copy of "),
                Part::Sentence(&shown),
                Part::Text(", or was restored from one; plug in the drive itself, or forget it and enrol this one"),
            ])
            .coded(DriveProblemCode::OlderCopy, of_drive(enrolment.label())),
        ));
    }
    Ok(token.nonce)
}

fn name(machine: Uuid) -> String {
    format!("{NAME}.{machine}")
}

/// The drive has this nonce: from now on it is the only one that proves it.
fn settle(enrolment: &mut Enrolment, register: &EnrolmentStore, nonce: Uuid) -> Result<()> {
    *enrolment = register.change(enrolment.id, |enrolment| {
        enrolment.nonce = nonce;
        enrolment.next_nonce = None;
    })?;
    Ok(())
}

/// Removes the token in the old file, which was taken over: its nonce is outdated.
fn remove_old(root: impl AsFd, enrolment: &Enrolment) -> Result<()> {
    if read(&root, NAME)?.is_some_and(|token| token.id == enrolment.id) {
        unlinkat(&root, NAME, AtFlags::empty())
            .map_err(Error::system("removing the drive's token of an older version"))?;
    }
    Ok(())
}

fn read(root: impl AsFd, name: &str) -> Result<Option<Token>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match openat(root, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => return Ok(None),
        Err(error) => return Err(Error::system("opening the drive's token")(error)),
    };
    let facts = file.metadata().map_err(Error::system("examining the drive's token"))?;
    // Any user who may write to the drive could have created it: only a file of root, the user of the service, counts.
    if !facts.is_file() || facts.uid() != geteuid().as_raw() {
        return Ok(None);
    }
    let bytes = read_small(&file, LARGEST).map_err(Error::system("reading the drive's token"))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn write(root: impl AsFd, enrolment: &Enrolment, machine: Uuid, nonce: Uuid) -> Result<()> {
    let written = write_token(&root, machine, &Token { id: enrolment.id, nonce });
    if written.is_err() {
        // On a full drive the file was created, and has no content.
        best_effort(unlinkat(&root, temporary_name(machine), AtFlags::empty()));
    }
    written.map_err(Error::system(format!("writing the token of {}", shown(enrolment))))
}

fn temporary_name(machine: Uuid) -> String {
    format!("{}.new", name(machine))
}

fn write_token(root: impl AsFd, machine: Uuid, token: &Token) -> io::Result<()> {
    let name = name(machine);
    let temporary = temporary_name(machine);
    match unlinkat(&root, &*temporary, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&root, &*temporary, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(&serde_json::to_vec(token)?)?;
    file.sync_all()?;
    renameat(&root, &*temporary, &root, &*name)?;
    Ok(syncfs(root)?)
}

fn shown(enrolment: &Enrolment) -> Sentence {
    Sentence::of(&[
        Part::Text("the drive \""),
        Part::Name(enrolment.label()),
        Part::Text("\" ("),
        Part::Uuid(enrolment.filesystem),
        Part::Text(")"),
    ])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::enrolment::Member;

    struct Fixture {
        root: TempDir,
        state: TempDir,
        register: EnrolmentStore,
        enrolment: Enrolment,
    }

    impl Fixture {
        /// An enrolled drive. Only root's tokens count, so these tests say so where they do not run as root.
        fn set() -> Self {
            let (root, state) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
            let register = EnrolmentStore::open(state.path()).expect("opened");
            let member = Member { device: Uuid::new_v4(), luks: None, serial: String::new(), size: 1 };
            let enrolment = Enrolment::new(Uuid::new_v4(), "Blue".to_owned(), vec![member], 7);
            let mut fixture = Self { root, state, register, enrolment };
            begin(fixture.folder(), &mut fixture.enrolment, &fixture.register).expect("begun");
            fixture
        }

        fn folder(&self) -> File {
            File::open(self.root.path()).expect("opened")
        }

        fn token(&self) -> PathBuf {
            self.root.path().join(name(self.register.machine()))
        }

        /// Another machine, with the same drive enrolled.
        fn elsewhere(&self) -> Self {
            let state = tempfile::tempdir().expect("a folder");
            fs::write(state.path().join("machine"), Uuid::new_v4().to_string()).expect("written");
            let root = tempfile::tempdir_in(self.state.path()).expect("a folder");
            let register = EnrolmentStore::open(state.path()).expect("opened");
            let member = Member { device: Uuid::new_v4(), luks: None, serial: String::new(), size: 1 };
            let enrolment = Enrolment::new(self.enrolment.filesystem, "Blue".to_owned(), vec![member], 7);
            let mut other = Self { root, state, register, enrolment };
            begin(self.folder(), &mut other.enrolment, &other.register).expect("begun");
            other
        }

        fn visit(&mut self) -> Result<()> {
            visit(self.folder(), &mut self.enrolment, &self.register).map(|unwritten| assert!(unwritten.is_none()))
        }

        fn refusal(&mut self) -> String {
            self.visit().expect_err("refused").to_string()
        }
    }

    #[test]
    fn privileged_an_older_copy_has_an_old_nonce() {
        let mut fixture = Fixture::set();
        let copy = fs::read(fixture.token()).expect("read");
        assert_eq!(fs::metadata(fixture.token()).expect("there").permissions().mode() & 0o777, 0o600);
        fixture.visit().expect("the drive itself");
        fixture.visit().expect("again");
        assert_eq!(fixture.register.list().expect("listed").0, [fixture.enrolment.clone()]);
        fs::write(fixture.token(), copy).expect("put back");
        assert!(fixture.refusal().contains("copy"));
        assert!(fixture.state.path().join("drives").exists());
    }

    #[test]
    fn privileged_power_lost_between_drive_and_state_is_no_copy() {
        let mut fixture = Fixture::set();
        let (before, next) = (fixture.enrolment.nonce, Uuid::new_v4());
        for on_drive in [before, next] {
            fixture.enrolment.nonce = before;
            fixture.enrolment.next_nonce = Some(next);
            write(fixture.folder(), &fixture.enrolment, fixture.register.machine(), on_drive).expect("written");
            fixture.visit().expect("one of two words");
        }
    }

    #[test]
    fn privileged_what_is_no_token_is_none() {
        let mut fixture = Fixture::set();
        let good = fs::read(fixture.token()).expect("read");
        fs::remove_file(fixture.token()).expect("removed");
        assert!(fixture.refusal().contains("no token"));
        let elsewhere = fixture.state.path().join("token");
        fs::write(&elsewhere, good).expect("written");
        symlink(&elsewhere, fixture.token()).expect("linked");
        assert!(fixture.refusal().contains("no token"));
        fs::remove_file(fixture.token()).expect("removed");
        fs::write(fixture.token(), "x".repeat(1 << 20)).expect("written");
        assert!(fixture.refusal().contains("no token"));
        let token = Token { id: Uuid::new_v4(), nonce: fixture.enrolment.nonce };
        write_token(fixture.folder(), fixture.register.machine(), &token).expect("written");
        assert!(fixture.refusal().contains("another drive"));
    }

    #[test]
    fn privileged_writing_follows_no_link() {
        let mut fixture = Fixture::set();
        let precious = fixture.state.path().join("precious");
        fs::write(&precious, "precious").expect("written");
        let temporary = format!("{}.new", name(fixture.register.machine()));
        symlink(&precious, fixture.root.path().join(temporary)).expect("linked");
        fixture.visit().expect("visited");
        assert_eq!(fs::read_to_string(precious).expect("read"), "precious");
    }

    #[test]
    fn privileged_a_visit_to_another_machine_changes_nothing_here() {
        let mut fixture = Fixture::set();
        let mut other = fixture.elsewhere();
        for _ in 0..3 {
            visit(fixture.folder(), &mut other.enrolment, &other.register).expect("a visit there");
            fixture.visit().expect("the drive itself");
        }
        let copy = fs::read(fixture.token()).expect("read");
        fixture.visit().expect("again");
        fs::write(fixture.token(), copy).expect("put back");
        visit(fixture.folder(), &mut other.enrolment, &other.register).expect("it is a copy here alone");
        assert!(fixture.refusal().contains("copy"));
    }

    #[test]
    fn privileged_an_old_token_is_migrated() {
        let mut fixture = Fixture::set();
        let old = fixture.root.path().join(NAME);
        fs::rename(fixture.token(), &old).expect("as it was");
        let copy = fs::read(&old).expect("read");
        let mut other = fixture.elsewhere();
        assert!(old.exists(), "another machine leaves it alone");
        fixture.visit().expect("taken over");
        assert!(!old.exists() && fixture.token().exists());
        // Power lost before it was removed; and a copy from before.
        fs::write(&old, &copy).expect("written");
        fixture.visit().expect("the drive itself");
        assert!(!old.exists());
        fs::remove_file(fixture.token()).expect("removed");
        fs::write(&old, &copy).expect("written");
        assert!(fixture.refusal().contains("copy"));
        visit(fixture.folder(), &mut other.enrolment, &other.register).expect("another machine has its own");
        assert!(old.exists());
        fs::remove_file(other.state.path().join("machine")).expect("removed");
    }
}
