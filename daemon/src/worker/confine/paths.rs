//! Landlock: which files can be opened, made and removed.
//!
//! Beneath the destination the worker may do what a stream can ask for. In the rest of the filesystem it may read, because
//! a parent and a clone source can lie anywhere there, also outside what is mounted. Everything else is out of reach. A rule
//! holds for a directory, not for a mount, so it holds whichever mount the directory is reached through. A backup also names
//! snapshots in a folder beside its source. What was open before, the stream and the socket, is not touched by it.

use std::io;
use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, PathBeneath,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::{Through, Trouble, doing};

/// The newest version whose rights are known here; an older kernel keeps to those that it knows.
const KNOWN: ABI = ABI::V6;

/// What this kernel's Landlock does.
#[derive(Debug)]
pub(crate) struct Landlock {
    /// Whether it does anything.
    pub(crate) enforced: bool,
    /// What it leaves out, in sentences without names.
    pub(crate) lacking: Vec<&'static str>,
}

/// Shuts everything out but the destination and, for reading, its filesystem from the top on. Without a top, a stream that
/// needs it fails, and says so.
pub(crate) fn restrict(place: Option<&Through>, folder: Option<BorrowedFd<'_>>) -> Result<Landlock, Trouble> {
    let status =
        rules(place, folder).map_err(|error| doing("restrict itself with Landlock")(io::Error::other(error)))?;
    let version = match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) | (_, LandlockStatus::NotEnabled | LandlockStatus::NotImplemented) => {
            ABI::Unsupported
        }
        (RulesetStatus::FullyEnforced, _) => KNOWN,
        (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => effective_abi,
    };
    Ok(Landlock { enforced: version != ABI::Unsupported, lacking: lacking(version) })
}

/// What a kernel with this version of Landlock does not keep a worker from.
fn lacking(version: ABI) -> Vec<&'static str> {
    if version == ABI::Unsupported {
        return vec![
            "this kernel has no Landlock, or it is switched off: the worker could open files outside its volume",
        ];
    }
    LATER.iter().filter(|(since, _)| version < *since).map(|(_, sentence)| *sentence).collect()
}

/// What came to Landlock later, by the version that brought it.
const LATER: [(ABI, &str); 5] = [
    (
        ABI::V2,
        "this kernel's Landlock (before Linux 5.19) lets nothing be moved between directories: streams that do so fail",
    ),
    (
        ABI::V3,
        "this kernel's Landlock (before Linux 6.2) cannot keep the worker from truncating files outside its volume",
    ),
    (
        ABI::V4,
        "this kernel's Landlock (before Linux 6.7) knows no network: its namespace alone keeps the worker off it",
    ),
    (ABI::V5, "this kernel's Landlock (before Linux 6.10) cannot keep the worker from commands to devices (ioctl)"),
    (
        ABI::V6,
        "this kernel's Landlock (before Linux 6.12) cannot keep the worker from signalling processes, \
         or talking to them over abstract sockets",
    ),
];

fn rules(place: Option<&Through>, folder: Option<BorrowedFd<'_>>) -> Result<RestrictionStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        // No port at all, and nobody to signal or to talk to by an abstract name, should the namespaces be missing.
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    if let Some(Through { destination, top }) = place {
        rules = rules.add_rule(PathBeneath::new(destination, beneath_the_destination()))?;
        if let Some(top) = top {
            rules = rules.add_rule(PathBeneath::new(top, AccessFs::ReadFile | AccessFs::ReadDir))?;
        }
    }
    if let Some(folder) = folder {
        // A snapshot is a directory, and to rename one is to remove and to make it.
        rules =
            rules.add_rule(PathBeneath::new(folder, AccessFs::ReadDir | AccessFs::MakeDir | AccessFs::RemoveDir))?;
    }
    rules.restrict_self()
}

/// A stream makes every kind of file; it runs none, and talks to no device.
fn beneath_the_destination() -> BitFlags<AccessFs> {
    AccessFs::from_all(KNOWN) & !(AccessFs::Execute | AccessFs::IoctlDev)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_landlock_says_what_it_leaves_out() {
        let words = ["moved", "truncating", "network", "ioctl", "signalling"];
        for (version, missing) in [
            (ABI::V1, &words[..]),
            (ABI::V2, &words[1..]),
            (ABI::V3, &words[2..]),
            (ABI::V4, &words[3..]),
            (ABI::V5, &words[4..]),
            (ABI::V6, &[]),
            (ABI::V7, &[]),
        ] {
            let told = lacking(version);
            assert_eq!(told.len(), missing.len(), "{version:?}: {told:?}");
            assert!(told.iter().zip(missing).all(|(sentence, word)| sentence.contains(word)), "{version:?}: {told:?}");
        }
    }

    #[test]
    fn without_landlock_one_sentence_says_all() {
        assert_eq!(lacking(ABI::Unsupported).len(), 1);
    }
}
