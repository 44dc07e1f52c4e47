//! What `org.butterdock.Butterdock1.Destination` takes and returns: its properties, its options, and the rows of
//! `ListSnapshots`.

mod options;

use zbus::{DeserializeDict, OwnedVariant, SerializeDict, Type, Variant};

use crate::problem::Problem;
use crate::property::{Field, WrongProperty};
use crate::word::word;

pub use options::{BackupOptions, RestoreOptions, UnpinOptions};

word! {
    /// What a destination is.
    DestinationKind {
        /// An enrolled drive.
        Drive = "drive",
        /// A volume of this machine.
        Volume = "volume",
    }
    other
        /// A kind of a later version.
        Other
}

word! {
    /// The state of a destination. Of a drive it is the state of the drive.
    DestinationState {
        /// It is there, and no job uses it.
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
        /// It is not there.
        Away = "away",
    }
    other
        /// A state of a later version.
        Other
}

/// The properties of a destination; `xml/org.butterdock.Butterdock1.Destination.xml` documents them in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationProperties {
    /// Its name for display: the label of a drive, the configured name of another destination.
    pub name: String,
    /// What it is.
    pub kind: DestinationKind,
    /// Its state.
    pub state: DestinationState,
    /// What is wrong with it and with the backups to it.
    pub problems: Vec<Problem>,
    /// Free bytes when it was used last; 0 if unknown.
    pub free: u64,
    /// Its size in bytes; 0 if unknown.
    pub size: u64,
    /// The time of the last successful backup to it, in microseconds since 1970; 0 if never.
    pub last_backup: u64,
    /// The time of the end of the last complete verify of it, in microseconds since 1970; 0 if never.
    pub last_verify: u64,
    /// When its next verify begins by itself, in microseconds since 1970; 0 without `verify_every`.
    pub next_verify: u64,
    /// When its next backup is scheduled, in microseconds since 1970; 0 without a scheduled time.
    pub next_run: u64,
    /// Whether a backup to it is overdue.
    pub overdue: bool,
    /// The names of its configured backups, in the order in which they run.
    pub backups: Vec<String>,
    /// Which machines made the snapshots on it, as of its last use.
    pub origins: Vec<SnapshotsOfMachine>,
}

/// How many snapshots on a destination one machine made.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type, Variant, OwnedVariant)]
#[zbus(signature = "a{sv}")]
pub struct SnapshotsOfMachine {
    /// A word of [`SnapshotOrigin`]; missing for snapshots without a record.
    pub origin: Option<String>,
    /// The id of another machine on destinations.
    pub machine: Option<String>,
    /// How many.
    pub snapshots: u64,
    /// When the newest was made, in microseconds since 1970.
    pub newest: Option<u64>,
}

impl Default for DestinationProperties {
    fn default() -> Self {
        Self {
            name: String::new(),
            kind: DestinationKind::Drive,
            state: DestinationState::Away,
            problems: Vec::new(),
            free: 0,
            size: 0,
            last_backup: 0,
            last_verify: 0,
            next_verify: 0,
            next_run: 0,
            overdue: false,
            backups: Vec::new(),
            origins: Vec::new(),
        }
    }
}

impl DestinationProperties {
    /// Sets one property; an unknown property is ignored.
    ///
    /// # Errors
    /// The value has another type than the property.
    pub fn set(&mut self, property: &str, value: &Variant<'_>) -> Result<(), WrongProperty> {
        let field = match property {
            "Name" => Field::Text(&mut self.name),
            "Kind" => Field::from(&mut self.kind),
            "State" => Field::from(&mut self.state),
            "Problems" => Field::Problems(&mut self.problems),
            "Free" => Field::Number(&mut self.free),
            "Size" => Field::Number(&mut self.size),
            "LastBackup" => Field::Number(&mut self.last_backup),
            "LastVerify" => Field::Number(&mut self.last_verify),
            "NextVerify" => Field::Number(&mut self.next_verify),
            "NextRun" => Field::Number(&mut self.next_run),
            "Overdue" => Field::Boolean(&mut self.overdue),
            "Backups" => Field::Texts(&mut self.backups),
            "Origins" => Field::Origins(&mut self.origins),
            _ => return Ok(()),
        };
        field.set(value).ok_or_else(|| WrongProperty(property.to_owned()))
    }
}

word! {
    /// Which machine made a snapshot on a destination, from the records there.
    SnapshotOrigin {
        /// This machine.
        ThisMachine = "this-machine",
        /// Another machine; this machine never deletes the snapshot.
        OtherMachine = "other-machine",
    }
    other
        /// An origin of a later version.
        Other
}

/// A row of `ListSnapshots`: one snapshot on a destination.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct SnapshotRow {
    /// Its name: bytes, as on disk. Two snapshots in different directories may have the same.
    pub name: Vec<u8>,
    /// Its UUID on the destination, the argument of `Restore`.
    pub uuid: String,
    /// The name of its backup on the machine that made it.
    pub backup: Option<String>,
    /// A word of [`SnapshotOrigin`]. Without a record there is none, and the snapshot is never deleted.
    pub origin: Option<String>,
    /// The id of another machine on destinations.
    pub machine: Option<String>,
    /// When the snapshot was made, in microseconds since 1970.
    pub created: Option<u64>,
    /// The UUID of the sender's subvolume.
    pub received_uuid: Option<String>,
    /// The UUID of its parent on the destination.
    pub parent_uuid: Option<String>,
    /// Whether it is kept as the parent of the next increment.
    pub pinned: Option<bool>,
    /// Whether this machine made it, but no configured backup prunes it: the backup is not configured any more, or has another
    /// source now.
    pub left_over: Option<bool>,
    /// Whether a person holds it: no rule and no shortage of space deletes it.
    pub held: Option<bool>,
    /// The reason of the hold; empty without one.
    pub held_reason: Option<String>,
    /// Since when it is held, in microseconds since 1970. Missing if the hold cannot be read.
    pub held_since: Option<u64>,
    /// Its path from the top of the destination: bytes.
    pub path: Option<Vec<u8>>,
    /// For the snapshot of a subvolume below a source: the path of the subvolume from the root of the source, as bytes.
    pub nested_path: Option<Vec<u8>>,
    /// For such a snapshot: the UUID of the source's snapshot of the same run. Missing if the run is incomplete.
    pub run: Option<String>,
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;

    #[test]
    fn properties_are_read_and_unknown_ones_ignored() {
        let mut destination = DestinationProperties::default();
        assert_eq!(destination.set("Colour", &Variant::from("red")), Ok(()));
        assert_eq!(destination.set("Kind", &Variant::from("volume")), Ok(()));
        assert_eq!(destination.set("State", &Variant::from("asleep")), Ok(()));
        assert_eq!(destination.set("Backups", &Variant::from(vec!["home", "root"])), Ok(()));
        let problem =
            Problem { code: "drive".to_owned(), params: Default::default(), english: "it is full".to_owned() };
        assert_eq!(destination.set("Problems", &Variant::from(vec![problem.clone()])), Ok(()));
        assert_eq!((&destination.kind, &destination.problems), (&DestinationKind::Volume, &vec![problem]));
        assert_eq!(destination.state, DestinationState::Other("asleep".to_owned()));
        assert_eq!(destination.backups, ["home", "root"]);
        let own = SnapshotsOfMachine { snapshots: 3, newest: Some(7), ..SnapshotsOfMachine::default() };
        assert_eq!(destination.set("Origins", &Variant::from(vec![own.clone()])), Ok(()));
        assert_eq!(destination.origins, [own]);
        for (name, wrong) in [("Overdue", Variant::from(0_u64)), ("Problems", Variant::from(vec!["it is full"]))] {
            assert_eq!(destination.set(name, &wrong), Err(WrongProperty(name.to_owned())));
        }
    }

    #[test]
    fn a_snapshot_row_round_trips() {
        let context = Context::new(LE, 0);
        let row = SnapshotRow { name: b"a\xff".to_vec(), pinned: Some(true), ..SnapshotRow::default() };
        let bytes = to_bytes(context, &row).expect("written");
        assert_eq!(bytes.deserialize::<SnapshotRow>().expect("a row").0, row);
    }
}
