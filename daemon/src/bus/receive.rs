//! The common part of the two methods `Receive`.

use std::sync::Arc;

use butterdock_dbus::{Error, Options, ReceiveOptions};
use butterdock_service::ReceiveRequest;
use butterdock_service::volumes::Volume;
use zbus::OwnedObjectPath;
use zbus::message::Header;

use super::authority::Question;
use super::fd_table::PassedFd;
use super::mapping::ForCaller as _;
use super::server::BusServer;

/// Checks what was asked for, asks whether the caller may, has the stream received and publishes the job.
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
    // Nothing is looked at before: who may not receive has no thread wait for a descriptor.
    let uid = server.authority.allow(header, &question).await?.uid;
    let request = ReceiveRequest { volume, uid, input, total, name, verify, force_decompress, strict_parent };
    let handle = server.service.receive(request).await.for_caller()?;
    server.publish_job(handle).await
}
