//! `butterdock forget DRIVE`.

use std::collections::HashMap;
use std::process::ExitCode;

use butterdock_dbus::{BackupRow, ListBackupsOptions};

use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{Done, Out, escaped};

/// Unenrols a drive, attached or not.
pub(crate) async fn run(service: &Service, out: Out, wanted: &str) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let id = match objects.drive(wanted) {
        Ok(drive) => {
            service.drive(&drive.path).await?.forget(HashMap::new()).await?;
            drive.id.clone()
        }
        Err(none) if objects.drives.iter().any(|drive| drive.is_called(wanted)) => return Err(none),
        Err(_none) => away(service, wanted).await?,
    };
    out.answer(&Done { id: &id, result: "forgotten" }, || {
        format!("the drive {} is no longer enrolled; its data stays\n", escaped(&id))
    });
    Ok(ExitCode::SUCCESS)
}

/// Unenrols a drive that is not attached. The service knows its id; the list of backups has its label.
async fn away(service: &Service, wanted: &str) -> Result<String, Failure> {
    let manager = service.manager().await?;
    let rows = manager.list_backups(ListBackupsOptions::default().to_options()).await?;
    let id = by_label(&rows, wanted)?.unwrap_or(wanted).to_owned();
    manager.forget_drive(&id, HashMap::new()).await?;
    Ok(id)
}

fn by_label<'a>(rows: &'a [BackupRow], wanted: &str) -> Result<Option<&'a str>, Failure> {
    let called = |row: &&BackupRow| row.drive_label.as_deref() == Some(wanted) || row.drive.as_deref() == Some(wanted);
    let mut ids = rows.iter().filter(called).filter_map(|row| row.drive.as_deref()).collect::<Vec<_>>();
    ids.sort_unstable();
    ids.dedup();
    match ids.as_slice() {
        [] => Ok(None),
        [id] => Ok(Some(id)),
        several => Err(Failure::usage(
            format!("{wanted:?} is ambiguous, {} drives match: {}", several.len(), several.join(", ")),
            "name the drive by its id; `butterdock backups --json` has the ids",
        )),
    }
}
