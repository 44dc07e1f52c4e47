//! The names on the bus, and the published XML of the interfaces. Within `Butterdock1` they never change; a change that
//! breaks a client gets a `2`.

/// The well-known name of the service.
pub const BUS_NAME: &str = "org.butterdock.Butterdock1";

/// The object with the interfaces [`interface::MANAGER`] and `org.freedesktop.DBus.ObjectManager`. All other objects are
/// below it.
pub const ROOT: &str = "/org/butterdock/Butterdock1";

/// The prefix of the paths of volumes.
pub const VOLUMES: &str = "/org/butterdock/Butterdock1/volumes/";

/// The prefix of the paths of drives.
pub const DRIVES: &str = "/org/butterdock/Butterdock1/drives/";

/// The prefix of the paths of destinations that are no drives. The destination of an enrolled drive is on the drive's object.
pub const DESTINATIONS: &str = "/org/butterdock/Butterdock1/destinations/";

/// The prefix of the paths of backups.
pub const BACKUPS: &str = "/org/butterdock/Butterdock1/backups/";

/// The prefix of the paths of jobs.
pub const JOBS: &str = "/org/butterdock/Butterdock1/jobs/";

/// The prefix of the service's own error names.
pub const ERROR_PREFIX: &str = "org.butterdock.Butterdock1.Error.";

/// The interfaces.
pub mod interface {
    /// On [`super::ROOT`]: start jobs by a volume's name, read the history, list the backups.
    pub const MANAGER: &str = "org.butterdock.Butterdock1.Manager";
    /// On each object below [`super::VOLUMES`]: a filesystem to receive into.
    pub const VOLUME: &str = "org.butterdock.Butterdock1.Volume";
    /// On each object below [`super::JOBS`]: one piece of work with progress and an end.
    pub const JOB: &str = "org.butterdock.Butterdock1.Job";
    /// On each object below [`super::DRIVES`]: a drive that is attached, or enrolled and away.
    pub const DRIVE: &str = "org.butterdock.Butterdock1.Drive";
    /// On the object of each enrolled drive, and on each object below [`super::DESTINATIONS`]: where backups go.
    pub const DESTINATION: &str = "org.butterdock.Butterdock1.Destination";
    /// On each object below [`super::BACKUPS`]: a configured backup.
    pub const BACKUP: &str = "org.butterdock.Butterdock1.Backup";
    /// All of them.
    pub const ALL: [&str; 6] = [MANAGER, VOLUME, JOB, BACKUP, DRIVE, DESTINATION];
}

/// The commented XML of `xml/`, one file for each interface.
pub mod introspection {
    /// `org.butterdock.Butterdock1.Manager`.
    pub const MANAGER: &str = include_str!("../xml/org.butterdock.Butterdock1.Manager.xml");
    /// `org.butterdock.Butterdock1.Volume`.
    pub const VOLUME: &str = include_str!("../xml/org.butterdock.Butterdock1.Volume.xml");
    /// `org.butterdock.Butterdock1.Job`.
    pub const JOB: &str = include_str!("../xml/org.butterdock.Butterdock1.Job.xml");
    /// `org.butterdock.Butterdock1.Drive`.
    pub const DRIVE: &str = include_str!("../xml/org.butterdock.Butterdock1.Drive.xml");
    /// `org.butterdock.Butterdock1.Destination`.
    pub const DESTINATION: &str = include_str!("../xml/org.butterdock.Butterdock1.Destination.xml");
    /// `org.butterdock.Butterdock1.Backup`.
    pub const BACKUP: &str = include_str!("../xml/org.butterdock.Butterdock1.Backup.xml");
    /// All of them, in the order of [`interface::ALL`](super::interface::ALL).
    pub const ALL: [&str; 6] = [MANAGER, VOLUME, JOB, BACKUP, DRIVE, DESTINATION];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_and_path_is_the_services() {
        assert!(interface::ALL.iter().all(|name| name.starts_with(BUS_NAME)));
        assert_eq!(ROOT, format!("/{}", BUS_NAME.replace('.', "/")));
        assert_eq!((VOLUMES, JOBS), (&*format!("{ROOT}/volumes/"), &*format!("{ROOT}/jobs/")));
        assert_eq!((DRIVES, DESTINATIONS), (&*format!("{ROOT}/drives/"), &*format!("{ROOT}/destinations/")));
        assert_eq!(BACKUPS, format!("{ROOT}/backups/"));
    }
}
