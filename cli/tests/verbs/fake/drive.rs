//! A fake Drive.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use butterdock_dbus::{
    BackupOptions, DriveProperties, DriveState, EnrolOptions, Error, ErrorName, ImportOptions, JobKind, Options,
    RestoreOptions, SnapshotRow, StreamRow, no_options,
};
use zbus::{Connection, OwnedFd, OwnedObjectPath, interface};

use super::manager::chatter;
use super::{About, Fixture, STEERING, job};

#[derive(Debug)]
pub(crate) struct Drive {
    pub(crate) id: String,
    now: DriveProperties,
    fixture: Arc<Fixture>,
}

/// An enrolled drive; one that is not, has no serial number and shares its label with the third; and that third.
pub(crate) fn all(fixture: &Arc<Fixture>) -> Vec<Drive> {
    let attic = DriveProperties {
        label: "Attic".to_owned(),
        model: "Elements 25A2".to_owned(),
        serial: "WX11".to_owned(),
        device: "sdb1".to_owned(),
        size: 2 << 40,
        state: DriveState::Locked,
        enrolled: true,
        encrypted: true,
        last_backup: 1_700_000_000_000_000,
        backups: vec!["home".to_owned()],
        ..DriveProperties::default()
    };
    let twin = DriveProperties {
        label: "Twin".to_owned(),
        device: "sdc1".to_owned(),
        size: 4096,
        problem: "another drive has the same filesystem; unplug one of them".to_owned(),
        ..DriveProperties::default()
    };
    let other = DriveProperties { device: "sdd1".to_owned(), model: STEERING.to_owned(), ..twin.clone() };
    let drive = |id: &str, now| Drive { id: id.to_owned(), now, fixture: Arc::clone(fixture) };
    vec![drive("3f2a", attic), drive("9a11", twin), drive("9a22", other)]
}

impl Drive {
    fn asked(&self, what: String) {
        self.fixture.asked.lock().expect("unpoisoned").push(what);
    }

    async fn begin(&self, connection: &Connection, about: About) -> Result<OwnedObjectPath, Error> {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(about.backup.as_bytes()).expect("written");
        let about = About { drive: Some(self.id.clone()), ..about };
        let stream = File::from(std::os::fd::OwnedFd::from(reader));
        Ok(job::begin(connection, Arc::clone(&self.fixture), about, stream, None).await?)
    }
}

#[interface(name = "org.butterdock.Butterdock1.Drive")]
impl Drive {
    fn enrol(&self, options: &Options) -> Result<(), Error> {
        let read = EnrolOptions::from_options(options)?;
        self.asked(format!("{} {read:?}", self.id));
        let is_this = read.size.is_none_or(|size| size == self.now.size)
            && read.serial.as_ref().is_none_or(|serial| *serial == self.now.serial);
        if is_this { Ok(()) } else { Err(Error::InvalidArgs("this is another drive".to_owned())) }
    }

    fn forget(&self, options: &Options) -> Result<(), Error> {
        no_options(options)?;
        self.asked(format!("forget {} itself", self.id));
        Ok(())
    }

    fn unlock(&self, secret: OwnedFd, options: &Options) -> Result<(), Error> {
        no_options(options)?;
        let mut said = String::new();
        File::from(std::os::fd::OwnedFd::from(secret)).read_to_string(&mut said).expect("read");
        self.asked(format!("unlock {said:?}"));
        if said == "open sesame" { Ok(()) } else { Err(Error::new(ErrorName::Failed, "the drive does not take it")) }
    }

    #[zbus(out_args("path"))]
    fn mount(&self, options: &Options) -> Result<String, Error> {
        no_options(options)?;
        Ok("/run/butterdock/drives/x".to_owned())
    }

    #[zbus(out_args("job"))]
    async fn safely_remove(
        &self,
        options: &Options,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        no_options(options)?;
        if self.id != "3f2a" {
            return Err(Error::new(ErrorName::Busy, "the drive is in use"));
        }
        self.begin(connection, About { kind: Some(JobKind::Remove), ..About::default() }).await
    }

    #[zbus(out_args("job"))]
    async fn backup(
        &self,
        options: &Options,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        let chosen = BackupOptions::from_options(options)?.backup;
        if self.id != "3f2a" {
            return Err(Error::new(ErrorName::NotAuthorized, "you may not back up to it"));
        }
        let about = |backup: &str| About { kind: Some(JobKind::Backup), backup: backup.to_owned(), ..About::default() };
        let first = self.begin(connection, about(chosen.as_deref().unwrap_or("home"))).await?;
        if chosen.is_none() {
            self.begin(connection, about("root")).await?;
        }
        Ok(first)
    }

    #[zbus(out_args("job"))]
    async fn verify(
        &self,
        options: &Options,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        no_options(options)?;
        // As while somebody types a password: the answer comes after more signals than a connection holds.
        chatter(connection, 500).await?;
        self.begin(connection, About { kind: Some(JobKind::Verify), ..About::default() }).await
    }

    #[zbus(out_args("snapshots"))]
    fn list_snapshots(&self, options: &Options) -> Result<Vec<SnapshotRow>, Error> {
        no_options(options)?;
        let row = |name: &str, uuid: &str, pinned| SnapshotRow {
            name: name.as_bytes().to_vec(),
            uuid: uuid.to_owned(),
            backup: Some("home".to_owned()),
            created: Some(1_700_000_000_000_000),
            pinned: Some(pinned),
            ..SnapshotRow::default()
        };
        let ours = |row| SnapshotRow { origin: Some("this-machine".to_owned()), ..row };
        let (origin, machine) =
            (Some("other-machine".to_owned()), Some("1a2b3c4d-0000-8000-8000-000000000000".to_owned()));
        let others = SnapshotRow { origin, machine, ..row("monday", "bb11", false) };
        Ok(vec![ours(row("tuesday", "aa22", true)), row("monday", "aa11", false), others])
    }

    #[zbus(out_args("job"))]
    async fn restore(
        &self,
        snapshot: &str,
        volume: &str,
        options: &Options,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        self.asked(format!("restore {snapshot} {volume} {:?}", RestoreOptions::from_options(options)?));
        let kind = Some(JobKind::Restore);
        let volume = Some(volume.to_owned());
        self.begin(connection, About { kind, volume, ..About::default() }).await
    }

    #[zbus(out_args("streams"))]
    fn list_streams(&self, options: &Options) -> Result<Vec<StreamRow>, Error> {
        no_options(options)?;
        let name = b"mon\x1b[2J\xff.send".to_vec();
        Ok(vec![StreamRow { name, size: 7, subvolume: b"mon".to_vec(), ..StreamRow::default() }])
    }

    #[zbus(out_args("job"))]
    async fn import(
        &self,
        volume: &str,
        options: &Options,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        self.asked(format!("import {volume} {:?}", ImportOptions::from_options(options)?));
        let kind = Some(JobKind::Import);
        let volume = Some(volume.to_owned());
        self.begin(connection, About { kind, volume, ..About::default() }).await
    }

    #[zbus(property)]
    fn label(&self) -> String {
        self.now.label.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn model(&self) -> String {
        self.now.model.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn serial(&self) -> String {
        self.now.serial.clone()
    }

    #[zbus(property)]
    fn device(&self) -> String {
        self.now.device.clone()
    }

    #[zbus(property)]
    fn size(&self) -> u64 {
        self.now.size
    }

    #[zbus(property)]
    fn encrypted(&self) -> bool {
        self.now.encrypted
    }

    #[zbus(property)]
    fn state(&self) -> DriveState {
        self.now.state.clone()
    }

    #[zbus(property)]
    fn problem(&self) -> String {
        self.now.problem.clone()
    }

    #[zbus(property)]
    fn enrolled(&self) -> bool {
        self.now.enrolled
    }

    #[zbus(property)]
    fn last_backup(&self) -> u64 {
        self.now.last_backup
    }

    #[zbus(property)]
    fn backups(&self) -> Vec<String> {
        self.now.backups.clone()
    }
}
