//! Confines the worker, before it reads a byte of the stream.
//!
//! A stream that takes over the engine gets no further than these restrictions. Their order matters:
//!
//! 1. *At the start*: the process dies with its parent, and closes inherited descriptors ([`begin`]).
//! 2. *With the order*: its own namespaces, which need `CAP_SYS_ADMIN`. They come before Landlock, because Landlock forbids
//!    every change of mounts, and making them a slave is one.
//! 3. *Paths* ([`paths`]): Landlock. Directories are allowed by their descriptors, and one of them is the root of the whole
//!    filesystem. It is mounted privately before anything else, and the engine finds parents through that descriptor: it
//!    could not mount it later.
//! 4. *Devices*: a stream may hold device nodes, so a worker may create them (`CAP_MKNOD`), and Landlock treats them as
//!    files. The mount through which a node is reached decides. The worker works through a clone of the destination's mount
//!    that is nodev (made first: only a mount of one's own namespace can be cloned). All mounts of its namespace are nodev
//!    too. A seccomp filter refuses the calls that would make another mount or change these ([`mounts::keep_devices_out`]),
//!    because `CAP_SYS_ADMIN` suffices for them and Landlock permits them. The kernel asks the same mounts when it mounts a
//!    device by its path, and then answers `EACCES` too (measured on Linux 6.18).
//! 5. *Capabilities* last: the other restrictions need some that the engine does not.
//!
//! `CAP_SYS_ADMIN` remains, without which no extent can be written encoded and no parent be found, and so do the system
//! calls that need nothing else. A filter that permits only the engine's own calls would be the next restriction.
//!
//! All of it happens while there is one thread: each restriction holds for the calling thread and for those that it starts.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::{fmt, io};

use butterdock_btrfs::{Errno, best_effort, filesystem, mounts};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use paths::Landlock;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_name, set_no_new_privs,
};

mod paths;

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
    close_inherited_descriptors().map_err(doing("close inherited descriptors"))?;
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
    let top = filesystem::open_top(&destination).ok();
    restrict(Some(Through { destination, top }), folder)
}

/// Builds the walls around one that reads what is open and writes nowhere.
pub(crate) fn shut_in() -> Result<Confined, ConfineError> {
    restrict(None, None)
}

fn restrict(place: Option<Through>, folder: Option<BorrowedFd<'_>>) -> Result<Confined, ConfineError> {
    let mut lacking: Vec<String> = unshare_namespaces()?.into_iter().map(str::to_owned).collect();
    set_no_new_privs(true).map_err(doing("renounce new privileges"))?;
    let Landlock { enforced, lacking: left_out } = paths::restrict(place.as_ref(), folder)?;
    lacking.extend(left_out);
    match mounts::keep_devices_out() {
        Ok(()) => {}
        Err(error) if error.errno == Errno::EINVAL => lacking.push(
            "this kernel has no filter of system calls: the worker could make a mount through which devices open"
                .to_owned(),
        ),
        Err(error) => return Err(doing("give up making mounts")(error.errno)),
    }
    drop_capabilities()?;
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

/// What the engine needs. For each there is a stream that fails without it.
const KEPT: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::LINUX_IMMUTABLE);

/// The kernel has fewer capabilities, and answers `EINVAL` beyond its last.
const MAX_CAPABILITIES: u32 = 64;

/// Drops all other capabilities from every set. The bounding and the inheritable set are then empty, so a program that is
/// started from here would have none.
fn drop_capabilities() -> Result<(), ConfineError> {
    for number in 0..MAX_CAPABILITIES {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(doing("bound its capabilities")(error)),
        }
    }
    match clear_ambient_capability_set() {
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(error) => return Err(doing("drop ambient capabilities")(error)),
    }
    let held = capabilities(None).map_err(doing("read its capabilities"))?.permitted;
    // Where the daemon itself was not given one, the engine says what it cannot do.
    let kept = held & KEPT;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(doing("drop its capabilities"))
}

/// Closes every descriptor but the standard three. Must be called before this program opens one that it wants to keep.
///
/// The daemon opens everything close-on-exec, and so does this program's runtime. Other descriptors come from the process that
/// started the daemon, or from a library that forgot the flag; here they would outlive the daemon.
fn close_inherited_descriptors() -> io::Result<()> {
    let mut inherited: Vec<RawFd> = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        inherited.extend(number.filter(|&number| number > 2));
    }
    for descriptor in inherited {
        // The list has the descriptor of the directory itself, which is closed already.
        best_effort(nix::unistd::close(descriptor));
    }
    Ok(())
}

/// Namespaces that a kernel may be built without.
const OPTIONAL_NAMESPACES: [(CloneFlags, &str); 3] = [
    (CloneFlags::CLONE_NEWNET, "this kernel has no network namespaces: the worker could reach the network"),
    (CloneFlags::CLONE_NEWIPC, "this kernel has no IPC namespaces: the worker could reach shared memory of others"),
    (CloneFlags::CLONE_NEWUTS, "this kernel has no UTS namespaces: the worker could change the host's name"),
];

/// Leaves the daemon's namespaces. Answers which this kernel does not have.
///
/// The mounts are a slave of the daemon's: an unmount there also happens here, so that no worker keeps a drive busy that a
/// person wants to unplug. A mount here would be seen nowhere else. No device can be opened through these mounts.
fn unshare_namespaces() -> Result<Vec<&'static str>, ConfineError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(doing("have mounts of its own"))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .map_err(doing("keep its mounts to itself"))?;
    mounts::refuse_devices_everywhere()
        .map_err(|error| doing("keep devices from being opened through its mounts")(error.errno))?;
    let mut lacking = Vec::new();
    for (namespace, sentence) in OPTIONAL_NAMESPACES {
        match unshare(namespace) {
            Ok(()) => {}
            // Not built in, or no namespace may be made any more (max_net_namespaces and its like).
            Err(Errno::EINVAL | Errno::ENOSPC) => lacking.push(sentence),
            Err(error) => return Err(doing("leave the daemon's namespaces")(error)),
        }
    }
    Ok(lacking)
}
