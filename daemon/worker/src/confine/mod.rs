//! This room locks the worker in, before a byte of the stream is read.
//!
//! What a stream can do to the engine, should it ever take it over, ends at these walls. They stand in an order that
//! matters:
//!
//! 1. *At the start*: the process dies with its parent, and closes what it inherited ([`begin`]).
//! 2. *With the order*: namespaces of its own ([`namespaces`]), which needs `CAP_SYS_ADMIN` and must come before Landlock,
//!    because Landlock forbids every change of the mounts, and so making them a slave.
//! 3. *Paths* ([`paths`]): Landlock. Which files may be reached is told by descriptors of directories, and one of them is the
//!    root of the whole filesystem. It is mounted privately before anything else, and the engine gets that descriptor to find
//!    parents with: it could not mount it later.
//! 4. *Devices*: a stream may hold device nodes, so a worker may make them (`CAP_MKNOD`), and Landlock does not tell them
//!    from files. What decides is the mount through which a node is reached: the worker works through a clone of the
//!    destination's mount that is nodev (made first of all: only a mount of one's own namespace can be cloned), so is every
//!    mount of its namespace, and a filter of system calls refuses those that would make another one or change these
//!    ([`butterdock_btrfs::filter`]), because `CAP_SYS_ADMIN` is enough for that and Landlock lets it be. The kernel asks the
//!    same mounts when it is told to mount a device by its path, and then answers `EACCES` too (measured on Linux 6.18).
//! 5. *Capabilities* ([`capabilities`]) last: the walls before need some that the engine does not.
//!
//! What is left is `CAP_SYS_ADMIN`, without which no extent can be written as it came and no parent be found, and the system
//! calls that ask for nothing else. A filter that lets through only what the engine calls would be the next wall.
//!
//! All of it happens while there is one thread: each wall holds for the thread that asks and for those it starts.

mod capabilities;
mod inherited;
mod namespaces;
mod paths;

use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use butterdock_btrfs::{Errno, best_effort, filter, mounts, top};
use nix::sys::stat::{Mode, umask};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{set_name, set_no_new_privs};

use paths::Landlock;

/// What `ps` shows; the kernel keeps fifteen bytes.
const NAME: &CStr = c"butterdock-work";
/// Of a thousand: when memory is short, a worker goes before the daemon does, and before most others.
const OUT_OF_MEMORY: &str = "500";

/// How well it is locked in.
#[derive(Debug)]
pub(crate) struct Confined {
    /// Where it works from here on; nothing for one that writes nowhere.
    pub place: Option<Through>,
    /// Whether Landlock keeps it below the destination.
    pub landlock: bool,
    /// What this kernel cannot keep it from: sentences without names.
    pub lacking: Vec<String>,
}

/// The descriptors to work through.
#[derive(Debug)]
pub(crate) struct Through {
    /// The destination: the one that came from the daemon must be closed, because devices open through it.
    pub destination: OwnedFd,
    /// The root of its filesystem, for reading: nothing can be mounted from here on. Nothing where that could not be before.
    pub top: Option<OwnedFd>,
}

/// A wall that could not be built.
#[derive(Debug)]
pub(crate) struct ConfineError {
    doing: &'static str,
    error: io::Error,
}

/// Ties the process to its parent, whose number is `parent`, and closes what it inherited besides the standard three.
/// Answers whether the parent is still there.
pub(crate) fn begin(parent: i32) -> Result<bool, ConfineError> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(doing("die with the daemon"))?;
    // A parent that died before that sends no signal.
    if getppid().is_none_or(|now| now.as_raw_nonzero().get() != parent) {
        return Ok(false);
    }
    inherited::close().map_err(doing("close inherited descriptors"))?;
    set_name(NAME).map_err(doing("take a name"))?;
    // The engine gives modes whole, and a mask would cost it a call for each file.
    umask(Mode::empty());
    // Only to lower it is a privilege; where /proc does not let it be, the usual order holds.
    best_effort(std::fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY));
    Ok(true)
}

/// Builds the walls that stand while the job in `destination` is done; a backup makes snapshots in `folder` too. From here
/// on it is done through the descriptor in the answer.
pub(crate) fn confine(destination: BorrowedFd<'_>, folder: Option<BorrowedFd<'_>>) -> Result<Confined, ConfineError> {
    // As long as the mount that the destination was opened through is in a namespace of this process.
    let destination =
        mounts::without_devices(destination).map_err(|error| doing("work through a mount of its own")(error.errno))?;
    // The device is looked up by its path, which fails once no mount lets a device through.
    let top = top::open_top(&destination).ok();
    wall_up(Some(Through { destination, top }), folder)
}

/// Builds the walls around one that reads what is open and writes nowhere.
pub(crate) fn shut_in() -> Result<Confined, ConfineError> {
    wall_up(None, None)
}

fn wall_up(place: Option<Through>, folder: Option<BorrowedFd<'_>>) -> Result<Confined, ConfineError> {
    let mut lacking: Vec<String> = namespaces::unshare()?.into_iter().map(str::to_owned).collect();
    set_no_new_privs(true).map_err(doing("renounce new privileges"))?;
    let Landlock { enforced, lacking: left_out } = paths::restrict(place.as_ref(), folder)?;
    lacking.extend(left_out);
    match filter::keep_devices_out() {
        Ok(()) => {}
        Err(error) if error.errno == Errno::EINVAL => lacking.push(
            "this kernel has no filter of system calls: the worker could make a mount through which devices open"
                .to_owned(),
        ),
        Err(error) => return Err(doing("give up making mounts")(error.errno)),
    }
    capabilities::drop_unneeded()?;
    Ok(Confined { place, landlock: enforced, lacking })
}

impl fmt::Display for ConfineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { doing, error } = self;
        write!(f, "the worker cannot {doing}: {error}; give butterdockd the capabilities that its unit file lists")
    }
}

/// Completes "the worker cannot …".
fn doing<E: Into<io::Error>>(doing: &'static str) -> impl Fn(E) -> ConfineError {
    move |error| ConfineError { doing, error: error.into() }
}
