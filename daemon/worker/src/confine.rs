//! Confines the worker, before it reads a byte of the stream.
//!
//! A stream that takes over the engine is limited by these restrictions. Their order matters:
//!
//! 1. *At the start*: the process dies with its parent, and closes inherited descriptors ([`begin`]).
//! 2. *With the order*: its own namespaces, which need `CAP_SYS_ADMIN`. They come before Landlock, because Landlock forbids
//!    every change of mounts, and making them a slave is one.
//! 3. *Paths* ([`restrict_paths`]): Landlock. Beneath the destination the worker may do everything that a stream can ask for.
//!    In the rest of the filesystem it may read, because a parent or a clone source can be anywhere there, also outside of
//!    mounted subvolumes. A backup may also rename snapshots in a folder beside its source, and read their files, as a restore
//!    may read those of its snapshots: both are in the stream anyway. All other paths are forbidden. A
//!    rule for a directory applies through every mount that reaches it. Open descriptors (the stream and the socket) are not
//!    affected. The root of the filesystem is opened before, because a confined worker cannot mount it.
//! 4. *Devices*: a stream may contain device nodes, so a worker may create them (`CAP_MKNOD`), and Landlock treats them as
//!    files. The mount through which a node is reached decides. The worker works through a clone of the destination's mount
//!    that is nodev (made first: only a mount of one's own namespace can be cloned). All mounts of its namespace are nodev
//!    too. A seccomp filter refuses the calls that would make another mount or change these ([`mounts::keep_devices_out`]),
//!    because `CAP_SYS_ADMIN` suffices for them and Landlock permits them. The kernel asks the same mounts when it mounts a
//!    device by its path, and then answers `EACCES` too (measured on Linux 6.18).
//! 5. *Capabilities* last: the other restrictions need some that the engine does not.
//!
//! A worker for files in a snapshot may read these snapshots, and write below the directory that files are restored to. On behalf of
//! a user it takes that user's identity with the last step, and has no capability after it.
//!
//! `CAP_SYS_ADMIN` remains to other workers, because encoded writes and the search for parents need it. So the system calls that need only this
//! capability remain too. A filter that permits only the engine's own calls would be the next restriction.
//!
//! The process has only one thread at that time: each restriction applies to the calling thread and to the threads that it
//! starts.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::{fmt, io};

use butterdock_btrfs::{Errno, best_effort, filesystem, mounts};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, PathBeneath,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_name, set_no_new_privs,
};

use crate::caller::Caller;

/// The name in `ps`; the kernel keeps fifteen bytes.
const NAME: &CStr = c"butterdock-work";
/// `oom_score_adj`, up to 1000: when memory is short, the kernel kills a worker before the service and most other processes.
const OUT_OF_MEMORY: &str = "500";

/// The restrictions of a worker.
#[derive(Debug)]
pub(crate) struct Confined {
    /// The directories of the job; `None` for a job that writes nothing.
    pub directories: Option<Directories>,
    /// Whether Landlock restricts the worker to the destination.
    pub landlock: bool,
    /// The restrictions that this kernel does not have: sentences without names.
    pub lacking: Vec<String>,
}

/// The directories that a confined worker uses.
#[derive(Debug)]
pub(crate) struct Directories {
    /// The destination, through a mount without devices. The service's descriptor must be closed, because devices can be opened
    /// through it.
    pub destination: OwnedFd,
    /// The root of its filesystem, for reading; `None` if it could not be mounted. A confined worker cannot mount it.
    pub top: Option<OwnedFd>,
}

/// A restriction that failed.
#[derive(Debug)]
pub(crate) struct ConfineError {
    doing: &'static str,
    error: io::Error,
}

/// Makes the process die with its parent, whose pid is `parent`, and closes inherited descriptors except the standard three.
/// Returns whether the parent still runs.
pub(crate) fn begin(parent: i32) -> Result<bool, ConfineError> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(doing("arrange to be killed when the service ends"))?;
    // There is no signal if the parent died before this call.
    if getppid().is_none_or(|now| now.as_raw_nonzero().get() != parent) {
        return Ok(false);
    }
    close_inherited_descriptors().map_err(doing("close inherited descriptors"))?;
    set_name(NAME).map_err(doing("set its process name"))?;
    // The engine passes complete modes; with a umask it would need one more call for each file.
    umask(Mode::empty());
    // Raising the score needs no privilege. If /proc refuses, the default score stays.
    best_effort(std::fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY));
    Ok(true)
}

/// A directory that a job reads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ReadFrom<'s> {
    /// The folder for snapshots of a source, in which a backup makes one.
    Folder(BorrowedFd<'s>),
    /// A snapshot that is restored or read.
    Snapshot(BorrowedFd<'s>),
}

/// What a job needs; all else is forbidden.
#[derive(Debug, Default)]
pub(crate) struct Needs<'j> {
    /// The directory that it writes to; `None` for a job that writes nothing.
    pub destination: Option<BorrowedFd<'j>>,
    /// It also reads the whole filesystem of the destination, because a parent can be anywhere there.
    pub filesystem: bool,
    /// The directories that it reads.
    pub from: Vec<ReadFrom<'j>>,
    /// The user whose identity it takes.
    pub caller: Option<&'j Caller>,
}

/// Confines a worker. The job must use the returned directories.
pub(crate) fn confine(needs: &Needs<'_>) -> Result<Confined, ConfineError> {
    let directories = match needs.destination {
        Some(destination) => {
            // Before the new namespace: only a mount in the process's own namespace can be cloned.
            let destination = mounts::without_devices(destination)
                .map_err(|error| doing("make its own mount of the destination")(error.errno))?;
            // Mounting opens the device by its path, which fails after the mounts are nodev.
            let top = if needs.filesystem { filesystem::open_top(&destination).ok() } else { None };
            Some(Directories { destination, top })
        }
        None => None,
    };
    let mut lacking: Vec<String> = unshare_namespaces()?.into_iter().map(str::to_owned).collect();
    set_no_new_privs(true).map_err(doing("set no_new_privs"))?;
    let Landlock { enforced, lacking: not_restricted } = restrict_paths(directories.as_ref(), &needs.from)?;
    lacking.extend(not_restricted);
    match mounts::keep_devices_out() {
        Ok(()) => {}
        Err(error) if error.errno == Errno::EINVAL => lacking.push(
            "this kernel has no filter of system calls: the worker could make a mount through which devices open"
                .to_owned(),
        ),
        Err(error) => return Err(doing("install the filter that refuses mount calls")(error.errno)),
    }
    drop_capabilities(needs.caller)?;
    Ok(Confined { directories, landlock: enforced, lacking })
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

/// The capabilities that the engine needs. For each there is a stream that fails without it.
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

/// Drops all other capabilities from every set, or all of them with the identity of root. The bounding and the inheritable set are
/// then empty, so a program that is started from here would have none.
fn drop_capabilities(caller: Option<&Caller>) -> Result<(), ConfineError> {
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
    if let Some(caller) = caller {
        caller.take().map_err(doing("take the identity of the user"))?;
        // The kernel clears it with the change of the user. If the service is gone already, so is the socket, which ends the job.
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(doing("arrange to be killed when the service ends"))?;
    }
    let held = capabilities(None).map_err(doing("read its capabilities"))?.permitted;
    // If the service itself lacks one, the engine reports the failed call.
    let kept = if caller.is_some() { CapabilitySet::empty() } else { held & KEPT };
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(doing("drop its capabilities"))
}

/// Closes every descriptor except the standard three. Must be called before this program opens one that it wants to keep.
///
/// The service and this program's runtime open everything close-on-exec. Other descriptors come from the process that started
/// the service, or from a library that forgot the flag; here they would stay open after the service's end.
fn close_inherited_descriptors() -> io::Result<()> {
    let mut inherited: Vec<RawFd> = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        inherited.extend(number.filter(|&number| number > 2));
    }
    for descriptor in inherited {
        // The list contains the descriptor of the directory itself, which is closed already.
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

/// Leaves the service's namespaces. Returns sentences about namespaces that this kernel does not have.
///
/// The mounts are slaves of the service's: an unmount there also happens here, so that no worker keeps a drive busy that a
/// user wants to unplug. A mount here is not visible elsewhere. No device can be opened through these mounts.
fn unshare_namespaces() -> Result<Vec<&'static str>, ConfineError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(doing("create its mount namespace"))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .map_err(doing("separate its mounts from the system's"))?;
    mounts::refuse_devices_everywhere()
        .map_err(|error| doing("keep devices from being opened through its mounts")(error.errno))?;
    let mut lacking = Vec::new();
    for (namespace, sentence) in OPTIONAL_NAMESPACES {
        match unshare(namespace) {
            Ok(()) => {}
            // Not built in, or the limit is reached (max_net_namespaces and similar).
            Err(Errno::EINVAL | Errno::ENOSPC) => lacking.push(sentence),
            Err(error) => return Err(doing("create its other namespaces")(error)),
        }
    }
    Ok(lacking)
}

/// The newest Landlock version that this program uses. An older kernel enforces the rights that it knows.
const KNOWN: ABI = ABI::V6;

/// What this kernel's Landlock enforces.
#[derive(Debug)]
struct Landlock {
    /// Whether it enforces anything.
    enforced: bool,
    /// What it does not restrict, in a sentence without names.
    lacking: Option<String>,
}

/// Forbids all paths except the destination and, for reading, its filesystem from the top. Without a top, a stream that needs
/// it fails with an error.
fn restrict_paths(directories: Option<&Directories>, from: &[ReadFrom<'_>]) -> Result<Landlock, ConfineError> {
    let status =
        rules(directories, from).map_err(|error| doing("restrict itself with Landlock")(io::Error::other(error)))?;
    let version = match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) | (_, LandlockStatus::NotEnabled | LandlockStatus::NotImplemented) => {
            ABI::Unsupported
        }
        (RulesetStatus::FullyEnforced, _) => KNOWN,
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => effective_abi,
    };
    Ok(Landlock { enforced: version != ABI::Unsupported, lacking: lacking(version) })
}

/// What a kernel with this version of Landlock does not restrict, in one line.
fn lacking(version: ABI) -> Option<String> {
    if version == ABI::Unsupported {
        let text = "this kernel has no Landlock, or it is switched off: a worker could open files outside its volume";
        return Some(text.to_owned());
    }
    let open: Vec<String> = LATER
        .iter()
        .filter(|(since, ..)| version < *since)
        .map(|(_, what, linux)| format!("{what} ({linux})"))
        .collect();
    (!open.is_empty()).then(|| format!("this kernel's Landlock does not restrict: {}", open.join(", ")))
}

/// Rights that Landlock got later: the version, the right, and the version of Linux. The first version forbids every rename
/// between directories; kernels with that version cannot send the streams that are received here either.
const LATER: [(ABI, &str, &str); 4] = [
    (ABI::V3, "truncating files by name", "6.2"),
    (ABI::V4, "the network, but for its namespace", "6.7"),
    (ABI::V5, "commands to devices", "6.10"),
    (ABI::V6, "signals and abstract sockets", "6.12"),
];

fn rules(directories: Option<&Directories>, from: &[ReadFrom<'_>]) -> Result<RestrictionStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        // No ports, no signals and no abstract sockets, for kernels without these namespaces.
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    if let Some(Directories { destination, top }) = directories {
        rules = rules.add_rule(PathBeneath::new(destination, beneath_the_destination()))?;
        if let Some(top) = top {
            rules = rules.add_rule(PathBeneath::new(top, AccessFs::ReadFile | AccessFs::ReadDir))?;
        }
    }
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    for from in from {
        rules = match from {
            // A snapshot is a directory. Renaming it needs the rights to remove and to make one.
            ReadFrom::Folder(folder) => {
                rules.add_rule(PathBeneath::new(folder, reading | AccessFs::MakeDir | AccessFs::RemoveDir))?
            }
            ReadFrom::Snapshot(snapshot) => rules.add_rule(PathBeneath::new(snapshot, reading))?,
        };
    }
    rules.restrict_self()
}

/// A stream makes every kind of file, but executes none, and makes no ioctl on a device.
fn beneath_the_destination() -> BitFlags<AccessFs> {
    AccessFs::from_all(KNOWN) & !(AccessFs::Execute | AccessFs::IoctlDev)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_landlock_says_what_it_leaves_out() {
        let words = ["truncating", "network", "commands", "signals"];
        for (version, missing) in [
            (ABI::V2, &words[..]),
            (ABI::V3, &words[1..]),
            (ABI::V4, &words[2..]),
            (ABI::V5, &words[3..]),
            (ABI::V6, &[]),
            (ABI::V7, &[]),
        ] {
            let text = lacking(version);
            assert_eq!(text.is_none(), missing.is_empty(), "{version:?}: {text:?}");
            let text = text.unwrap_or_default();
            assert!(missing.iter().all(|word| text.contains(word)) && text.len() < 200, "{version:?}: {text}");
            assert_eq!(text.matches('(').count(), missing.len(), "{version:?}: {text}");
        }
    }

    #[test]
    fn a_kernel_without_landlock_is_reported() {
        assert!(lacking(ABI::Unsupported).is_some_and(|text| text.contains("no Landlock")));
    }
}
