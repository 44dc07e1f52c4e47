//! The enrolled filesystems and containers, for udev: an empty file named by each uuid, in `<state>/udev`.
//!
//! The shipped udev rule checks for this file, so that other programs do not scan, mount or unlock an enrolled drive,
//! also before the service runs. It prevents conflicts; it is no proof of identity.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::Enrolment;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct UdevFiles {
    folder: PathBuf,
}

impl UdevFiles {
    /// Makes nothing yet.
    pub(crate) fn below(state: &Path) -> Self {
        Self { folder: state.join("udev") }
    }

    /// Makes the files those of these enrolments. Where these are not `all`, because one is unreadable, no file is removed: the
    /// drive of that one stays hidden. What cannot be done is logged: drives are served without it too.
    pub(crate) fn set(&self, enrolments: &[Enrolment], all: bool) {
        if let Err(error) = self.make(&names(enrolments), all) {
            tracing::warn!(
                "cannot write the list of enrolled drives for udev ({}: {error}); other programs may mount them",
                self.folder.display()
            );
        }
    }

    /// The files that are of none of these enrolments.
    pub(crate) fn others(&self, enrolments: &[Enrolment]) -> BTreeSet<String> {
        let known = names(enrolments);
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let files = files.filter_map(|entry| entry.file_name().into_string().ok());
        files.filter(|name| !known.contains(name)).collect()
    }

    fn make(&self, names: &BTreeSet<String>, all: bool) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        for name in names {
            drop(File::create(self.folder.join(name))?);
        }
        if !all {
            return Ok(());
        }
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name().to_str().is_none_or(|name| !names.contains(name)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// As udev's `ID_FS_UUID` has them. Other programs mount the volumes of this machine.
fn names(enrolments: &[Enrolment]) -> BTreeSet<String> {
    let drives = || enrolments.iter().filter(|enrolment| !enrolment.is_volume);
    let containers = drives().flat_map(|enrolment| enrolment.members.iter().filter_map(|member| member.luks));
    drives().map(|enrolment| enrolment.filesystem).chain(containers).map(|uuid| uuid.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::{EnrolmentStore, Member};
    use super::*;

    fn files(state: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(state.join("udev")).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect()
    }

    #[test]
    fn filesystems_and_containers_are_claimed_while_they_are_enrolled() {
        let state = tempfile::tempdir().expect("a folder");
        let register = EnrolmentStore::open(state.path()).expect("opened");
        assert!(files(state.path()).is_empty());
        let (filesystem, luks) = (Uuid::new_v4(), Uuid::new_v4());
        let member = Member { device: Uuid::new_v4(), luks: Some(luks), serial: String::new(), size: 1 };
        let one = Enrolment::new(filesystem, "Blue".to_owned(), vec![member], 7);
        register.write(&one).expect("written");
        let claimed = BTreeSet::from([filesystem.to_string(), luks.to_string()]);
        assert_eq!(files(state.path()), claimed);
        // A crash or an administrator could leave them.
        fs::write(state.path().join("udev/stray"), "").expect("written");
        fs::remove_file(state.path().join("udev").join(luks.to_string())).expect("removed");
        let register = EnrolmentStore::open(state.path()).expect("opened");
        assert_eq!(files(state.path()), claimed);
        register.forget(one.id).expect("forgotten");
        assert!(files(state.path()).is_empty());
    }

    #[test]
    fn a_drive_whose_enrolment_is_unreadable_stays_claimed() {
        let state = tempfile::tempdir().expect("a folder");
        let register = EnrolmentStore::open(state.path()).expect("opened");
        let member = Member { device: Uuid::new_v4(), luks: None, serial: String::new(), size: 1 };
        let one = Enrolment::new(Uuid::new_v4(), "Blue".to_owned(), vec![member], 7);
        register.write(&one).expect("written");
        fs::write(state.path().join(format!("drives/{}.json", one.id)), "{").expect("damaged");
        let register = EnrolmentStore::open(state.path()).expect("opened");
        assert!(register.list().is_ok_and(|(good, bad)| good.is_empty() && bad.len() == 1));
        assert_eq!(files(state.path()), [one.filesystem.to_string()].into());
    }
}
