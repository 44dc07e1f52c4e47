//! `butterdock volumes`.

use std::process::ExitCode;

use butterdock_dbus::VolumeProperties;
use serde::Serialize;

use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{Out, Table, VolumeObject, bytes, escaped};

#[derive(Serialize)]
struct Answer<'a> {
    volumes: Vec<VolumeObject<'a>>,
}

/// Lists the volumes.
pub(crate) async fn run(service: &Service, out: Out) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let volumes = &objects.volumes;
    out.answer(&Answer { volumes: volumes.iter().map(VolumeObject::new).collect() }, || table(volumes));
    Ok(ExitCode::SUCCESS)
}

/// The volumes, or how to get one.
pub(crate) fn table(volumes: &[VolumeProperties]) -> String {
    if volumes.is_empty() {
        return "no volumes: configure one in /etc/butterdock/butterdock.toml (see butterdock.toml(5))\n".to_owned();
    }
    let mut table = Table::new(&["VOLUME", "FREE", "SIZE"]);
    for volume in volumes {
        let name = escaped(&volume.name);
        if volume.mounted {
            table.row([name, bytes(volume.free), bytes(volume.size)]);
        } else {
            table.row([name, "not mounted".to_owned()]);
        }
    }
    table.render()
}
