//! `butterdock snapshots VOLUME`.

use std::collections::HashMap;
use std::process::ExitCode;

use butterdock_dbus::SubvolumeRow;
use serde::Serialize;

use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{Out, SubvolumeObject, Table, escaped, moment, name};

#[derive(Serialize)]
struct Answer<'a> {
    volume: &'a str,
    subvolumes: Vec<SubvolumeObject<'a>>,
}

/// Lists the subvolumes of a volume.
pub(crate) async fn run(service: &Service, out: Out, volume: &str) -> Result<ExitCode, Failure> {
    service.known_volume(volume).await?;
    let rows = service.volume(volume).await?.list_subvolumes(HashMap::new()).await?;
    let answer = Answer { volume, subvolumes: rows.iter().map(SubvolumeObject::new).collect() };
    out.answer(&answer, || table(volume, &rows));
    Ok(ExitCode::SUCCESS)
}

fn table(volume: &str, rows: &[SubvolumeRow]) -> String {
    if rows.is_empty() {
        return format!("no subvolumes in {}\n", escaped(volume));
    }
    let mut table = Table::new(&["SUBVOLUME", "ID", "MADE", "READ-ONLY", "RECEIVED FROM"]);
    for row in rows {
        table.row([
            name(&row.name),
            row.id.to_string(),
            row.created.map(moment).unwrap_or_default(),
            if row.read_only { "yes" } else { "no" }.to_owned(),
            row.received_uuid.as_deref().map(escaped).unwrap_or_default(),
        ]);
    }
    table.render()
}
