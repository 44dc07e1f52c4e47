//! The service's volumes, drives, destinations and jobs at one moment, and finding the one that the user names.

use std::collections::HashMap;

use butterdock_dbus::names::interface;
use butterdock_dbus::{JobProperties, VolumeProperties, path};
use uuid::Uuid;
use zbus::OwnedVariant;
use zbus::fdo::ManagedObjects;

use super::drive::{Destination, Drive};
use crate::failure::Failure;
use crate::render::short_label;

/// Volumes sorted by name, drives and destinations by id, jobs by start time.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) volumes: Vec<VolumeProperties>,
    pub(crate) drives: Vec<Drive>,
    pub(crate) destinations: Vec<Destination>,
    pub(crate) jobs: Vec<Job>,
}

/// A job and its current properties.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: Uuid,
    pub(crate) path: String,
    /// The drive's label, model or device, if known.
    pub(crate) drive_title: Option<String>,
    /// Boxed because it is large.
    pub(crate) now: Box<JobProperties>,
}

impl Objects {
    /// Parses the answer of `GetManagedObjects`.
    pub(crate) fn read(managed: &ManagedObjects) -> Result<Self, Failure> {
        let mut objects = Self::default();
        for (path, interfaces) in managed {
            for (interface, properties) in interfaces {
                if interface.as_str() == interface::VOLUME {
                    let mut volume = VolumeProperties::default();
                    for (name, value) in properties {
                        volume.set(name, value).map_err(|wrong| Failure::own(wrong.to_string()))?;
                    }
                    objects.volumes.push(volume);
                } else if interface.as_str() == interface::DRIVE {
                    objects.drives.extend(Drive::read(path.as_str(), properties)?);
                } else if interface.as_str() == interface::DESTINATION {
                    objects.destinations.extend(Destination::read(path.as_str(), properties)?);
                } else if interface.as_str() == interface::JOB {
                    objects.jobs.extend(Job::read(path.as_str(), properties)?);
                }
            }
        }
        objects.volumes.sort_by(|a, b| a.name.cmp(&b.name));
        objects.drives.sort_by(|a, b| a.id.cmp(&b.id));
        objects.destinations.sort_by(|a, b| a.id.cmp(&b.id));
        for drive in &mut objects.drives {
            let destination = objects.destinations.iter().find(|destination| destination.path == drive.path);
            drive.destination = destination.map(|destination| destination.now.clone());
        }
        objects.jobs.sort_by_key(|job| (job.now.start_time, job.id));
        for job in &mut objects.jobs {
            let drive = job.drive().and_then(|id| objects.drives.iter().find(|drive| drive.id == id));
            job.drive_title = drive.and_then(Drive::title).or(job.drive_title.take());
        }
        Ok(objects)
    }

    /// The drive that `wanted` means: of several the attached ones, and of these the enrolled ones.
    pub(crate) fn drive(&self, wanted: &str) -> Result<&Drive, Failure> {
        the_one(self.called(wanted), wanted, &[Drive::is_attached, Drive::is_enrolled])
    }

    /// The id of the drive that `wanted` means; what the user names if no drive is called so, because it may be forgotten.
    pub(crate) fn drive_or_forgotten(&self, wanted: &str) -> Result<String, Failure> {
        if self.called(wanted).is_empty() { Ok(wanted.to_owned()) } else { Ok(self.drive(wanted)?.id.clone()) }
    }

    /// The drive that is to be enrolled: an enrolled one is not preferred.
    pub(crate) fn drive_to_enrol(&self, wanted: &str) -> Result<&Drive, Failure> {
        the_one(self.called(wanted), wanted, &[Drive::is_attached])
    }

    /// The destination that `wanted` means: one that is no drive by its name, else a drive as in [`Self::drive`].
    pub(crate) fn destination(&self, wanted: &str) -> Result<&Destination, Failure> {
        match self.configured(wanted) {
            Some(configured) => Ok(configured),
            None => self.of_drive(self.drive(wanted)?),
        }
    }

    /// The destination that `wanted` means, which may be away: of drives of this name only the enrolled ones count, and of these
    /// the attached ones come first.
    pub(crate) fn destination_also_away(&self, wanted: &str) -> Result<&Destination, Failure> {
        if let Some(configured) = self.configured(wanted) {
            return Ok(configured);
        }
        let enrolled: Vec<&Drive> = self.called(wanted).into_iter().filter(|drive| drive.is_enrolled()).collect();
        if enrolled.is_empty() {
            return self.destination(wanted);
        }
        self.of_drive(the_one(enrolled, wanted, &[Drive::is_attached])?)
    }

    /// Whether a destination or a drive is called like this.
    pub(crate) fn is_known(&self, wanted: &str) -> bool {
        self.configured(wanted).is_some() || !self.called(wanted).is_empty()
    }

    /// The path of the destination with this id.
    pub(crate) fn destination_path(&self, id: &str) -> String {
        let known = self.destinations.iter().find(|destination| destination.id == id);
        known.map_or_else(|| path::drive_path(id).to_string(), |known| known.path.clone())
    }

    /// The destination of this name that is no drive.
    fn configured(&self, wanted: &str) -> Option<&Destination> {
        self.destinations.iter().find(|known| path::drive_id(&known.path).is_none() && known.id == wanted)
    }

    fn of_drive(&self, drive: &Drive) -> Result<&Destination, Failure> {
        let title = drive.title().unwrap_or_else(|| drive.id.clone());
        self.destinations.iter().find(|destination| destination.path == drive.path).ok_or_else(|| {
            let text = "is not enrolled; enrol it first (butterdock enrol)";
            Failure::own(format!("the drive {} {text}", short_label(&title)))
        })
    }

    /// The enrolled drive with this id, name or device.
    pub(crate) fn enrolled_with_name(&self, wanted: &str) -> Option<&Drive> {
        self.drives.iter().find(|drive| drive.is_enrolled() && (drive.id == wanted || drive.has_name(wanted)))
    }

    /// The drives that `wanted` may mean. A complete id means one.
    fn called(&self, wanted: &str) -> Vec<&Drive> {
        let by_id = self.drives.iter().find(|drive| drive.id == wanted);
        by_id.map_or_else(|| self.drives.iter().filter(|drive| drive.is_called(wanted)).collect(), |drive| vec![drive])
    }

    /// The one job whose id begins with `prefix`.
    pub(crate) fn job(&self, prefix: &str) -> Result<&Job, Failure> {
        let wanted = prefix.replace(['-', '_'], "").to_ascii_lowercase();
        let mut found = self.jobs.iter().filter(|job| job.id.simple().to_string().starts_with(&wanted));
        match (found.next(), found.count()) {
            (Some(job), 0) => Ok(job),
            (None, _) => Err(Failure::usage(
                format!("there is no job {prefix}"),
                "`butterdock jobs` lists the current jobs, `butterdock history` the finished ones",
            )),
            (Some(_), more) => Err(Failure::usage(
                format!("{} jobs begin with {prefix:?}", more.saturating_add(1)),
                "give more digits; `butterdock jobs --json` has the whole id",
            )),
        }
    }

    /// The destinations that are no enrolled drives: those that the configuration has.
    pub(crate) fn destinations_that_are_no_drives(&self) -> impl Iterator<Item = &Destination> {
        let is_drive = |of: &Destination| self.drives.iter().any(|drive| drive.path == of.path);
        self.destinations.iter().filter(move |destination| !is_drive(destination))
    }

    /// The unfinished jobs.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().filter(|job| job.now.state.result().is_none())
    }
}

impl Job {
    /// A job from its properties; `None` if the path is not a job's.
    pub(crate) fn read(path: &str, properties: &HashMap<String, OwnedVariant>) -> Result<Option<Self>, Failure> {
        let Some(id) = path::job_id(path) else { return Ok(None) };
        let mut job = Self { id, path: path.to_owned(), drive_title: None, now: Box::default() };
        job.change(properties)?;
        job.drive_title = Some(job.now.drive_label.clone()).filter(|label| !label.trim().is_empty());
        Ok(Some(job))
    }

    /// Updates the changed properties.
    pub(crate) fn change(&mut self, changes: &HashMap<String, OwnedVariant>) -> Result<(), Failure> {
        for (name, value) in changes {
            self.now.set(name, value).map_err(|wrong| Failure::own(wrong.to_string()))?;
        }
        Ok(())
    }

    /// The first digits of the id.
    pub(crate) fn short(&self) -> String {
        short(&self.id.simple().to_string())
    }

    /// The name of its volume, if it has one.
    pub(crate) fn volume(&self) -> Option<String> {
        path::volume_name(&self.now.volume)
    }

    /// The id of its drive, if it has one.
    pub(crate) fn drive(&self) -> Option<String> {
        path::drive_id(&self.now.drive)
    }
}

/// The first eight digits of an id.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// The one of these drives that `wanted` means. Each preference applies where a drive has it.
fn the_one<'a>(
    mut found: Vec<&'a Drive>,
    wanted: &str,
    preferences: &[fn(&Drive) -> bool],
) -> Result<&'a Drive, Failure> {
    for is_preferred in preferences {
        if found.iter().any(|drive| is_preferred(drive)) {
            found.retain(|drive| is_preferred(drive));
        }
    }
    match found.as_slice() {
        [drive] => Ok(drive),
        [] => Err(Failure::usage(
            format!("there is no drive \"{}\"", short_label(wanted)),
            "`butterdock drives` lists the drives; name one by its id, its label or its device",
        )),
        several => {
            let ids = several.iter().map(|drive| drive.id.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::usage(
                format!("\"{}\" is ambiguous, {} drives match: {ids}", short_label(wanted), several.len()),
                "name the drive by its id; `butterdock drives` shows each drive",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use butterdock_dbus::DriveProperties;

    use super::*;

    fn with_jobs(ids: &[u128]) -> Objects {
        let job = |id: &u128| {
            let id = Uuid::from_u128(*id);
            Job { id, path: path::job_path(id).to_string(), drive_title: None, now: Box::default() }
        };
        Objects { jobs: ids.iter().map(job).collect(), ..Objects::default() }
    }

    #[test]
    fn a_job_is_found_by_its_id_or_its_first_digits() {
        let objects = with_jobs(&[0xaa11_u128 << 112, 0xaa22_u128 << 112]);
        for prefix in ["aa1", "AA11", "aa110000-0000-0000-0000-000000000000", "aa110000_0000"] {
            assert_eq!(objects.job(prefix).map(Job::short).ok().as_deref(), Some("aa110000"), "{prefix}");
        }
    }

    #[test]
    fn a_job_has_the_label_of_a_drive_that_is_not_shown() {
        let label = OwnedVariant::try_from(zbus::Variant::from("Attic")).expect("owned");
        let job =
            Job::read(path::job_path(Uuid::from_u128(1)).as_str(), &HashMap::from([("DriveLabel".to_owned(), label)]));
        assert_eq!(job.ok().flatten().expect("a job").drive_title.as_deref(), Some("Attic"));
    }

    #[test]
    fn an_ambiguous_job_id_is_refused() {
        let objects = with_jobs(&[0xaa11_u128 << 112, 0xaa22_u128 << 112]);
        assert!(objects.job("aa").expect_err("two").message.contains("2 jobs"));
        assert!(objects.job("bb").is_err());
        assert!(objects.job("").is_err());
    }

    fn drive(id: &str, label: &str, device: &str, enrolled: bool) -> Drive {
        let (label, device, names) = (label.to_owned(), device.to_owned(), vec![id.to_owned(), label.to_owned()]);
        let now = DriveProperties { label, names, device, enrolled, ..DriveProperties::default() };
        let (id, path) = (id.to_owned(), path::drive_path(id).to_string());
        Drive { id, path, now, destination: None, mount_points: Vec::new() }
    }

    fn with_drives(drives: Vec<Drive>) -> Objects {
        let enrolled = drives.iter().filter(|drive| drive.now.enrolled);
        let destination =
            |drive: &Drive| Destination { id: drive.id.clone(), path: drive.path.clone(), now: Default::default() };
        Objects { destinations: enrolled.map(destination).collect(), drives, ..Objects::default() }
    }

    #[test]
    fn a_drive_is_found_by_id_prefix_names_and_device() {
        let mut drives = vec![
            drive("3f2a", "Attic", "sdb1", true),
            drive("3f99", "Cellar", "sdd1", true),
            drive("Attic2", "", "sdc1", true),
        ];
        drives[1].now.names.push("Basement".to_owned());
        let objects = with_drives(drives);
        for (wanted, id) in [
            ("3f2a", "3f2a"),
            ("3f9", "3f99"),
            ("Cellar", "3f99"),
            ("Basement", "3f99"),
            ("sdb1", "3f2a"),
            ("/dev/sdc1", "Attic2"),
            ("Attic2", "Attic2"),
        ] {
            assert_eq!(objects.drive(wanted).map(|drive| drive.id.as_str()).ok(), Some(id), "{wanted}");
        }
        assert!(objects.drive("3f").is_err_and(|failure| failure.message.contains("3f2a, 3f99")));
        assert!(objects.drive("Attic").is_err(), "a label and the beginning of an id");
        assert!(objects.drive("").is_err());
    }

    #[test]
    fn the_attached_and_enrolled_drive_of_a_name_is_meant() {
        let id =
            |found: Result<&Drive, Failure>| found.map(|drive| drive.id.clone()).map_err(|failure| failure.message);
        let objects = with_drives(vec![
            drive("away", "Blue", "", true),
            drive("new", "Blue", "sdb1", false),
            drive("mine", "Blue", "sdc1", true),
        ]);
        assert_eq!(id(objects.drive("Blue")).as_deref(), Ok("mine"));
        let both = id(objects.drive_to_enrol("Blue")).expect_err("both are attached");
        assert!(both.contains("new, mine") && !both.contains("away"), "{both}");
        assert_eq!(id(objects.drive("new")).as_deref(), Ok("new"), "an id");
        let objects = with_drives(vec![drive("away", "Blue", "", true), drive("new", "Blue", "sdb1", false)]);
        assert_eq!(id(objects.drive("Blue")).as_deref(), Ok("new"));
        assert_eq!(id(objects.drive_to_enrol("Blue")).as_deref(), Ok("new"));
        let said =
            |found: Result<&Destination, Failure>| found.map(|one| one.id.clone()).map_err(|error| error.message);
        assert_eq!(said(objects.destination_also_away("Blue")).as_deref(), Ok("away"));
        for found in [objects.destination_also_away("new"), objects.destination("Blue")] {
            assert!(said(found).is_err_and(|text| text.contains("not enrolled; enrol it first")));
        }
        let objects = with_drives(vec![drive("one", "Blue", "sdb1", true), drive("two", "Blue", "sdc1", true)]);
        assert!(objects.drive("Blue").is_err_and(|failure| failure.message.contains("one, two")));
    }

    #[test]
    fn the_name_of_a_configured_destination_comes_before_a_label() {
        let mut objects = with_drives(vec![drive("3f2a", "Pool", "sdb1", true)]);
        let pool = Destination {
            id: "Pool".to_owned(),
            path: path::destination_path("Pool").to_string(),
            now: Default::default(),
        };
        let path = |objects: &Objects, wanted: &str| objects.destination(wanted).map(|one| one.path.clone()).ok();
        assert_eq!(path(&objects, "Pool").as_deref(), Some(path::drive_path("3f2a").as_str()));
        objects.destinations.push(pool);
        assert_eq!(path(&objects, "Pool").as_deref(), Some(path::destination_path("Pool").as_str()));
        assert_eq!(objects.destination_path("Pool"), path::destination_path("Pool").as_str());
        assert_eq!(path(&objects, "3f2a").as_deref(), Some(path::drive_path("3f2a").as_str()));
    }
}
