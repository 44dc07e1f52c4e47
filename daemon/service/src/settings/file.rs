//! The administrator's file: its revision, and how it is replaced.
//!
//! Only root may be able to decide which file that is: it says which programs root runs. A symbolic link of root's is followed, and
//! its target is replaced. The new file has owner and mode of the old one.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};

use crate::configured;
use crate::durable::{self, Access, Replaced};
use crate::types::{Error, ErrorCode};

/// The revision of a text: another text has another one, and a missing file has one, too.
pub(super) fn revision(text: Option<&str>) -> String {
    let Some(text) = text else { return "none".to_owned() };
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sentence for a file that was changed since the caller read it.
pub(super) fn stale(file: &Path) -> Error {
    let text = format!(
        "{} was changed since its settings were read, and nothing was changed now; read the settings again, then repeat the \
         change",
        file.display()
    );
    Error::new(ErrorCode::StaleRevision, text)
}

/// Replaces the text of the file, durably, if it still is `before`.
///
/// # Errors
/// `StaleRevision`, `ReadOnly`, or `Failed`: the old file stays.
pub(super) fn replace(file: &Path, before: Option<&str>, text: &str) -> Result<(), Error> {
    let target = target(file)?;
    let is_same = || match fs::read(&target) {
        Ok(now) => Ok(before.is_some_and(|before| before.as_bytes() == now)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(before.is_none()),
        Err(error) => Err(error),
    };
    let access = match fs::metadata(&target) {
        Ok(facts) => Access { mode: facts.permissions().mode() & 0o7777, owner: Some((facts.uid(), facts.gid())) },
        // As the installed one: it has no secret, and users may check it.
        Err(_) => Access { mode: 0o644, owner: None },
    };
    match durable::replace(&target, text.as_bytes(), access, &is_same) {
        Ok(Replaced::Done) => Ok(()),
        Ok(Replaced::Changed) => Err(stale(file)),
        Err(error) => Err(failed(&target, &error)),
    }
}

/// Whether the file can be replaced, as far as its filesystem says.
pub(super) fn is_writable(file: &Path) -> bool {
    let existing = file.ancestors().find(|path| path.exists()).unwrap_or(file);
    statvfs(existing).is_ok_and(|facts| !facts.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn failed(file: &Path, error: &io::Error) -> Error {
    let shown = file.display();
    if error.raw_os_error() == Some(Errno::ROFS.raw_os_error()) {
        let text = format!(
            "{shown} is on a read-only filesystem, and nothing was changed; name a file that can be written in [paths] settings of \
             /usr/lib/butterdock/butterdock.toml, for example /var/lib/butterdock/butterdock.toml"
        );
        return Error::new(ErrorCode::ReadOnly, text);
    }
    Error::new(ErrorCode::Failed, format!("cannot write {shown}: {error}; nothing was changed"))
}

/// The file itself, behind links that only root can exchange.
fn target(file: &Path) -> Result<PathBuf, Error> {
    let unsafe_path = || {
        let text = format!(
            "users other than root can replace {}, and nothing was changed; chown root:root and chmod go-w the directories that \
             lead to it",
            file.display()
        );
        Error::new(ErrorCode::Failed, text)
    };
    // Itself, or the first directory above it that exists.
    for above in file.ancestors() {
        let found = match configured::find_trusting(above, geteuid().as_raw()) {
            Ok(found) => found,
            Err(configured::Error::Link) => return Err(unsafe_path()),
            Err(configured::Error::Io(error)) if error.kind() == ErrorKind::NotFound && !is_link(above) => continue,
            Err(configured::Error::Io(error)) => return Err(failed(above, &error)),
        };
        let is_directory = above.is_dir();
        if !found.is_fixed || (is_directory && !is_ours(above)) || (above == file && is_directory) {
            return Err(unsafe_path());
        }
        let real = above.canonicalize().map_err(|error| failed(above, &error))?;
        let rest = file.strip_prefix(above).unwrap_or(Path::new(""));
        return Ok(if rest.as_os_str().is_empty() { real } else { real.join(rest) });
    }
    Err(unsafe_path())
}

fn is_link(path: &Path) -> bool {
    path.is_symlink()
}

/// Whether only root, or the user of this process, may write to a directory.
fn is_ours(directory: &Path) -> bool {
    directory.metadata().is_ok_and(|facts| facts.mode() & 0o022 == 0 && [0, geteuid().as_raw()].contains(&facts.uid()))
}
