//! `butterdock drives`.

use std::process::ExitCode;

use serde::Serialize;

use crate::ask::{Drive, Service};
use crate::failure::Failure;
use crate::render::{DriveObject, Out, Table, bytes, escaped, moment, print};

#[derive(Serialize)]
struct Answer<'a> {
    drives: Vec<DriveObject<'a>>,
}

/// Lists the attached drives.
pub(crate) async fn run(service: &Service, out: Out) -> Result<ExitCode, Failure> {
    let drives = &service.objects().await?.drives;
    out.answer(&Answer { drives: drives.iter().map(DriveObject::new).collect() }, || table(drives));
    if !out.json {
        for drive in drives.iter().filter(|drive| !drive.now.problem.is_empty()) {
            print::complain(&format!("butterdock: the drive {}: {}", escaped(&drive.id), escaped(&drive.now.problem)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The drives, one per line.
pub(crate) fn table(drives: &[Drive]) -> String {
    if drives.is_empty() {
        return "no drives are attached; `butterdock backups` lists enrolled drives\n".to_owned();
    }
    let mut table = Table::new(&["DRIVE", "LABEL", "DEVICE", "MODEL", "SIZE", "STATE", "LAST BACKUP"]);
    for drive in drives {
        let now = &drive.now;
        let last = match (now.enrolled, now.last_backup) {
            (false, _) => "not enrolled".to_owned(),
            (true, 0) => "never".to_owned(),
            (true, last) => moment(last),
        };
        table.row([
            escaped(&drive.id),
            escaped(&now.label),
            escaped(&now.device),
            escaped(&now.model),
            bytes(now.size),
            escaped(now.state.as_str()),
            last,
        ]);
    }
    table.render()
}
