//! `org.butterdock.Butterdock1.Volume`.

use std::sync::Arc;
use std::time::Duration;

use butterdock_dbus::names::interface::VOLUME;
use butterdock_dbus::{Error, ErrorName, Options, ReceiveOptions, SubvolumeRow, no_options};
use butterdock_service::ReceiveRequest;
use butterdock_service::volumes::{Unanswered, Volume};
use zbus::message::Header;
use zbus::{OwnedObjectPath, interface};

use super::authority::Question;
use super::fd_table::PassedFd;
use super::mapping::{ForCaller as _, subvolume_row};
use super::server::BusServer;

/// Timeout for reading the free space of a drive; after it the last known value is the answer.
const GLANCE: Duration = Duration::from_millis(20);
/// Timeout for listing the subvolumes of a volume.
const LISTING: Duration = Duration::from_secs(20);

/// A volume on the bus.
#[derive(Debug)]
pub(super) struct VolumeObject {
    server: Arc<BusServer>,
    volume: Arc<Volume>,
}

impl VolumeObject {
    pub(super) fn new(server: Arc<BusServer>, volume: Arc<Volume>) -> Self {
        Self { server, volume }
    }
}

#[interface(name = "org.butterdock.Butterdock1.Volume", introspection_docs = false)]
impl VolumeObject {
    #[zbus(out_args("job"))]
    async fn receive(
        &self,
        stream: PassedFd,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath, Error> {
        receive(&self.server, VOLUME, (Arc::clone(&self.volume), stream), &options, &header).await
    }

    #[zbus(out_args("subvolumes"))]
    async fn list_subvolumes(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<SubvolumeRow>, Error> {
        no_options(&options)?;
        let question = Question::new(VOLUME, "ListSubvolumes").about("volume", self.volume.rule.name.as_str());
        self.server.authority.allow(&header, &question).await?;
        list(&self.volume).await
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.volume.rule.name.as_str().to_owned()
    }

    #[zbus(property)]
    async fn size(&self) -> u64 {
        self.volume.glance(GLANCE).await;
        self.volume.seen().size
    }

    #[zbus(property)]
    async fn free(&self) -> u64 {
        self.volume.glance(GLANCE).await;
        self.volume.seen().free
    }

    #[zbus(property)]
    fn mounted(&self) -> bool {
        self.volume.seen().mounted()
    }
}

async fn list(volume: &Volume) -> Result<Vec<SubvolumeRow>, Error> {
    let refused = |name: ErrorName, why: &dyn std::fmt::Display| {
        Error::new(name, format!("cannot list the volume \"{}\": {why}", volume.rule.name))
    };
    match volume.list(LISTING).await {
        Ok(Ok(Ok(found))) => Ok(found.into_iter().map(subvolume_row).collect()),
        Ok(Ok(Err(fault))) => Err(refused(ErrorName::Failed, &fault)),
        Ok(Err(unusable)) => Err(refused(ErrorName::DeviceGone, &unusable)),
        Err(unanswered @ Unanswered::Busy) => Err(refused(ErrorName::Busy, &unanswered)),
        Err(unanswered @ Unanswered::Silent) => Err(refused(ErrorName::DeviceGone, &unanswered)),
        Err(unanswered @ Unanswered::NoThread) => Err(refused(ErrorName::Failed, &unanswered)),
    }
}

/// Both methods `Receive`, of this interface and of the manager: checks the options, asks whether the caller may, has the stream received and publishes the job.
pub(super) async fn receive(
    server: &Arc<BusServer>,
    interface: &'static str,
    (volume, stream): (Arc<Volume>, PassedFd),
    options: &Options,
    header: &Header<'_>,
) -> Result<OwnedObjectPath, Error> {
    let ReceiveOptions { name, verify, force_decompress, strict_parent, total } =
        ReceiveOptions::from_options(options)?;
    let input = server.descriptors.claim(stream, header)?;
    let question = Question::new(interface, "Receive").about("volume", volume.rule.name.as_str()).with(options);
    // The descriptor is examined after this: a caller who may not receive must not block a thread with it.
    let uid = server.authority.allow(header, &question).await?.uid;
    let request = ReceiveRequest { volume, uid, input, total, name, verify, force_decompress, strict_parent };
    let handle = server.service.receive(request).await.for_caller()?;
    server.publish_job(handle).await
}
