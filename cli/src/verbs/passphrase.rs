//! A passphrase that a person types.

use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::OwnedFd;

use butterdock_dbus::SECRET_MAX;
use nix::errno::Errno;
use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::Uid;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::render::short_label;

/// Reads a passphrase from the terminal without echo, a new one twice, and returns a pipe that contains it.
pub(super) fn read_passphrase(title: &str, is_new: bool) -> Result<OwnedFd, Failure> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::usage(
            "no passphrase: standard input is not a terminal".to_owned(),
            "run it in a terminal, or name a file with --key-file (- is standard input)",
        ));
    }
    let failed = |error: io::Error| Failure::own(format!("the passphrase cannot be read from the terminal: {error}"));
    let _locked = LockedMemory::lock();
    let ask = |what: &str| rpassword::prompt_password(what).map(Zeroizing::new).map_err(failed);
    keep_out_of_cores().map_err(|errno| failed(errno.into()))?;
    let title = short_label(title);
    let passphrase = ask(&format!("{} of {title}: ", if is_new { "New passphrase" } else { "Passphrase" }))?;
    if passphrase.is_empty() || passphrase.len() > SECRET_MAX {
        return Err(Failure::own(format!("a passphrase has 1 to {SECRET_MAX} bytes; try again")));
    }
    if is_new && *ask("The same again: ")? != *passphrase {
        return Err(Failure::own("nothing was erased: the two passphrases differ; try again".to_owned()));
    }
    let (reader, mut writer) = io::pipe().map_err(failed)?;
    writer.write_all(passphrase.as_bytes()).map_err(failed)?;
    Ok(reader.into())
}

/// The kernel writes no core of this process from now on, and passes none to another program.
fn keep_out_of_cores() -> Result<(), Errno> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    set_dumpable(false)
}

/// The memory of the process while it holds a passphrase: it is not swapped out.
struct LockedMemory {
    is_locked: bool,
}

impl LockedMemory {
    /// Where the limit of a user is lower than what the process needs, nothing is locked. With `MCL_FUTURE` a later allocation
    /// beyond that limit would fail: only root, who has no limit, gets it.
    fn lock() -> Self {
        let mut flags = MlockAllFlags::MCL_CURRENT;
        flags.set(MlockAllFlags::MCL_FUTURE, Uid::effective().is_root());
        Self { is_locked: mlockall(flags).is_ok() }
    }
}

impl Drop for LockedMemory {
    fn drop(&mut self) {
        if self.is_locked {
            // If it fails, the memory is locked until the process ends.
            munlockall().ok();
        }
    }
}
