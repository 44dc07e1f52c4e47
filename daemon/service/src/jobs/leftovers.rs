//! What a worker that ended without a result may have left, worded without claiming more than is known.

use crate::types::JobKind;

use super::about::About;

/// What may be left of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    /// It had begun to give the subvolume its name. That is the last step: what has its name is whole, marked and
    /// read-only, and was on disk before.
    pub(super) named: bool,
    /// No sweep has run after it.
    pub(super) hidden: bool,
}

impl Leftovers {
    /// A part of a sentence.
    pub(super) fn words(self, about: &About) -> String {
        match about.kind {
            JobKind::Remove => return "the drive is not safe to unplug yet".to_owned(),
            JobKind::Verify => return "only a part of the drive was read".to_owned(),
            JobKind::Receive | JobKind::Backup | JobKind::Restore | JobKind::Import => {}
        }
        let which = match (&about.volume, &about.drive) {
            (Some(volume), _) => format!("\"{volume}\""),
            (None, Some(drive)) => format!("--drive {}", drive.id),
            (None, None) => String::new(),
        };
        let named = format!(
            "the subvolume may have been published, and is complete if it was: check with butterdock snapshots {which}"
        );
        let (target, next) = (about.target(), if about.volume.is_some() { "receive" } else { "backup" });
        let hidden = format!("a hidden subvolume may be left on the {target}; the next {next} removes it");
        match (self.named, self.hidden) {
            (false, false) => "no incomplete subvolume is left".to_owned(),
            (true, false) => named,
            (false, true) => hidden,
            (true, true) => format!("{named}; if not, {hidden}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VolumeName;

    #[test]
    fn what_is_not_known_is_not_promised() {
        let volume = VolumeName::try_from("tank".to_owned()).expect("a name");
        let about = About::receive(volume);
        let words = |named, hidden| Leftovers { named, hidden }.words(&about);
        assert!(words(false, false).starts_with("no incomplete subvolume"));
        for (named, hidden) in [(true, false), (false, true), (true, true)] {
            let words = words(named, hidden);
            assert!(!words.contains("nothing"), "{words}");
            assert_eq!(words.contains("butterdock snapshots \"tank\""), named, "{words}");
            assert_eq!(words.contains("hidden"), hidden, "{words}");
        }
    }
}
