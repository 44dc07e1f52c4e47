//! `butterdock import DRIVE VOLUME`, and `--list`.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use butterdock_dbus::{ImportOptions, StreamRow};
use serde::Serialize;

use super::work;
use crate::args::Import;
use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{Out, StreamObject, Table, bytes, escaped, name};

#[derive(Serialize)]
struct Answer<'a> {
    drive: &'a str,
    streams: Vec<StreamObject<'a>>,
}

/// Receives the stream files on a drive into a volume and watches the job; or lists them.
pub(crate) async fn run(service: &Service, out: Out, wanted: &Import) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let found = objects.drive(&wanted.drive)?;
    let drive = service.drive(&found.path).await?;
    let Some(volume) = wanted.volume.as_deref().filter(|_volume| !wanted.list) else {
        let rows = drive.list_streams(HashMap::new()).await?;
        let answer = Answer { drive: &found.id, streams: rows.iter().map(StreamObject::new).collect() };
        out.answer(&answer, || table(&rows));
        return Ok(ExitCode::SUCCESS);
    };
    service.known_volume(volume).await?;
    let file = wanted.file.as_ref().map(|file| file.as_bytes().to_vec());
    let options = ImportOptions { name: file, verify: wanted.verify };
    let asked = async { Ok(drive.import(volume, options.to_options()).await?) };
    work::watch(service, out, wanted.detach, asked).await
}

fn table(rows: &[StreamRow]) -> String {
    if rows.is_empty() {
        return "no streams (*.btrfs, *.send) in the drive's folder\n".to_owned();
    }
    let mut table = Table::new(&["FILE", "SIZE", "SUBVOLUME", "BUILDS ON", "PROBLEM"]);
    for row in rows {
        table.row([
            name(&row.name),
            bytes(row.size),
            name(&row.subvolume),
            row.parent_uuid.as_deref().map(escaped).unwrap_or_default(),
            row.problem.as_deref().map(escaped).unwrap_or_default(),
        ]);
    }
    table.render()
}
