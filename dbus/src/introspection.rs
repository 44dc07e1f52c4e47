//! The committed introspection, as it is published for other languages: one commented file for each interface.

/// `org.butterdock.Butterdock1.Manager`.
pub const MANAGER: &str = include_str!("../xml/org.butterdock.Butterdock1.Manager.xml");

/// `org.butterdock.Butterdock1.Volume`.
pub const VOLUME: &str = include_str!("../xml/org.butterdock.Butterdock1.Volume.xml");

/// `org.butterdock.Butterdock1.Job`.
pub const JOB: &str = include_str!("../xml/org.butterdock.Butterdock1.Job.xml");

/// `org.butterdock.Butterdock1.Drive`.
pub const DRIVE: &str = include_str!("../xml/org.butterdock.Butterdock1.Drive.xml");

/// All of them, in the order of [`interface::ALL`](crate::names::interface::ALL).
pub const ALL: [&str; 4] = [MANAGER, VOLUME, JOB, DRIVE];
