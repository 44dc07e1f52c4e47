//! What `org.butterdock.Butterdock1.Backup` takes and returns: its properties, and the options of `Run`.

use std::collections::HashMap;

use zbus::{ObjectPath, OwnedObjectPath, Variant};

use crate::error::Error;
use crate::options::{Options, boolean, object_path, unknown};
use crate::problem::Problem;
use crate::property::{Field, WrongProperty};

/// The properties of a backup; `xml/org.butterdock.Butterdock1.Backup.xml` documents them in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupProperties {
    /// The configured name. Constant.
    pub name: String,
    /// Whether it may run.
    pub enabled: bool,
    /// The paths of its destinations, attached or away.
    pub destinations: Vec<String>,
    /// When it begins by itself: `on-plug`, or `manual`.
    pub schedule: Vec<String>,
    /// Whether it would run on one of its destinations now, or when that is plugged in.
    pub due: bool,
    /// When its schedule begins it next, in microseconds since 1970; 0 if no time is scheduled.
    pub next_run: u64,
    /// The time of the last success by the path of the destination, in microseconds since 1970.
    pub last_good: HashMap<String, u64>,
    /// Whether its last success is too long ago.
    pub overdue: bool,
    /// What is wrong with it, and with its destinations as far as that concerns it.
    pub problems: Vec<Problem>,
    /// How many subvolumes below the source the last run left out.
    pub left_out: u64,
    /// How many snapshots it has beside its source.
    pub source_snapshots: u64,
    /// Bytes of data that deleting all of them would free; 0 if unknown.
    pub source_freeable: u64,
}

impl BackupProperties {
    /// Sets one property; an unknown property is ignored.
    ///
    /// # Errors
    /// The value has another type than the property.
    pub fn set(&mut self, property: &str, value: &Variant<'_>) -> Result<(), WrongProperty> {
        let field = match property {
            "Name" => Field::Text(&mut self.name),
            "Enabled" => Field::Boolean(&mut self.enabled),
            "Destinations" => Field::Paths(&mut self.destinations),
            "Schedule" => Field::Texts(&mut self.schedule),
            "Due" => Field::Boolean(&mut self.due),
            "NextRun" => Field::Number(&mut self.next_run),
            "LastGood" => Field::NumbersByPath(&mut self.last_good),
            "Overdue" => Field::Boolean(&mut self.overdue),
            "Problems" => Field::Problems(&mut self.problems),
            "LeftOut" => Field::Number(&mut self.left_out),
            "SourceSnapshots" => Field::Number(&mut self.source_snapshots),
            "SourceFreeable" => Field::Number(&mut self.source_freeable),
            _ => return Ok(()),
        };
        field.set(value).ok_or_else(|| WrongProperty(property.to_owned()))
    }
}

/// The options of `Backup.Run`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// `destination`, `o`: only on this destination.
    pub destination: Option<OwnedObjectPath>,
    /// `full`, `b`: send everything again, whatever the source and the destination share.
    pub full: bool,
    /// `new_source`, `b`: the subvolume that is at the source's path now is the source from now on, although another one was
    /// backed up before. Needs the action `manage`.
    pub new_source: bool,
}

impl RunOptions {
    /// All keys.
    pub const KEYS: &[&str] = &["destination", "full", "new_source"];

    /// Reads the options of a call.
    ///
    /// # Errors
    /// [`Error::InvalidArgs`] names an unknown key or a wrong type.
    pub fn from_options(options: &Options) -> Result<Self, Error> {
        let mut read = Self::default();
        for (key, value) in options {
            match key.as_str() {
                "destination" => read.destination = Some(object_path(key, value)?),
                "full" => read.full = boolean(key, value)?,
                "new_source" => read.new_source = boolean(key, value)?,
                _ => return Err(unknown(key, Self::KEYS)),
            }
        }
        Ok(read)
    }

    /// The dictionary for a call; unset options are left out.
    #[must_use]
    pub fn to_options(&self) -> HashMap<&'static str, Variant<'_>> {
        let mut options = HashMap::new();
        if let Some(destination) = &self.destination {
            options.insert("destination", Variant::from(ObjectPath::from(destination)));
        }
        for (key, is_set) in [("full", self.full), ("new_source", self.new_source)] {
            if is_set {
                options.insert(key, Variant::from(true));
            }
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::{complaint, owned};
    use crate::path::drive_path;

    #[test]
    fn run_options_round_trip() {
        let red = RunOptions { destination: Some(drive_path("3f2a")), full: true, new_source: true };
        for sent in [RunOptions::default(), red] {
            assert_eq!(RunOptions::from_options(&owned(sent.to_options())), Ok(sent.clone()));
        }
    }

    #[test]
    fn a_destination_is_a_path_and_no_text() {
        let run = |key, value| complaint(RunOptions::from_options(&owned([(key, value)])));
        assert!(run("destination", "/drives/x".into()).contains("type o, not s"));
        assert!(run("dry_run", true.into()).contains("\"dry_run\""));
    }

    #[test]
    fn every_property_is_read() {
        let path = drive_path("3f2a");
        let mut backup = BackupProperties::default();
        assert_eq!(backup.set("Destinations", &vec![path.clone()].into()), Ok(()));
        assert_eq!(backup.set("LastGood", &HashMap::from([(path.clone(), 7_u64)]).into()), Ok(()));
        assert_eq!(backup.set("Problems", &Vec::<Problem>::new().into()), Ok(()));
        assert_eq!(backup.set("Colour", &"red".into()), Ok(()));
        assert_eq!(backup.destinations, [path.as_str()]);
        assert_eq!(backup.last_good, HashMap::from([(path.to_string(), 7)]));
        for wrong in ["Destinations", "LastGood", "Problems", "Due"] {
            assert_eq!(backup.set(wrong, &7_u64.into()), Err(WrongProperty(wrong.to_owned())));
        }
    }
}
