//! What the two methods `Receive` have in common.

use std::sync::Arc;
use std::time::Duration;

use butterdock_dbus::{Error, ErrorName, Options, ReceiveOptions};
use zbus::OwnedObjectPath;
use zbus::message::Header;

use super::authority::Question;
use super::fd_table::PassedFd;
use super::hall::{Hall, lost};
use super::stream;
use crate::jobs::Wish;
use crate::volumes::Volume;

/// A drive has so long to show that it is there after all.
const LOOK: Duration = Duration::from_secs(2);

/// Checks what was asked for, asks whether the caller may, orders the job and shows it.
pub(super) async fn receive(
    hall: &Arc<Hall>,
    interface: &'static str,
    (volume, stream): (Arc<Volume>, PassedFd),
    options: &Options,
    header: &Header<'_>,
) -> Result<OwnedObjectPath, Error> {
    let ReceiveOptions { name, verify, force_decompress, strict_parent, total } =
        ReceiveOptions::from_options(options)?;
    let input = hall.descriptors.claim(stream, header)?;
    let question = Question::new(interface, "Receive").about("volume", volume.rule.name.as_str()).with(options);
    let caller = hall.authority.allow(header, &question).await?;
    // Not before: whoever may not receive has nothing looked at.
    let (input, total) = stream::check(input, caller.uid, total).await?;
    if !volume.seen().mounted() {
        volume.look(LOOK).await;
    }
    let Some(place) = volume.seen().place else {
        let text = format!("the volume \"{}\" is not mounted; mount its drive and try again", volume.rule.name);
        return Err(Error::new(ErrorName::DeviceGone, text));
    };
    // Whoever is not root may hand in a stream that only looks like one.
    let verify = verify || caller.uid != 0;
    let wish = Wish { volume, place, uid: caller.uid, input, total, name, verify, force_decompress, strict_parent };
    let ticket = hall.jobs.receive(wish).await?;
    hall.show_job(ticket).await.map_err(|error| lost(&error))
}
