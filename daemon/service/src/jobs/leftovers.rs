//! What may be left of a job that was ended.

use super::job::About;

/// What may be left of a job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Leftovers {
    /// It had begun to publish the subvolume. That is the last step: a published subvolume is complete, marked, read-only
    /// and durable.
    pub(super) named: bool,
    /// No sweep has run after it.
    pub(super) hidden: bool,
}

impl Leftovers {
    /// A part of a sentence, for a job that receives subvolumes.
    pub(super) fn words(self, about: &About) -> String {
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
    fn the_message_promises_only_what_is_known() {
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
