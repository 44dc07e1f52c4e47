//! The words of the service's problems: for each code how bad it is, what is wrong, and what to do.

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A person is asked for something.
    Info,
    /// Backups do not run as they should.
    Warning,
    /// A backup failed, or data is in danger.
    Danger,
}

/// The words of a code. Names in braces are parameters of the problem.
#[derive(Debug)]
pub struct ProblemWords {
    pub code: &'static str,
    pub severity: Severity,
    pub title: &'static str,
    /// Empty where the problem's reason says what to do.
    pub remedy: &'static str,
}

/// The words of a code; `None` for a code of a later version.
pub fn words_of(code: &str) -> Option<&'static ProblemWords> {
    WORDS.iter().find(|row| row.code == code)
}

/// What to do about an error of the service, where its sentence speaks to users of the command line.
pub fn error_words(name: &str) -> Option<&'static str> {
    let short = name.rsplit('.').next()?;
    ERRORS.iter().find(|(error, _)| *error == short).map(|(_, words)| *words)
}

const ERRORS: &[(&str, &str)] = &[
    ("NotAuthorized", "You may not do this. Ask an administrator."),
    ("Busy", "It is busy with another job. Try again when that has ended."),
    ("NoSpace", "The drive is full. Keep fewer snapshots, or take a larger drive."),
    ("DeviceGone", "The drive is not attached. Plug it in and try again."),
];

const WORDS: &[ProblemWords] = &[
    row("backup-failed", Severity::Danger, "The backup {backup} failed", ""),
    row("backup-interrupted", Severity::Warning, "The backup {backup} was interrupted", ""),
    row("backup-not-begun", Severity::Danger, "The backup {backup} could not begin", ""),
    row(
        "drive-became-read-only",
        Severity::Danger,
        "The drive stopped accepting data",
        "Check the drive and its cable, then plug it in again. Everything that was reported as done is on it.",
    ),
    row("drive-changed", Severity::Warning, "The drive changed while it was in use", "Plug it in again."),
    row(
        "drive-cloned",
        Severity::Danger,
        "A copy of this drive is attached: {devices}",
        "Unplug the copy. Neither is used while both are attached.",
    ),
    row(
        "drive-cryptsetup-missing",
        Severity::Danger,
        "Encrypted drives cannot be unlocked",
        "Install the package cryptsetup on this machine.",
    ),
    row(
        "drive-damaged",
        Severity::Danger,
        "Damaged data was found on the drive",
        "Replace the drive, or delete the damaged snapshots and verify it again.",
    ),
    row(
        "drive-degraded",
        Severity::Danger,
        "{missing} of {count} devices of this drive are missing",
        "Plug in the missing devices. Without them the drive can be read, but takes no backup.",
    ),
    row(
        "drive-device-added",
        Severity::Warning,
        "The drive has one more device than when it was enrolled",
        "Forget the drive and enrol it again with all its devices.",
    ),
    row(
        "drive-device-count",
        Severity::Warning,
        "The drive has another number of devices than when it was enrolled",
        "Plug in all devices. If one was added or removed, forget the drive and enrol it again.",
    ),
    row(
        "drive-enrolled-again",
        Severity::Warning,
        "The drive was enrolled again elsewhere",
        "Forget the drive and enrol it again.",
    ),
    row(
        "drive-failed",
        Severity::Danger,
        "The drive cannot be used: {reason}",
        "Correct the cause, then plug the drive in again.",
    ),
    row(
        "drive-failing",
        Severity::Danger,
        "The drive says that it is failing",
        "Back up to another drive, and replace this one: it may lose its data at any time.",
    ),
    row(
        "drive-full",
        Severity::Danger,
        "The drive is full",
        "Back up: that deletes old snapshots. If it frees too little, keep fewer snapshots.",
    ),
    row(
        "drive-in-use",
        Severity::Warning,
        "Programs are using the drive",
        "End the programs that use it, then remove it safely again.",
    ),
    row(
        "drive-incomplete",
        Severity::Warning,
        "{missing} of {count} devices of this drive are missing",
        "Plug in all devices of the drive.",
    ),
    row(
        "drive-key-file",
        Severity::Danger,
        "Others than root can read the key file of the drive",
        "Give the key file to root alone (mode 600).",
    ),
    row("drive-locked", Severity::Info, "The drive is locked", "Unlock it with its passphrase to use it."),
    row(
        "drive-log-damaged",
        Severity::Danger,
        "The log of the filesystem is damaged",
        "Run “btrfs rescue zero-log” on the unmounted drive, then plug it in again. The snapshots of finished backups stay.",
    ),
    row(
        "drive-log-write-protected",
        Severity::Warning,
        "The drive is write-protected and must be repaired",
        "Switch its write protection off, then plug it in again.",
    ),
    row(
        "drive-lost-writes",
        Severity::Danger,
        "The drive lost data that you wrote to it",
        "Check the drive and its cable, plug it in again, and check the files that you wrote to it yourself.",
    ),
    row(
        "drive-mount-point-in-use",
        Severity::Danger,
        "The place where the drive is mounted is in use",
        "Unmount what is mounted below the run directory of butterdockd, or remove the files there.",
    ),
    row(
        "drive-mounted-elsewhere",
        Severity::Warning,
        "Another program has mounted the drive",
        "Unmount it there. What is due then begins by itself.",
    ),
    row(
        "drive-not-responding",
        Severity::Danger,
        "The drive does not respond",
        "Check the drive and its cable, then plug it in again.",
    ),
    row(
        "drive-not-writable",
        Severity::Danger,
        "The drive cannot be written",
        "Check the drive and its cable, then plug it in again. If that does not help, replace the drive.",
    ),
    row(
        "drive-older-copy",
        Severity::Warning,
        "This is an older copy of an enrolled drive",
        "Plug in the drive itself, or forget it and enrol this copy.",
    ),
    row(
        "drive-other-filesystem",
        Severity::Warning,
        "Another format is on the drive beside btrfs: {formats}",
        "If you want the backups on it, remove the other signatures (wipefs), then plug it in again. Do not format it.",
    ),
    row(
        "drive-pulled",
        Severity::Warning,
        "Unplugged too early",
        "Plug it in again. The next backup sends what is missing.",
    ),
    row(
        "drive-superblock-damaged",
        Severity::Danger,
        "The filesystem of the drive is damaged",
        "Do not format it if you want its backups: “btrfs rescue” and “btrfs restore” read what is left.",
    ),
    row(
        "drive-token-missing",
        Severity::Warning,
        "The drive does not prove that it belongs to this machine",
        "If it is yours, forget it and enrol it again.",
    ),
    row(
        "drive-truncated",
        Severity::Danger,
        "The end of the drive is not accessible",
        "Connect it without the dock or enclosure that hides its end.",
    ),
    row("drive-unlock-failed", Severity::Danger, "The drive could not be unlocked by itself", ""),
    row(
        "drive-unlocked-elsewhere",
        Severity::Warning,
        "Another program has unlocked the drive",
        "Lock it in the program that unlocked it.",
    ),
    row(
        "drive-unplugged-in-use",
        Severity::Warning,
        "The drive was unplugged while you used it",
        "Plug it in again and check the files that you wrote to it yourself. Remove it safely next time.",
    ),
    row(
        "drive-unreadable",
        Severity::Danger,
        "The drive cannot be read: {missing} of {count} devices are missing",
        "Plug in the missing devices.",
    ),
    row(
        "drive-unrecorded",
        Severity::Danger,
        "The state of the drive cannot be recorded on this machine",
        "Make room on the system's disk, then plug the drive in again.",
    ),
    row(
        "drive-unsupported",
        Severity::Warning,
        "The format of this drive is not supported: {formats}",
        "Copy the stream files to a drive with btrfs, ext4, FAT or exFAT.",
    ),
    row(
        "drive-write-protected",
        Severity::Warning,
        "The drive is write-protected",
        "Switch its write protection off, then plug it in again.",
    ),
    row(
        "enrolment-unreadable",
        Severity::Danger,
        "The record of the drive {drives} cannot be read",
        "Enrol this drive again, or forget it. Until then no snapshot on this machine is deleted.",
    ),
    row(
        "no-drive",
        Severity::Warning,
        "The backup has no drive",
        "Enrol a drive for it, or choose another one in its settings.",
    ),
    row(
        "notification-failed",
        Severity::Warning,
        "Notifications over {channel} do not arrive",
        "Correct the channel in the configuration, then test it (butterdock notify test).",
    ),
    row(
        "record-unreadable",
        Severity::Danger,
        "The record on the drive cannot be read",
        "Update butterdock, or forget the drive and enrol it again.",
    ),
    row(
        "record-unwritable",
        Severity::Danger,
        "The result of the backup cannot be recorded on this machine",
        "Make room on the system's disk, or make it writable.",
    ),
    row(
        "snapshots-replaced",
        Severity::Danger,
        "Another machine changed the snapshots of: {backups}",
        "Find out which machine did that, check them, and back up again.",
    ),
    row(
        "source-low-space",
        Severity::Warning,
        "Little space is left beside the source",
        "Free some space there, or back up to the drives that are away.",
    ),
    row(
        "verify-overdue",
        Severity::Warning,
        "The drive was not verified for a long time",
        "Leave the drive attached until a verify has ended.",
    ),
    row("would-fail", Severity::Warning, "The next backup would fail", ""),
];

const fn row(code: &'static str, severity: Severity, title: &'static str, remedy: &'static str) -> ProblemWords {
    ProblemWords { code, severity, title, remedy }
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    let rows = WORDS.iter().flat_map(|row| [row.title, row.remedy]);
    rows.chain(ERRORS.iter().map(|(_, words)| *words)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use butterdock_dbus::PROBLEMS;

    use super::*;

    #[test]
    fn each_code_of_the_service_has_words() {
        let codes: Vec<_> = PROBLEMS.iter().map(|row| row.code).collect();
        assert_eq!(WORDS.iter().map(|row| row.code).collect::<Vec<_>>(), codes);
    }

    #[test]
    fn words_name_only_parameters_of_their_code() {
        for (row, known) in WORDS.iter().zip(PROBLEMS) {
            for name in [row.title, row.remedy].iter().flat_map(|text| text.split('{').skip(1)) {
                let name = name.split('}').next().expect("closed");
                assert!(known.params.iter().any(|(param, _)| *param == name), "{name} of {}", row.code);
            }
        }
    }
}
