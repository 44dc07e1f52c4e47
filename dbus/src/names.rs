//! The names on the bus. They never change within `Butterdock1`; what breaks a client gets a `2`.

/// The well-known name of the service.
pub const BUS_NAME: &str = "org.butterdock.Butterdock1";

/// Where the [`interface::MANAGER`] and the `org.freedesktop.DBus.ObjectManager` live. Every other object is below.
pub const ROOT: &str = "/org/butterdock/Butterdock1";

/// What the paths of volumes begin with.
pub const VOLUMES: &str = "/org/butterdock/Butterdock1/volumes/";

/// What the paths of drives begin with.
pub const DRIVES: &str = "/org/butterdock/Butterdock1/drives/";

/// What the paths of jobs begin with.
pub const JOBS: &str = "/org/butterdock/Butterdock1/jobs/";

/// What the service's own error names begin with.
pub const ERROR_PREFIX: &str = "org.butterdock.Butterdock1.Error.";

/// The interfaces.
pub mod interface {
    /// On [`super::ROOT`]: start jobs by a volume's name, read the history, see which backups are due.
    pub const MANAGER: &str = "org.butterdock.Butterdock1.Manager";
    /// On each object below [`super::VOLUMES`]: a filesystem that may be received into.
    pub const VOLUME: &str = "org.butterdock.Butterdock1.Volume";
    /// On each object below [`super::JOBS`]: one piece of work with progress and an end.
    pub const JOB: &str = "org.butterdock.Butterdock1.Job";
    /// On each object below [`super::DRIVES`]: something attached that backups can go to.
    pub const DRIVE: &str = "org.butterdock.Butterdock1.Drive";
    /// All of them.
    pub const ALL: [&str; 4] = [MANAGER, VOLUME, JOB, DRIVE];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_and_path_is_the_services() {
        assert!(interface::ALL.iter().all(|name| name.starts_with(BUS_NAME)));
        assert_eq!(ROOT, format!("/{}", BUS_NAME.replace('.', "/")));
        assert_eq!((VOLUMES, JOBS), (&*format!("{ROOT}/volumes/"), &*format!("{ROOT}/jobs/")));
        assert_eq!(DRIVES, format!("{ROOT}/drives/"));
    }
}
