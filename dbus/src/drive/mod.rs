//! What `org.butterdock.Butterdock1.Drive` takes and returns: its properties, its options, and the rows of `ListMounts` and
//! `ListStreams`.

mod options;

use zbus::{DeserializeDict, OwnedVariant, SerializeDict, Type, Variant};

use crate::problem::Problem;
use crate::property::{Field, WrongProperty};
use crate::word::word;

pub use options::{EnrolEncryptedOptions, EnrolOptions, ImportOptions, SECRET_MAX, SafelyRemoveOptions};

word! {
    /// The state of a drive.
    DriveState {
        /// Attached; neither encrypted nor mounted by the service.
        Present = "present",
        /// Encrypted and locked.
        Locked = "locked",
        /// Unlocked and not mounted.
        Unlocked = "unlocked",
        /// Mounted by the service; no job uses it.
        Mounted = "mounted",
        /// A job uses it.
        Busy = "busy",
        /// It can be unplugged; nothing is lost.
        Safe = "safe",
        /// Enrolled, and not attached.
        Away = "away",
    }
    other
        /// A state of a later version.
        Other
}

/// The properties of a drive; `xml/org.butterdock.Butterdock1.Drive.xml` documents them in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveProperties {
    /// The filesystem's label (untrusted); empty without one, and while the drive is locked.
    pub label: String,
    /// What commands may call it: its id, its label, and its label at the enrolment.
    pub names: Vec<String>,
    /// Maker and model; empty if unknown.
    pub model: String,
    /// The hardware's serial number; empty if it has none. A dock may report its own.
    pub serial: String,
    /// The bus: `usb`, `ata`, `nvme` …; empty if unknown.
    pub bus: String,
    /// The kernel's name, such as `sdb1`; empty while it is not attached.
    pub device: String,
    /// The kernel's name of the disk that it is on; `device` itself if that has no partitions, empty while it is not attached.
    pub disk: String,
    /// Size of that disk in bytes.
    pub disk_size: u64,
    /// The kernel's names of all its devices that are attached.
    pub devices: Vec<String>,
    /// How many devices its filesystem has.
    pub device_count: u64,
    /// Size of all its devices in bytes.
    pub size: u64,
    /// `btrfs`, `ext4` …; empty while it is locked, or if unknown.
    pub filesystem_type: String,
    /// The filesystem's UUID; empty if unknown.
    pub filesystem_uuid: String,
    /// Whether it is encrypted with LUKS.
    pub encrypted: bool,
    /// Its state.
    pub state: DriveState,
    /// Whether another program has it mounted.
    pub mounted_by_others: bool,
    /// Why the service does not use it, its last error, and damage on it.
    pub problems: Vec<Problem>,
    /// What changed about it without being a problem, as an English sentence; empty without a note.
    pub note: String,
    /// Whether an administrator has enrolled it for this machine's backups.
    pub enrolled: bool,
    /// When an enrolled drive was last seen attached, in microseconds since 1970; 0 if it is not enrolled.
    pub last_seen: u64,
    /// What is known of its health.
    pub health: DriveHealth,
}

/// What is known of the health of a drive; an unknown value is missing.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type, Variant, OwnedVariant)]
#[zbus(signature = "a{sv}")]
pub struct DriveHealth {
    /// When the last verify of all its devices ended, in microseconds since 1970.
    pub verified: Option<u64>,
    /// The blocks that verifies found without a good copy.
    pub verify_errors: Option<u64>,
    /// The errors that btrfs had counted on its devices when the drive was used last.
    pub device_errors: Option<u64>,
    /// Whether one of its disks says that it is failing (SMART), as udisks knows it now.
    pub smart_failing: Option<bool>,
}

impl Default for DriveProperties {
    fn default() -> Self {
        Self {
            label: String::new(),
            names: Vec::new(),
            model: String::new(),
            serial: String::new(),
            bus: String::new(),
            device: String::new(),
            disk: String::new(),
            disk_size: 0,
            devices: Vec::new(),
            device_count: 0,
            size: 0,
            filesystem_type: String::new(),
            filesystem_uuid: String::new(),
            encrypted: false,
            state: DriveState::Present,
            mounted_by_others: false,
            problems: Vec::new(),
            note: String::new(),
            enrolled: false,
            last_seen: 0,
            health: DriveHealth::default(),
        }
    }
}

impl DriveProperties {
    /// A name for display: the label, else the model, else the kernel's name. Up to 64 characters. Control characters and
    /// characters that change the writing direction are replaced, because the label is untrusted.
    #[must_use]
    pub fn title(&self) -> String {
        let names = [&self.label, &self.model, &self.device];
        let chosen = names.into_iter().map(|name| name.trim()).find(|name| !name.is_empty()).unwrap_or("a drive");
        let plain = |letter: char| if letter.is_control() || is_format(letter) { '\u{fffd}' } else { letter };
        chosen.chars().take(TITLE_MAX).map(plain).collect()
    }

    /// Sets one property; an unknown property is ignored.
    ///
    /// # Errors
    /// The value has another type than the property.
    pub fn set(&mut self, property: &str, value: &Variant<'_>) -> Result<(), WrongProperty> {
        let field = match property {
            "Label" => Field::Text(&mut self.label),
            "Names" => Field::Texts(&mut self.names),
            "Model" => Field::Text(&mut self.model),
            "Serial" => Field::Text(&mut self.serial),
            "Bus" => Field::Text(&mut self.bus),
            "Device" => Field::Text(&mut self.device),
            "Disk" => Field::Text(&mut self.disk),
            "DiskSize" => Field::Number(&mut self.disk_size),
            "Devices" => Field::Texts(&mut self.devices),
            "DeviceCount" => Field::Number(&mut self.device_count),
            "Size" => Field::Number(&mut self.size),
            "FilesystemType" => Field::Text(&mut self.filesystem_type),
            "FilesystemUuid" => Field::Text(&mut self.filesystem_uuid),
            "Encrypted" => Field::Boolean(&mut self.encrypted),
            "State" => Field::from(&mut self.state),
            "MountedByOthers" => Field::Boolean(&mut self.mounted_by_others),
            "Problems" => Field::Problems(&mut self.problems),
            "Note" => Field::Text(&mut self.note),
            "Enrolled" => Field::Boolean(&mut self.enrolled),
            "LastSeen" => Field::Number(&mut self.last_seen),
            "Health" => Field::Health(&mut self.health),
            _ => return Ok(()),
        };
        field.set(value).ok_or_else(|| WrongProperty(property.to_owned()))
    }
}

const TITLE_MAX: usize = 64;

/// Whether a character ends a line or changes the writing direction, without being a control character.
fn is_format(letter: char) -> bool {
    let ranges = ['\u{200e}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    letter == '\u{61c}' || ranges.iter().any(|range| range.contains(&letter))
}

/// A row of `ListMounts`: one mount of the drive that another program made.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct MountRow {
    /// The mount point: bytes. Missing if the caller may not know it.
    pub path: Option<Vec<u8>>,
}

/// A row of `ListStreams`: one stream file on a drive.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct StreamRow {
    /// The file's name: bytes, as on disk.
    pub name: Vec<u8>,
    /// Its size in bytes.
    pub size: u64,
    /// The name of the stream's first subvolume; empty if the stream cannot be read.
    pub subvolume: Vec<u8>,
    /// The sender's UUID of that subvolume; empty if the stream cannot be read.
    pub uuid: String,
    /// The sender's UUID of the parent; missing for a full stream.
    pub parent_uuid: Option<String>,
    /// Why it cannot be received, as an English sentence; missing if it can.
    pub problem: Option<String>,
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;

    #[test]
    fn unknown_properties_are_ignored_and_wrong_types_refused() {
        let mut drive = DriveProperties::default();
        assert_eq!(drive.set("Colour", &Variant::from("red")), Ok(()));
        assert_eq!(drive.set("Names", &Variant::from(vec!["3f2a", "Blue"])), Ok(()));
        assert_eq!(drive.set("State", &Variant::from("asleep")), Ok(()));
        assert_eq!(drive.names, ["3f2a", "Blue"]);
        let health = DriveHealth { verified: Some(7), verify_errors: Some(0), ..DriveHealth::default() };
        assert_eq!(drive.set("Health", &Variant::from(health.clone())), Ok(()));
        assert_eq!(drive.health, health);
        assert_eq!(drive.state, DriveState::Other("asleep".to_owned()));
        assert_eq!(drive.set("Names", &Variant::from("Blue")), Err(WrongProperty("Names".to_owned())));
    }

    #[test]
    fn labels_are_escaped_for_password_dialogs() {
        let mut drive = DriveProperties { device: "sdb1".to_owned(), ..DriveProperties::default() };
        assert_eq!(drive.title(), "sdb1");
        drive.model = " Elements 25A2 ".to_owned();
        assert_eq!(drive.title(), "Elements 25A2");
        drive.label = format!("\u{1b}[2J\u{202e}{}", "x".repeat(100));
        assert_eq!(drive.title(), format!("\u{fffd}[2J\u{fffd}{}", "x".repeat(59)));
    }

    #[test]
    fn rows_round_trip() {
        let context = Context::new(LE, 0);
        let row = StreamRow { name: b"a.send".to_vec(), size: 7, ..StreamRow::default() };
        let bytes = to_bytes(context, &row).expect("written");
        assert_eq!(bytes.deserialize::<StreamRow>().expect("a row").0, row);
    }
}
