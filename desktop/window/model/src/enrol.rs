//! The dialog that enrols a drive: what the drive is, so that a person enrols the right one, and what happens to its files.

use butterdock_dbus::{DriveProperties, DriveState, EnrolEncryptedOptions, EnrolOptions};
use butterdock_desktop::objects::Objects;
use butterdock_desktop::text::{NAME_MAX, plain};
use butterdock_desktop::wording::drive_title;
use butterdock_desktop::words::Words;

/// The most bytes of a label on btrfs.
const LABEL_MAX: usize = 255;

/// The dialog, for the drive as it was when the dialog opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolDialog {
    /// Its heading.
    pub heading: String,
    /// What the drive is: names and values.
    pub facts: Vec<(String, String)>,
    /// What can be done with it, what is most likely wanted first.
    pub ways: Vec<Way>,
    /// Another program has it mounted; the words that say that it will be unmounted.
    pub unmount: Option<String>,
    drive: DriveProperties,
}

/// What happens to the files on a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Which of them.
    pub kind: WayKind,
    /// Its name.
    pub title: String,
    /// What it means.
    pub text: String,
    /// The words of the button.
    pub button: String,
}

/// What happens to the files on a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayKind {
    /// They stay.
    Keep,
    /// All of them are lost, and the drive gets a new filesystem.
    Erase,
    /// The same, and the new filesystem is encrypted.
    Encrypt,
}

/// What a person has entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// The way that is chosen.
    pub way: WayKind,
    /// The name of the new filesystem.
    pub label: String,
    /// What proves that this drive is meant.
    pub proof: String,
    /// Whether a passphrase is entered, and repeated where the way needs that.
    pub has_passphrase: bool,
    /// Whether this machine keeps a key, with which it unlocks the drive by itself.
    pub keeps_key: bool,
}

/// The dialog for the drive at this path; `None` if it is gone or enrolled already.
#[must_use]
pub fn enrol_dialog(objects: &Objects, words: &Words, path: &str) -> Option<EnrolDialog> {
    let drive = objects.drives.get(path).filter(|drive| !drive.enrolled && drive.state != DriveState::Away)?;
    let title = drive_title(words, drive);
    let serial = match plain(&drive.serial, NAME_MAX) {
        serial if serial.is_empty() => words.say("It has none", &[]),
        serial => serial,
    };
    let facts = [
        (words.say("Model", &[]), plain(&drive.model, NAME_MAX)),
        (words.say("Serial number", &[]), serial),
        (words.say("Size", &[]), words.size(drive.size)),
        (words.say("Device", &[]), plain(&drive.device, NAME_MAX)),
        (words.say("What is on it", &[]), contents(words, drive)),
    ];
    let unmount = drive
        .mounted_by_others
        .then(|| words.say("Another program, such as the file manager, has it mounted. It is unmounted first.", &[]));
    Some(EnrolDialog {
        heading: words.say("Use {drive} for backups", &[("drive", &title)]),
        facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        ways: ways(words, drive),
        unmount,
        drive: drive.clone(),
    })
}

fn contents(words: &Words, drive: &DriveProperties) -> String {
    match (drive.encrypted, drive.filesystem_type.as_str()) {
        (true, _) => words.say("An encrypted filesystem", &[]),
        (false, "") => words.say("No filesystem", &[]),
        (false, known) => plain(known, NAME_MAX),
    }
}

fn ways(words: &Words, drive: &DriveProperties) -> Vec<Way> {
    let keep = Way {
        kind: WayKind::Keep,
        title: words.say("Keep them", &[]),
        text: words.say("Backups are added to what is on the drive.", &[]),
        button: words.say("Enrol", &[]),
    };
    let erase = Way {
        kind: WayKind::Erase,
        title: words.say("Erase the drive", &[]),
        text: words.say("Everything on it is lost. It gets a new filesystem.", &[]),
        button: words.say("Erase and enrol", &[]),
    };
    let encrypt = Way {
        kind: WayKind::Encrypt,
        title: words.say("Erase and encrypt the drive", &[]),
        text: words.say("Everything on it is lost. Without the passphrase no one can read the drive.", &[]),
        button: words.say("Erase and enrol", &[]),
    };
    let can_keep = drive.filesystem_type == "btrfs" || drive.encrypted;
    can_keep.then_some(keep).into_iter().chain([erase, encrypt]).collect()
}

impl EnrolDialog {
    /// The size of what is erased: the whole disk, also if the drive is a partition of it.
    fn erased_size(&self) -> u64 {
        if self.is_partition() { self.drive.disk_size } else { self.drive.size }
    }

    fn is_partition(&self) -> bool {
        self.drive.device != self.drive.disk
    }

    /// The name that the new filesystem gets if a person enters no other.
    #[must_use]
    pub fn label(&self) -> String {
        plain(&self.drive.label, NAME_MAX)
    }

    /// Whether the drive says a serial number.
    #[must_use]
    pub fn has_serial(&self) -> bool {
        !self.drive.serial.is_empty()
    }

    /// What a person types before the drive is erased: its serial number, else its size in bytes.
    #[must_use]
    pub fn proof(&self) -> String {
        if self.drive.serial.is_empty() { self.erased_size().to_string() } else { self.drive.serial.clone() }
    }

    /// Whether a way needs a passphrase.
    #[must_use]
    pub fn needs_passphrase(&self, way: WayKind) -> bool {
        match way {
            WayKind::Keep => self.drive.encrypted,
            WayKind::Erase => false,
            WayKind::Encrypt => true,
        }
    }

    /// Whether what is entered is complete.
    #[must_use]
    pub fn is_ready(&self, entered: &Entered) -> bool {
        let label = entered.label.trim();
        let is_label = (1..=LABEL_MAX).contains(&label.len())
            && !label.contains(|letter: char| letter == '/' || letter.is_control());
        let is_proved = match entered.way {
            WayKind::Keep => self.ways.iter().any(|way| way.kind == WayKind::Keep),
            WayKind::Erase | WayKind::Encrypt => is_label && entered.proof.trim() == self.proof().trim(),
        };
        is_proved && (entered.has_passphrase || !self.needs_passphrase(entered.way))
    }

    /// The options of the call; with a passphrase of `EnrolEncrypted`, else the part `enrol` of `Enrol`. The service compares size and
    /// serial number with those of the drive.
    #[must_use]
    pub fn options(&self, entered: &Entered) -> EnrolEncryptedOptions {
        let unmount = self.drive.mounted_by_others;
        let enrol = match entered.way {
            WayKind::Keep => EnrolOptions { unmount, ..EnrolOptions::default() },
            WayKind::Erase | WayKind::Encrypt => EnrolOptions {
                format: true,
                whole_disk: self.is_partition(),
                size: Some(self.erased_size()),
                serial: Some(self.drive.serial.clone()),
                label: Some(entered.label.trim().to_owned()),
                unmount,
                ..EnrolOptions::default()
            },
        };
        EnrolEncryptedOptions { enrol, keep_key: entered.keeps_key && self.needs_passphrase(entered.way) }
    }

    /// Whether the drive that the dialog was opened for is still there.
    #[must_use]
    pub fn is_current(&self, objects: &Objects, path: &str) -> bool {
        let same = |drive: &DriveProperties| {
            (&drive.device, &drive.serial, drive.size) == (&self.drive.device, &self.drive.serial, self.drive.size)
        };
        objects.drives.get(path).is_some_and(|drive| !drive.enrolled && same(drive))
    }
}
