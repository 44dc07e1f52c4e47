//! Landlock: which files can be opened, created and removed.
//!
//! Beneath the destination the worker may do all that a stream can ask for. In the rest of the filesystem it may read,
//! because a parent or a clone source can be anywhere there, also outside of mounted subvolumes. All else is out of reach.
//! A rule holds for a directory through every mount that reaches it. A backup may also rename snapshots in a folder beside
//! its source. Descriptors that were open before, the stream and the socket, are not affected.

use std::io;
use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, PathBeneath,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::{ConfineError, Through, doing};

/// The newest version whose rights are known here; an older kernel keeps to those that it knows.
const KNOWN: ABI = ABI::V6;

/// What this kernel's Landlock does.
#[derive(Debug)]
pub(super) struct Landlock {
    /// Whether it does anything.
    pub enforced: bool,
    /// What it leaves out, in a sentence without names.
    pub lacking: Option<String>,
}

/// Shuts everything out but the destination and, for reading, its filesystem from the top on. Without a top, a stream that
/// needs it fails, and says so.
pub(super) fn restrict(place: Option<&Through>, folder: Option<BorrowedFd<'_>>) -> Result<Landlock, ConfineError> {
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

/// What a kernel with this version of Landlock does not keep a worker from: one line, whatever it is.
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
    (!open.is_empty())
        .then(|| format!("this kernel's Landlock leaves open what later Linux shuts: {}", open.join(", ")))
}

/// What came to Landlock later, by the version that brought it, and that of Linux. Below the second one nothing can be moved
/// between directories; those kernels cannot send what is received here either.
const LATER: [(ABI, &str, &str); 4] = [
    (ABI::V3, "truncating files by name", "6.2"),
    (ABI::V4, "the network, but for its namespace", "6.7"),
    (ABI::V5, "commands to devices", "6.10"),
    (ABI::V6, "signals and abstract sockets", "6.12"),
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
        let words = ["truncating", "network", "commands", "signals"];
        for (version, missing) in [
            (ABI::V2, &words[..]),
            (ABI::V3, &words[1..]),
            (ABI::V4, &words[2..]),
            (ABI::V5, &words[3..]),
            (ABI::V6, &[]),
            (ABI::V7, &[]),
        ] {
            let told = lacking(version);
            assert_eq!(told.is_none(), missing.is_empty(), "{version:?}: {told:?}");
            let told = told.unwrap_or_default();
            assert!(missing.iter().all(|word| told.contains(word)) && told.len() < 200, "{version:?}: {told}");
            assert_eq!(told.matches('(').count(), missing.len(), "{version:?}: {told}");
        }
    }

    #[test]
    fn without_landlock_one_sentence_says_all() {
        assert!(lacking(ABI::Unsupported).is_some_and(|told| told.contains("no Landlock")));
    }
}
