//! `org.butterdock.Butterdock1.Drive`: the hardware.

use std::sync::Arc;

use butterdock_dbus::names::interface::DRIVE;
use butterdock_dbus::path::drive_path;
use butterdock_dbus::{
    DriveHealth, EnrolEncryptedOptions, EnrolOptions, Error, ImportOptions, MountRow, Options, Problem,
    SafelyRemoveOptions, StreamRow, no_options,
};
use butterdock_service::drives::{Drive, DriveId};
use butterdock_service::jobs::JobHandle;
use butterdock_service::{DriveProperties, ImportRequest};
use tokio::sync::watch;
use zbus::message::Header;
use zbus::{OwnedObjectPath, Variant, interface};

use super::authority::Question;
use super::fd_table::PassedFd;
use super::mapping::{self, ForCaller as _, drive_state, enrol_options, mount_row, stream_row};
use super::object_publisher::PublishedObject;
use super::server::BusServer;

/// A drive on the bus, attached or away.
#[derive(Debug)]
pub(super) struct DriveObject {
    server: Arc<BusServer>,
    drive: watch::Receiver<Drive>,
}

impl PublishedObject for DriveObject {
    type State = Drive;

    const INTERFACE: &'static str = DRIVE;

    fn new(server: Arc<BusServer>, drive: watch::Receiver<Drive>) -> Self {
        Self { server, drive }
    }

    fn path(drive: &Drive) -> OwnedObjectPath {
        drive_path(drive.id.as_str())
    }

    /// Names every field, so that the compiler requires a new one here.
    fn changing(drive: &Drive) -> Vec<(&'static str, Variant<'static>)> {
        let DriveProperties {
            label,
            names,
            model,
            serial,
            bus,
            device,
            disk,
            disk_size,
            devices,
            device_count,
            size,
            filesystem_type,
            filesystem_uuid,
            encrypted,
            state,
            mounted_by_others,
            problems,
            note,
            enrolled,
            last_seen,
            health,
        } = drive.is.clone();
        vec![
            ("Label", label.into()),
            ("Names", names.into()),
            ("Model", model.into()),
            ("Serial", serial.into()),
            ("Bus", bus.into()),
            ("Device", device.into()),
            ("Disk", disk.into()),
            ("DiskSize", disk_size.into()),
            ("Devices", devices.into()),
            ("DeviceCount", device_count.into()),
            ("Size", size.into()),
            ("FilesystemType", filesystem_type.into()),
            ("FilesystemUuid", filesystem_uuid.into()),
            ("Encrypted", encrypted.into()),
            ("State", drive_state(state).as_str().to_owned().into()),
            ("MountedByOthers", mounted_by_others.into()),
            ("Problems", problems.iter().map(mapping::problem).collect::<Vec<_>>().into()),
            ("Note", note.into()),
            ("Enrolled", enrolled.into()),
            ("LastSeen", last_seen.into()),
            ("Health", mapping::drive_health(health).into()),
        ]
    }
}

impl DriveObject {
    fn now(&self) -> watch::Ref<'_, Drive> {
        self.drive.borrow()
    }

    fn id(&self) -> DriveId {
        self.now().id.clone()
    }

    fn question(&self, method: &'static str) -> Question {
        self.question_naming(method, &mapping::drive(self.now().is.clone()).title())
    }

    fn question_naming(&self, method: &'static str, title: &str) -> Question {
        Question::new(DRIVE, method).about("drive", title).about("drive_id", self.now().id.as_str())
    }

    /// For a method without options and further details.
    async fn allowed(&self, method: &'static str, options: &Options, header: &Header<'_>) -> Result<u32, Error> {
        no_options(options)?;
        let question = self.question(method);
        Ok(self.server.authority.allow(header, &question).await?.uid)
    }

    /// For the enrolment of a drive: with the caller.
    async fn may_enrol(
        &self,
        method: &'static str,
        wanted: butterdock_service::EnrolOptions,
        options: &Options,
        header: &Header<'_>,
    ) -> Result<butterdock_service::EnrolOptions, Error> {
        // Checked first, so that polkit asks for no password for the wrong drive.
        let drive = self.now().clone();
        wanted.confirm(&drive).for_caller()?;
        let question = match wanted.whole_disk {
            true => self.question_naming(method, &format!("{} with all its partitions", drive.disk)),
            false => self.question(method),
        };
        let uid = self.server.authority.allow(header, &question.with(options)).await?.uid;
        Ok(butterdock_service::EnrolOptions { uid, ..wanted })
    }

    /// The path of an accepted job.
    async fn published(&self, taken: Result<JobHandle, butterdock_service::Error>) -> Result<OwnedObjectPath, Error> {
        self.server.publish_job(taken.for_caller()?).await
    }
}

#[interface(name = "org.butterdock.Butterdock1.Drive", introspection_docs = false)]
impl DriveObject {
    async fn enrol(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let wanted = enrol_options(EnrolOptions::from_options(&options)?);
        let wanted = self.may_enrol("Enrol", wanted, &options, &header).await?;
        self.server.service.drives().enrol(&self.id(), wanted).await.for_caller()?;
        // A client that has the answer finds the drive under its new id.
        self.server.publish_drives().await;
        Ok(())
    }

    async fn enrol_encrypted(
        &self,
        secret: PassedFd,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let EnrolEncryptedOptions { enrol, keep_key } = EnrolEncryptedOptions::from_options(&options)?;
        let wanted = butterdock_service::EnrolOptions { keep_key, ..enrol_options(enrol) };
        let wanted = self.may_enrol("EnrolEncrypted", wanted, &options, &header).await?;
        let secret = self.server.descriptors.claim(secret, &header)?;
        self.server.service.drives().enrol_encrypted(&self.id(), secret, wanted).await.for_caller()?;
        self.server.publish_drives().await;
        Ok(())
    }

    async fn unlock(
        &self,
        secret: PassedFd,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let uid = self.allowed("Unlock", &options, &header).await?;
        let secret = self.server.descriptors.claim(secret, &header)?;
        self.server.service.drives().unlock(&self.id(), secret, uid).await.for_caller()
    }

    #[zbus(out_args("path"))]
    async fn mount(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<String, Error> {
        self.allowed("Mount", &options, &header).await?;
        let path = self.server.service.drives().mount(&self.id()).await.for_caller()?;
        Ok(path.to_string_lossy().into_owned())
    }

    #[zbus(out_args("job"))]
    async fn safely_remove(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let SafelyRemoveOptions { when_idle } = SafelyRemoveOptions::from_options(&options)?;
        let question = self.question("SafelyRemove");
        let uid = self.server.authority.allow(&header, &question).await?.uid;
        let (service, id) = (&self.server.service, self.id());
        let taken = if when_idle {
            service.safely_remove_when_idle(id, uid).await
        } else {
            service.safely_remove(id, uid).await
        };
        self.published(taken).await
    }

    #[zbus(out_args("mounts"))]
    async fn list_mounts(&self, options: Options, #[zbus(header)] header: Header<'_>) -> Result<Vec<MountRow>, Error> {
        let uid = self.allowed("ListMounts", &options, &header).await?;
        let found = self.server.service.drives().mounts_of(&self.id(), uid).await.for_caller()?;
        Ok(found.into_iter().map(mount_row).collect())
    }

    #[zbus(out_args("streams"))]
    async fn list_streams(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<StreamRow>, Error> {
        self.allowed("ListStreams", &options, &header).await?;
        let found = self.server.service.list_streams(self.id()).await.for_caller()?;
        Ok(found.into_iter().map(stream_row).collect())
    }

    #[zbus(out_args("job"))]
    async fn import(
        &self,
        volume: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        let request = ImportOptions::from_options(&options)?;
        let question = self.question("Import").about("volume", &volume).with(&options);
        let uid = self.server.authority.allow(&header, &question).await?.uid;
        let volume = self.server.service.volume(&volume).for_caller()?;
        let ImportOptions { name, verify } = request;
        let request = ImportRequest { drive: self.id(), volume, name, verify, uid };
        self.published(self.server.service.import(request).await).await
    }

    #[zbus(property)]
    fn label(&self) -> String {
        self.now().label.clone()
    }

    #[zbus(property)]
    fn names(&self) -> Vec<String> {
        self.now().names.clone()
    }

    #[zbus(property)]
    fn model(&self) -> String {
        self.now().model.clone()
    }

    #[zbus(property)]
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
    fn disk(&self) -> String {
        self.now().disk.clone()
    }

    #[zbus(property)]
    fn disk_size(&self) -> u64 {
        self.now().disk_size
    }

    #[zbus(property)]
    fn devices(&self) -> Vec<String> {
        self.now().devices.clone()
    }

    #[zbus(property)]
    fn device_count(&self) -> u64 {
        self.now().device_count
    }

    #[zbus(property)]
    fn size(&self) -> u64 {
        self.now().size
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
        drive_state(self.now().state).as_str().to_owned()
    }

    #[zbus(property)]
    fn mounted_by_others(&self) -> bool {
        self.now().mounted_by_others
    }

    #[zbus(property)]
    fn problems(&self) -> Vec<Problem> {
        self.now().problems.iter().map(mapping::problem).collect()
    }

    #[zbus(property)]
    fn note(&self) -> String {
        self.now().note.clone()
    }

    #[zbus(property)]
    fn enrolled(&self) -> bool {
        self.now().enrolled
    }

    #[zbus(property)]
    fn last_seen(&self) -> u64 {
        self.now().last_seen
    }

    #[zbus(property)]
    fn health(&self) -> DriveHealth {
        mapping::drive_health(self.now().health)
    }
}
