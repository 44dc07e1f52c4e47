//! The service's objects as the programs of a session know them: drives, destinations, backups and jobs with their properties.

use std::collections::{BTreeMap, HashMap};

use butterdock_dbus::names::interface;
use butterdock_dbus::{
    BackupProperties, DestinationProperties, DriveProperties, DriveState, JobProperties, WrongProperty,
};
use zbus::OwnedVariant;
use zbus::fdo::ManagedObjects;

/// The properties of an interface that came or changed.
pub type Properties = HashMap<String, OwnedVariant>;

/// The objects by their paths.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Objects {
    /// The drives, attached and away.
    pub drives: BTreeMap<String, DriveProperties>,
    /// The destinations; that of an enrolled drive has the path of the drive.
    pub destinations: BTreeMap<String, DestinationProperties>,
    /// The configured backups.
    pub backups: BTreeMap<String, BackupProperties>,
    /// The jobs, also those that have ended a short time ago.
    pub jobs: BTreeMap<String, JobProperties>,
}

impl Objects {
    /// Reads the answer of `GetManagedObjects`; and what in it is not of the contract.
    pub fn read(managed: &ManagedObjects) -> (Self, Vec<WrongProperty>) {
        let (mut objects, mut wrong) = (Self::default(), Vec::new());
        for (path, interfaces) in managed {
            for (interface, properties) in interfaces {
                wrong.extend(objects.added(path.as_str(), interface.as_str(), properties));
            }
        }
        (objects, wrong)
    }

    /// An interface was added to an object. Returns what in it is not of the contract.
    pub fn added(&mut self, path: &str, interface: &str, properties: &Properties) -> Vec<WrongProperty> {
        match interface {
            interface::DRIVE => self.drives.insert(path.to_owned(), DriveProperties::default()).map(drop),
            interface::DESTINATION => {
                self.destinations.insert(path.to_owned(), DestinationProperties::default()).map(drop)
            }
            interface::BACKUP => self.backups.insert(path.to_owned(), BackupProperties::default()).map(drop),
            interface::JOB => self.jobs.insert(path.to_owned(), JobProperties::default()).map(drop),
            _ => None,
        };
        self.changed(path, interface, properties)
    }

    /// Properties changed. Returns those that are not of the contract.
    pub fn changed(&mut self, path: &str, interface: &str, properties: &Properties) -> Vec<WrongProperty> {
        let set = |name: &str, value: &OwnedVariant| match interface {
            interface::DRIVE => self.drives.get_mut(path).map(|drive| drive.set(name, value)),
            interface::DESTINATION => self.destinations.get_mut(path).map(|destination| destination.set(name, value)),
            interface::BACKUP => self.backups.get_mut(path).map(|backup| backup.set(name, value)),
            interface::JOB => self.jobs.get_mut(path).map(|job| job.set(name, value)),
            _ => None,
        };
        let mut set = set;
        properties.iter().filter_map(|(name, value)| set(name, value)?.err()).collect()
    }

    /// Interfaces were removed from an object.
    pub fn removed<'i>(&mut self, path: &str, interfaces: impl IntoIterator<Item = &'i str>) {
        for interface in interfaces {
            match interface {
                interface::DRIVE => self.drives.remove(path).map(drop),
                interface::DESTINATION => self.destinations.remove(path).map(drop),
                interface::BACKUP => self.backups.remove(path).map(drop),
                interface::JOB => self.jobs.remove(path).map(drop),
                _ => None,
            };
        }
    }

    /// The jobs of a drive, in the order of their requests.
    pub fn jobs_of_drive(&self, drive: &str) -> Vec<(&str, &JobProperties)> {
        let of_drive = self.jobs.iter().filter(|(_, job)| job.drive == drive);
        let mut jobs: Vec<_> = of_drive.map(|(path, job)| (path.as_str(), job)).collect();
        jobs.sort_by_key(|(_, job)| job.start_time);
        jobs
    }

    /// Whether the destination can take a backup now: a drive that is attached, or a volume that is there.
    pub fn is_there(&self, destination: &str) -> bool {
        match self.drives.get(destination) {
            Some(drive) => drive.state != DriveState::Away,
            None => self.destinations.contains_key(destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use zbus::Variant;

    use super::*;

    fn properties(all: &[(&str, Variant<'_>)]) -> Properties {
        all.iter().map(|(name, value)| ((*name).to_owned(), value.try_to_owned().expect("no descriptor"))).collect()
    }

    #[test]
    fn objects_come_change_and_go() {
        let mut objects = Objects::default();
        let drive = "/org/butterdock/Butterdock1/drives/a";
        let come = properties(&[("Label", "Blue".into()), ("State", "busy".into())]);
        assert!(objects.added(drive, interface::DRIVE, &come).is_empty());
        assert!(objects.added(drive, interface::DESTINATION, &properties(&[("Name", "Blue".into())])).is_empty());
        assert!(objects.changed(drive, interface::DRIVE, &properties(&[("State", "safe".into())])).is_empty());
        assert_eq!((&*objects.drives[drive].label, &objects.drives[drive].state), ("Blue", &DriveState::Safe));
        objects.removed(drive, [interface::DESTINATION]);
        assert!(objects.destinations.is_empty() && objects.drives.len() == 1);
        objects.removed(drive, [interface::DRIVE]);
        assert_eq!(objects, Objects::default());
    }

    #[test]
    fn a_property_of_another_type_is_reported_and_left() {
        let mut objects = Objects::default();
        let wrong =
            objects.added("/j", interface::JOB, &properties(&[("Rate", "fast".into()), ("Later", 7_u8.into())]));
        assert_eq!(wrong, [WrongProperty("Rate".to_owned())]);
        assert_eq!(objects.jobs["/j"], JobProperties::default());
        assert!(objects.changed("/unknown", interface::JOB, &properties(&[("Rate", 7_u64.into())])).is_empty());
    }
}
