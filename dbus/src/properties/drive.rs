//! A drive at one moment.

use zbus::Variant;

use super::WrongProperty;
use super::place::Place;
use crate::drive::DriveState;

/// The properties of a drive; `xml/org.butterdock.Butterdock1.Drive.xml` says at length what each means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveProperties {
    /// The filesystem's label; empty where there is none or it is locked.
    pub label: String,
    /// Maker and model; empty unknown. Constant.
    pub model: String,
    /// The hardware's serial number; empty where there is none. Constant.
    pub serial: String,
    /// How it is attached: `usb`, `ata`, `nvme` …; empty unknown.
    pub bus: String,
    /// The kernel's name of it, such as `sdb1`; empty while it is not attached.
    pub device: String,
    /// Bytes that it has.
    pub size: u64,
    /// Bytes that were free when it was last mounted here; 0 unknown.
    pub free: u64,
    /// `btrfs`, `ext4` …; empty where it is unknown or locked.
    pub filesystem_type: String,
    /// The filesystem's UUID; empty where it is unknown.
    pub filesystem_uuid: String,
    /// Whether LUKS is on it.
    pub encrypted: bool,
    /// Where it stands.
    pub state: DriveState,
    /// What is wrong with it, for a person; empty while nothing is.
    pub problem: String,
    /// Whether it belongs to this machine.
    pub enrolled: bool,
    /// When the last backup to it succeeded, in microseconds since 1970; 0 never.
    pub last_backup: u64,
    /// The names of the configured backups that go to it.
    pub backups: Vec<String>,
}

impl Default for DriveProperties {
    fn default() -> Self {
        Self {
            label: String::new(),
            model: String::new(),
            serial: String::new(),
            bus: String::new(),
            device: String::new(),
            size: 0,
            free: 0,
            filesystem_type: String::new(),
            filesystem_uuid: String::new(),
            encrypted: false,
            state: DriveState::Present,
            problem: String::new(),
            enrolled: false,
            last_backup: 0,
            backups: Vec::new(),
        }
    }
}

impl DriveProperties {
    /// What a person calls it: its label, else its model, else the kernel's name of it. At most 64 letters, and none that
    /// steers a terminal or a dialog: whoever made the drive chose them.
    #[must_use]
    pub fn title(&self) -> String {
        let names = [&self.label, &self.model, &self.device];
        let chosen = names.into_iter().map(|name| name.trim()).find(|name| !name.is_empty()).unwrap_or("a drive");
        let plain = |letter: char| if letter.is_control() || turns(letter) { '\u{fffd}' } else { letter };
        chosen.chars().take(TITLE_MAX).map(plain).collect()
    }

    /// Takes over one property; one that this version does not know is skipped.
    ///
    /// # Errors
    /// The value is not of the property's type.
    pub fn set(&mut self, property: &str, value: &Variant<'_>) -> Result<(), WrongProperty> {
        let place = match property {
            "Label" => Place::Text(&mut self.label),
            "Model" => Place::Text(&mut self.model),
            "Serial" => Place::Text(&mut self.serial),
            "Bus" => Place::Text(&mut self.bus),
            "Device" => Place::Text(&mut self.device),
            "Size" => Place::Number(&mut self.size),
            "Free" => Place::Number(&mut self.free),
            "FilesystemType" => Place::Text(&mut self.filesystem_type),
            "FilesystemUuid" => Place::Text(&mut self.filesystem_uuid),
            "Encrypted" => Place::Truth(&mut self.encrypted),
            "State" => Place::from(&mut self.state),
            "Problem" => Place::Text(&mut self.problem),
            "Enrolled" => Place::Truth(&mut self.enrolled),
            "LastBackup" => Place::Number(&mut self.last_backup),
            "Backups" => Place::Texts(&mut self.backups),
            _ => return Ok(()),
        };
        place.fill(value).ok_or_else(|| WrongProperty(property.to_owned()))
    }
}

const TITLE_MAX: usize = 64;

/// Whether a letter ends a line or changes the direction of writing, without being a control character.
fn turns(letter: char) -> bool {
    let ranges = ['\u{200e}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}'];
    letter == '\u{61c}' || ranges.iter().any(|range| range.contains(&letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_properties_are_ignored_and_wrong_types_refused() {
        let mut drive = DriveProperties::default();
        assert_eq!(drive.set("Colour", &Variant::from("red")), Ok(()));
        assert_eq!(drive.set("Backups", &Variant::from(vec!["home", "root"])), Ok(()));
        assert_eq!(drive.set("State", &Variant::from("asleep")), Ok(()));
        assert_eq!(drive.backups, ["home", "root"]);
        assert_eq!(drive.state, DriveState::Other("asleep".to_owned()));
        assert_eq!(drive.set("Backups", &Variant::from("home")), Err(WrongProperty("Backups".to_owned())));
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
}
