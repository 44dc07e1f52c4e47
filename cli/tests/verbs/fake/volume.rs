//! A fake Volume.

use std::fs::File;
use std::sync::Arc;

use butterdock_dbus::{Error, Options, ReceiveOptions, SubvolumeRow, no_options};
use zbus::{Connection, OwnedFd, OwnedObjectPath, interface};

use super::{About, Fixture, job};

/// A name that would clear the screen.
pub(crate) const STEERING: &str = "bad\u{1b}[2Jname";

/// The volumes; `old` is not mounted.
pub(crate) const NAMES: &[&str] = &["tank", "old", STEERING];

#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) fixture: Arc<Fixture>,
}

#[interface(name = "org.butterdock.Butterdock1.Volume")]
impl Volume {
    #[zbus(out_args("job"))]
    async fn receive(
        &self,
        stream: OwnedFd,
        options: &Options,
        #[zbus(connection)] connection: &Connection,
    ) -> Result<OwnedObjectPath, Error> {
        let read = ReceiveOptions::from_options(options)?;
        let stream = File::from(std::os::fd::OwnedFd::from(stream));
        let about = About { volume: Some(self.name.clone()), ..About::default() };
        Ok(job::begin(connection, Arc::clone(&self.fixture), about, stream, read.total).await?)
    }

    #[zbus(out_args("subvolumes"))]
    fn list_subvolumes(&self, options: &Options) -> Result<Vec<SubvolumeRow>, Error> {
        no_options(options)?;
        if self.name == "old" {
            return Err(Error::new(butterdock_dbus::ErrorName::DeviceGone, "the volume \"old\" is not mounted"));
        }
        let uuid = |digit: u8| uuid::Uuid::from_bytes([digit; 16]).to_string();
        let plain = SubvolumeRow {
            name: b"monday".to_vec(),
            id: 256,
            uuid: uuid(1),
            received_uuid: Some(uuid(2)),
            read_only: true,
            created: Some(1_700_000_000_000_000),
            ..SubvolumeRow::default()
        };
        let steering = SubvolumeRow { name: b"\x1b[31mred\xff".to_vec(), id: 257, uuid: uuid(3), ..plain.clone() };
        Ok(vec![plain, steering])
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> String {
        self.name.clone()
    }

    #[zbus(property)]
    fn size(&self) -> u64 {
        if self.mounted() { 4 << 40 } else { 0 }
    }

    #[zbus(property)]
    fn free(&self) -> u64 {
        if self.mounted() { 3 << 39 } else { 0 }
    }

    #[zbus(property)]
    fn mounted(&self) -> bool {
        self.name != "old"
    }
}
