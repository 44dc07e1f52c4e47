//! The enrolled drives: a record of each, in a file of its own that is written atomically.

mod keys;
mod machine;
mod record;
pub(crate) mod token;
mod udev_files;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use uuid::Uuid;

pub(crate) use keys::KeyFiles;
pub(crate) use record::{Damage, Enrolment, Member};
use record::{OLDER, VERSION};
use udev_files::UdevFiles;

use crate::device::{Error, Result};
use crate::durable;

/// An enrolment has some thousand bytes.
const LARGEST: u64 = 4 << 20;

/// The enrolments on disk, in `<state>/drives`. Every call blocks. One service uses them: the history's lock sees to it.
#[derive(Debug, Clone)]
pub(crate) struct EnrolmentStore {
    folder: PathBuf,
    udev_files: UdevFiles,
    keys: KeyFiles,
    /// This machine, as drives have it.
    machine: Uuid,
    /// Held by a change from before it reads until it has written.
    changing: Arc<Mutex<()>>,
    /// What was written last of each.
    written: Arc<Mutex<BTreeMap<Uuid, Enrolment>>>,
    unreadable: Arc<Mutex<Unreadable>>,
}

/// Enrolments whose files cannot be read. The files stay until the drives are enrolled again, which moves them
/// aside, or forgotten. Their drives are not
/// used, and what these drives need is not known: so nothing that they could need is deleted, and udev leaves them to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Their ids, each with the reason, which has a path.
    pub files: BTreeMap<Uuid, String>,
    /// Their filesystems and containers, as udev's `ID_FS_UUID` has them.
    pub claimed: BTreeSet<String>,
}

impl EnrolmentStore {
    /// Opens it, and makes the folder where there is none.
    ///
    /// # Errors
    /// The folder cannot be made or read.
    pub(crate) fn open(state: &Path) -> Result<Self> {
        let folder = state.join("drives");
        let opening = || Error::system(format!("opening {}", folder.display()));
        // Nonces are root's alone.
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(opening())?;
        durable::sweep(&folder).map_err(opening())?;
        let machine =
            machine::id(state).map_err(Error::system(format!("opening {}", state.join("machine").display())))?;
        let register = Self {
            folder,
            udev_files: UdevFiles::below(state),
            keys: KeyFiles::below(state),
            machine,
            changing: Arc::default(),
            written: Arc::default(),
            unreadable: Arc::default(),
        };
        let (enrolments, unreadable) = register.list()?;
        if unreadable.is_empty() {
            register.keys.sweep(&enrolments);
        }
        register.lock().extend(enrolments.into_iter().map(|enrolment| (enrolment.id, enrolment)));
        register.claim();
        Ok(register)
    }

    /// The key files that the service made itself.
    pub(crate) fn keys(&self) -> &KeyFiles {
        &self.keys
    }

    /// The id of this machine.
    pub(crate) fn machine(&self) -> Uuid {
        self.machine
    }

    /// All enrolments, and the ids of those whose files are none, each with the reason.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn list(&self) -> Result<(Vec<Enrolment>, BTreeMap<Uuid, String>)> {
        let listing = || Error::system(format!("reading {}", self.folder.display()));
        let (mut good, mut bad) = (Vec::new(), BTreeMap::new());
        for entry in fs::read_dir(&self.folder).map_err(listing())? {
            let path = entry.map_err(listing())?.path();
            let Some(id) = id_of(&path) else { continue };
            match read(&path, id) {
                Ok(enrolment) => good.push(enrolment),
                Err(what) => drop(bad.insert(id, format!("{}: {what}", path.display()))),
            }
        }
        good.sort_by_key(|enrolment| (enrolment.enrolled, enrolment.id));
        Ok((good, bad))
    }

    /// The enrolments that cannot be read.
    pub(crate) fn unreadable(&self) -> Unreadable {
        self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was written down of one last.
    pub(crate) fn written(&self, id: Uuid) -> Option<Enrolment> {
        self.lock().get(&id).cloned()
    }

    /// Writes one down, in place of what was written of it before.
    ///
    /// # Errors
    /// The disk is full, read-only or gone. What was written before stays.
    pub(crate) fn write(&self, enrolment: &Enrolment) -> Result<()> {
        let _changing = self.changing();
        self.write_now(enrolment)
    }

    /// Changes what is written of one, and answers with what is written then. Changes are made one at a time: none is lost.
    ///
    /// # Errors
    /// It is not enrolled any more; or as for [`Self::write`].
    pub(crate) fn change(&self, id: Uuid, change: impl FnOnce(&mut Enrolment)) -> Result<Enrolment> {
        let _changing = self.changing();
        let before = self.written(id).ok_or_else(|| Error::refused("the drive is not enrolled any more"))?;
        let mut enrolment = before.clone();
        change(&mut enrolment);
        if enrolment != before {
            self.write_now(&enrolment)?;
        }
        Ok(enrolment)
    }

    /// Sees to it that a volume has a record with this name.
    ///
    /// # Errors
    /// Its record cannot be read; or as for [`Self::write`].
    pub(crate) fn keep_volume(&self, filesystem: Uuid, name: &str, now: u64) -> Result<Enrolment> {
        let _changing = self.changing();
        if self.unreadable().files.contains_key(&filesystem) {
            return Err(Error::refused(
                "the record of this destination cannot be read; the journal of butterdockd says why, and what to do",
            ));
        }
        let before = self.written(filesystem);
        let mut record = before.clone().unwrap_or_else(|| Enrolment::of_volume(filesystem, name, now));
        record.set_name(name);
        if before.as_ref() != Some(&record) {
            self.write_now(&record)?;
        }
        Ok(record)
    }

    /// Forgets one, also one that cannot be read. The token stays on the drive and means nothing.
    ///
    /// # Errors
    /// There is none, or it cannot be removed.
    pub(crate) fn forget(&self, id: Uuid) -> Result<()> {
        let _changing = self.changing();
        let file = self.file(id);
        let forgotten = durable::remove(&file);
        if !file.exists() {
            let members = self.lock().remove(&id).map(|enrolment| enrolment.members).unwrap_or_default();
            members.iter().filter_map(|member| member.luks).for_each(|luks| self.keys.remove(luks));
        }
        self.claim();
        forgotten.map_err(Error::system(format!("forgetting {}", self.file(id).display())))
    }

    /// Moves the file of one that cannot be read to another name, where it claims nothing any more.
    ///
    /// # Errors
    /// There is none, or it cannot be moved.
    pub(crate) fn set_aside(&self, id: Uuid) -> Result<()> {
        let _changing = self.changing();
        let moved = durable::set_aside(&self.file(id));
        self.claim();
        moved.map_err(Error::system(format!("moving {} aside", self.file(id).display())))
    }

    fn write_now(&self, enrolment: &Enrolment) -> Result<()> {
        let written = serde_json::to_vec_pretty(enrolment)
            .map_err(std::io::Error::from)
            .and_then(|bytes| durable::write(&self.file(enrolment.id), &bytes));
        if written.is_ok() {
            self.lock().insert(enrolment.id, enrolment.clone());
        }
        self.claim();
        written.map_err(Error::system(format!("writing down the drive in {}", self.folder.display())))
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Enrolment>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has udev leave to us what is enrolled now.
    fn claim(&self) {
        if let Ok((enrolments, files)) = self.list() {
            self.udev_files.set(&enrolments, files.is_empty());
            let claimed = if files.is_empty() { BTreeSet::new() } else { self.udev_files.others(&enrolments) };
            *self.unreadable.lock().unwrap_or_else(PoisonError::into_inner) = Unreadable { files, claimed };
        }
    }

    fn file(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

fn read(path: &Path, id: Uuid) -> std::result::Result<Enrolment, String> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let next = format!("enrol the drive again, or run butterdock forget {id}");
    let bytes = durable::read(path, LARGEST)
        .and_then(|bytes| bytes.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
        .map_err(|error| format!("it cannot be read ({error}); correct that and restart the service, or {next}"))?;
    let mistaken = |error: serde_json::Error| format!("it is not a valid record of a drive ({error}); {next}");
    let Versioned { version } = serde_json::from_slice(&bytes).map_err(mistaken)?;
    if version != VERSION && version != OLDER {
        return Err(format!("another version of butterdock wrote it (format {version}); update butterdock, or {next}"));
    }
    let mut enrolment: Enrolment = serde_json::from_slice(&bytes).map_err(mistaken)?;
    if enrolment.id != id || enrolment.members.is_empty() != enrolment.is_volume {
        return Err(format!("its name does not match the drive id in it; {next}"));
    }
    enrolment.version = VERSION;
    Ok(enrolment)
}

fn id_of(path: &Path) -> Option<Uuid> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    Uuid::try_parse(name).ok().filter(|id| id.to_string() == name)
}

#[cfg(test)]
mod tests;
