//! The codes of problems, with their parameters and remedies. `build.rs` writes them into the man page, so this file depends on
//! nothing.

/// A code of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemRow {
    /// The code.
    pub code: &'static str,
    /// The names of its parameters, each with its D-Bus type. Any of them may be missing in a problem.
    pub params: &'static [(&'static str, &'static str)],
    /// What to do, as an English sentence.
    pub remedy: &'static str,
}

const LABEL: (&str, &str) = ("label", "s");
const DEVICE: (&str, &str) = ("device", "s");
const DEVICES: (&str, &str) = ("devices", "as");
const MISSING: (&str, &str) = ("missing", "t");
const COUNT: (&str, &str) = ("count", "t");
const FORMATS: (&str, &str) = ("formats", "as");
const ERROR: (&str, &str) = ("error", "s");
const REASON: (&str, &str) = ("reason", "s");
const BACKUP: (&str, &str) = ("backup", "s");
const TIME: (&str, &str) = ("time", "t");

/// All codes of this version. In the problems of a `Backup`, each may also have `destination` (s) and `label` (s): where it is wrong.
pub const PROBLEMS: &[ProblemRow] = &[
    row("backup-failed", &[BACKUP, ERROR, REASON, TIME], "Do what the reason says, then run the backup again."),
    row("backup-interrupted", &[BACKUP, ERROR, REASON, TIME], "Plug in the drive, or run the backup again."),
    row("backup-not-begun", &[BACKUP, ERROR, REASON, TIME], "Do what the reason says, then run the backup again."),
    row(
        "drive-became-read-only",
        &[],
        "Check the drive and its cable (dmesg), then plug it in again; everything that was reported as done is on it.",
    ),
    row("drive-changed", &[LABEL, DEVICE], "Plug the drive in again."),
    row("drive-cloned", &[LABEL, DEVICES], "Unplug the copy; neither is used while both are attached."),
    row(
        "drive-cryptsetup-missing",
        &[],
        "Install cryptsetup: without it the service cannot unlock an encrypted drive.",
    ),
    row(
        "drive-damaged",
        &[("blocks", "t"), ("files", "t"), ("snapshots", "t"), TIME],
        "Replace the drive, or delete the damaged snapshots, then verify it.",
    ),
    row(
        "drive-degraded",
        &[LABEL, MISSING, COUNT],
        "Plug in the missing devices; the drive can be read without them, but takes no backup. Replace one that has failed (btrfs \
         replace), then forget the drive and enrol it again.",
    ),
    row("drive-device-added", &[LABEL, DEVICE], "Forget the drive and enrol it again with all its devices."),
    row(
        "drive-device-count",
        &[LABEL, DEVICE, COUNT],
        "Plug in all devices; if one was added or removed after the enrolment, forget the drive and enrol it again.",
    ),
    row("drive-enrolled-again", &[LABEL], "Forget the drive and enrol it again."),
    row("drive-failed", &[ERROR, REASON], "Do what the reason says, then plug the drive in again."),
    row("drive-failing", &[], "Back up to another drive, and replace this one: it may lose its data at any time."),
    row(
        "drive-full",
        &[],
        "Run a backup, which deletes old snapshots; if that frees too little, keep fewer snapshots, or delete files on the drive.",
    ),
    row("drive-in-use", &[DEVICE], "End the programs that use the drive, then make it safe again."),
    row("drive-incomplete", &[LABEL, MISSING, COUNT], "Plug in all devices of the drive."),
    row("drive-key-file", &[], "Give the key file to root alone: chown root and chmod 600 it."),
    row("drive-locked", &[], "Unlock the drive."),
    row(
        "drive-log-damaged",
        &[],
        "Run btrfs rescue zero-log on a device of the unmounted drive, then plug it in again; the snapshots of finished backups stay.",
    ),
    row("drive-log-write-protected", &[], "Switch the write protection of the drive off, then plug it in again."),
    row(
        "drive-lost-writes",
        &[],
        "Check the drive and its cable (dmesg), plug it in again and check the files that you wrote to it yourself.",
    ),
    row(
        "drive-mount-point-in-use",
        &[],
        "Unmount what is mounted below the run directory of butterdockd, or remove the files there.",
    ),
    row(
        "drive-mounted-elsewhere",
        &[LABEL, DEVICE],
        "Unmount it in the other program; what is due then begins by itself.",
    ),
    row("drive-not-responding", &[REASON], "Check the drive and its cable, then plug it in again."),
    row(
        "drive-not-writable",
        &[],
        "Check the drive and its cable (dmesg), then plug it in again; if that does not help, replace the drive.",
    ),
    row("drive-older-copy", &[LABEL], "Plug in the drive itself, or forget it and enrol this copy."),
    row(
        "drive-other-filesystem",
        &[DEVICE, FORMATS],
        "If the backups on the drive are wanted, remove the other signatures (wipefs), then plug it in again.",
    ),
    row("drive-pulled", &[], "Plug the drive in again; the next backup sends what is missing."),
    row(
        "drive-superblock-damaged",
        &[DEVICE],
        "Do not format the drive if its backups are wanted: btrfs rescue and btrfs restore read what is left.",
    ),
    row("drive-token-missing", &[LABEL], "If the drive is yours, forget it and enrol it again."),
    row("drive-truncated", &[LABEL, DEVICE], "Connect the drive without the dock or enclosure that hides its end."),
    row(
        "drive-unlock-failed",
        &[DEVICE, ERROR, REASON],
        "Unlock the drive with its passphrase, or correct the key in the configuration.",
    ),
    row("drive-unlocked-elsewhere", &[LABEL, DEVICE], "Lock the drive in the program that unlocked it."),
    row(
        "drive-unplugged-in-use",
        &[],
        "Plug the drive in again and check the files that you wrote to it yourself; make it safe before you unplug it.",
    ),
    row(
        "drive-unreadable",
        &[LABEL, MISSING, COUNT],
        "Plug in the missing devices: the drive cannot be read without them.",
    ),
    row(
        "drive-unrecorded",
        &[],
        "Make room on the filesystem of the state directory, or make it writable, then plug the drive in again.",
    ),
    row(
        "drive-unsupported",
        &[FORMATS],
        "Copy the stream files to a drive with btrfs, ext2, ext3, ext4, FAT or exFAT.",
    ),
    row("drive-write-protected", &[], "Switch the write protection of the drive off, then plug it in again."),
    row("enrolment-unreadable", &[("drives", "as")], "Enrol these drives again, or forget them."),
    row("no-drive", &[], "Enrol a drive for the backup, or correct its drives in the configuration."),
    row(
        "notification-failed",
        &[("channel", "s"), ("cause", "s"), COUNT, TIME],
        "Correct the channel in the configuration, then test it (butterdock notify test).",
    ),
    row("record-unreadable", &[REASON], "Update butterdock, or forget the drive and enrol it again."),
    row("record-unwritable", &[REASON], "Make room on the filesystem of the state directory, or make it writable."),
    row(
        "snapshots-replaced",
        &[("backups", "as")],
        "Find out which machine changed the snapshots, check them, and back up again.",
    ),
    row(
        "source-low-space",
        &[REASON],
        "Free some space beside the source, back up to the drives that are away, or unpin them.",
    ),
    row("verify-overdue", &[REASON], "Leave the drive attached until a verify has ended."),
    row("would-fail", &[REASON], "Do what the reason says before the next run."),
];

const fn row(code: &'static str, params: &'static [(&'static str, &'static str)], remedy: &'static str) -> ProblemRow {
    ProblemRow { code, params, remedy }
}
