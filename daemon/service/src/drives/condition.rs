//! The condition of a drive when it was unmounted.
//!
//! A filesystem that cannot write becomes read-only, and writes nothing more. Whether the drive is still safe to
//! unplug depends on what was reported:
//!
//! * A job succeeds only after everything that it wrote is on the drive (the last step of `receive`, and the token's
//!   write), and fails otherwise. So no data that a job reported as done is missing, whenever the filesystem became
//!   read-only. Unmounting is all that is left to do: the drive is safe, with a problem.
//! * Files that a user wrote to a drive mounted with `Drive.Mount` were never confirmed, and may be missing. Reporting
//!   the drive as safe would confirm them, so this is an error.
//!
//! Both are shown as the drive's problem until the next mount, which writes its token.

/// Sound, or read-only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It took all writes.
    #[default]
    Sound,
    /// It had become read-only, and only jobs had used it.
    ReadOnly,
    /// It had become read-only, and a person may have written to it.
    Unsaved,
}

impl Condition {
    pub(super) fn of_unmounted(is_writable: bool, was_mounted_by_a_person: bool) -> Self {
        match (is_writable, was_mounted_by_a_person) {
            (true, _) => Self::Sound,
            (false, false) => Self::ReadOnly,
            (false, true) => Self::Unsaved,
        }
    }

    /// Public; empty if there is none.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Sound => "",
            Self::ReadOnly => {
                "the drive became read-only after a write error; it is unmounted now, and has everything that was \
                 reported as done. Check the drive and its cable (dmesg), then plug it in again"
            }
            Self::Unsaved => {
                "the drive became read-only after a write error; it is unmounted now, and files that you wrote to it \
                 yourself may be missing. Check the drive and its cable (dmesg), plug it in again and check your \
                 files"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_person_wrote_can_be_missing_unreported() {
        assert_eq!(Condition::of_unmounted(false, false), Condition::ReadOnly);
        assert_eq!(Condition::of_unmounted(false, true), Condition::Unsaved);
        assert_eq!([false, true].map(|by_a_person| Condition::of_unmounted(true, by_a_person)), [Condition::Sound; 2]);
    }

    #[test]
    fn errors_say_what_to_do_without_a_path() {
        for condition in [Condition::ReadOnly, Condition::Unsaved] {
            let text = condition.sentence();
            assert!(text.contains("read-only") && text.contains("plug it in again") && !text.contains('/'), "{text}");
        }
        assert!(Condition::Sound.sentence().is_empty());
    }
}
