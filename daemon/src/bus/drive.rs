//! `org.butterdock.Butterdock1.Drive`.

use std::sync::Arc;

use butterdock_dbus::names::interface::DRIVE;
use butterdock_dbus::{
    BackupOptions, EnrolOptions, Error, ImportOptions, Options, RestoreOptions, SnapshotRow, StreamRow, no_options,
};
use tokio::sync::watch;
use zbus::message::Header;
use zbus::{OwnedObjectPath, interface};

use super::authority::Question;
use super::fd_table::PassedFd;
use super::hall::Hall;
use super::{errands, imports};
use crate::drives::{Drive, DriveId};

/// A drive on the bus.
#[derive(Debug)]
pub(super) struct DriveObject {
    hall: Arc<Hall>,
    drive: watch::Receiver<Drive>,
}

impl DriveObject {
    pub(super) fn new(hall: Arc<Hall>, drive: watch::Receiver<Drive>) -> Self {
        Self { hall, drive }
    }

    fn now(&self) -> watch::Ref<'_, Drive> {
        self.drive.borrow()
    }

    fn id(&self) -> DriveId {
        self.now().id.clone()
    }

    fn question(&self, method: &'static str) -> Question {
        let drive = self.now();
        Question::new(DRIVE, method).about("drive", &drive.title()).about("drive_id", drive.id.as_str())
    }

    /// Of a method that has no options and no further details.
    async fn allowed(&self, method: &'static str, options: &Options, header: &Header<'_>) -> Result<u32, Error> {
        no_options(options)?;
        let question = self.question(method);
        Ok(self.hall.authority.allow(header, &question).await?.uid)
    }
}

#[interface(name = "org.butterdock.Butterdock1.Drive", introspection_docs = false)]
impl DriveObject {
    async fn enrol(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let wish = EnrolOptions::from_options(&options)?;
        // What is not this drive need not be asked about.
        let (size, serial) = (self.now().size, self.now().serial.clone());
        wish.confirm(size, &serial)?;
        let question = self.question("Enrol").with(&options);
        self.hall.authority.allow(&header, &question).await?;
        self.hall.dock.enrol(&self.id(), wish).await.map(drop)
    }

    async fn forget(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        self.allowed("Forget", &options, &header).await?;
        self.hall.dock.forget(&self.id()).await
    }

    async fn unlock(
        &self,
        secret: PassedFd,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let uid = self.allowed("Unlock", &options, &header).await?;
        let secret = self.hall.descriptors.claim(secret, &header)?;
        self.hall.dock.unlock(&self.id(), secret, uid).await
    }

    #[zbus(out_args("path"))]
    async fn mount(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String, Error> {
        self.allowed("Mount", &options, &header).await?;
        let path = self.hall.dock.mount(&self.id()).await?;
        Ok(path.to_string_lossy().into_owned())
    }

    #[zbus(out_args("job"))]
    async fn safely_remove(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let uid = self.allowed("SafelyRemove", &options, &header).await?;
        errands::safely_remove(&self.hall, self.id(), uid).await
    }

    #[zbus(out_args("job"))]
    async fn backup(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, Error> {
        let wish = BackupOptions::from_options(&options)?;
        let question = self.question("Backup").with(&options);
        let uid = self.hall.authority.allow(&header, &question).await?.uid;
        errands::backup(&self.hall, self.id(), wish, uid).await
    }

    #[zbus(out_args("job"))]
    async fn verify(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<OwnedObjectPath, Error> {
        let uid = self.allowed("Verify", &options, &header).await?;
        errands::verify(&self.hall, self.id(), uid).await
    }

    #[zbus(out_args("snapshots"))]
    async fn list_snapshots(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<SnapshotRow>, Error> {
        self.allowed("ListSnapshots", &options, &header).await?;
        errands::list_snapshots(&self.hall, self.id()).await
    }

    #[zbus(out_args("job"))]
    async fn restore(
        &self,
        snapshot: String,
        volume: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let wish = RestoreOptions::from_options(&options)?;
        let question = self.question("Restore").about("volume", &volume).with(&options);
        let uid = self.hall.authority.allow(&header, &question).await?.uid;
        let volume = self.hall.volume(&volume)?;
        errands::restore(&self.hall, self.id(), &snapshot, volume, wish, uid).await
    }

    #[zbus(out_args("streams"))]
    async fn list_streams(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<StreamRow>, Error> {
        self.allowed("ListStreams", &options, &header).await?;
        imports::list_streams(&self.hall, self.id()).await
    }

    #[zbus(out_args("job"))]
    async fn import(
        &self,
        volume: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let wish = ImportOptions::from_options(&options)?;
        let question = self.question("Import").about("volume", &volume).with(&options);
        let uid = self.hall.authority.allow(&header, &question).await?.uid;
        let volume = self.hall.volume(&volume)?;
        imports::import(&self.hall, self.id(), volume, wish, uid).await
    }

    #[zbus(property)]
    fn label(&self) -> String {
        self.now().label.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn model(&self) -> String {
        self.now().model.clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn serial(&self) -> String {
        self.now().serial.clone()
    }

    #[zbus(property)]
    fn bus(&self) -> String {
        self.now().bus.clone()
    }

    #[zbus(property)]
    fn device(&self) -> String {
        self.now().device.clone()
    }

    #[zbus(property)]
    fn size(&self) -> u64 {
        self.now().size
    }

    #[zbus(property)]
    fn free(&self) -> u64 {
        self.now().free
    }

    #[zbus(property)]
    fn filesystem_type(&self) -> String {
        self.now().filesystem_type.clone()
    }

    #[zbus(property)]
    fn filesystem_uuid(&self) -> String {
        self.now().filesystem_uuid.clone()
    }

    #[zbus(property)]
    fn encrypted(&self) -> bool {
        self.now().encrypted
    }

    #[zbus(property)]
    fn state(&self) -> String {
        self.now().state.as_str().to_owned()
    }

    #[zbus(property)]
    fn problem(&self) -> String {
        self.now().problem.clone()
    }

    #[zbus(property)]
    fn enrolled(&self) -> bool {
        self.now().enrolled
    }

    #[zbus(property)]
    fn last_backup(&self) -> u64 {
        self.now().last_backup
    }

    #[zbus(property)]
    fn backups(&self) -> Vec<String> {
        self.now().backups.clone()
    }
}
