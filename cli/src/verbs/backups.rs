//! The verbs about backups: `backups`, `backup`, `trust-clock`.

use std::collections::{BTreeSet, HashMap};
use std::process::ExitCode;

use butterdock_dbus::{BackupOptions, BackupRow, ListBackupsOptions, RunOptions};
use serde::Serialize;
use zbus::ObjectPath;

use super::watch;
use crate::args::backup::Backup;
use crate::failure::{FAILED, Failure, INTERRUPTED, UNAVAILABLE};
use crate::render::{BackupObject, Output, Table, bytes, escaped, now, print_error, short_label, time};
use crate::service::{Objects, Service};

#[derive(Serialize)]
struct Backups<'a> {
    backups: Vec<BackupObject<'a>>,
}

/// Lists the configured backups; with `estimate` also how much each would send.
pub(crate) async fn list(service: &Service, out: Output, estimate: bool) -> Result<ExitCode, Failure> {
    let options = ListBackupsOptions { estimate };
    let rows = service.manager().await?.list_backups(options.to_options()).await?;
    out.answer(&Backups { backups: rows.iter().map(BackupObject::new).collect() }, || table(&rows, estimate));
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[BackupRow], estimate: bool) -> String {
    if rows.is_empty() {
        return "no backups: `butterdock backup add` adds one\n".to_owned();
    }
    let send = if estimate { "WOULD SEND" } else { "" };
    let mut table = Table::new(&["BACKUP", "DRIVE", "LABEL", "ATTACHED", "DUE", "LAST GOOD", "NEXT RUN", send]);
    for row in rows {
        let has_drive = row.drive.is_some();
        let last = match row.last_good {
            Some(0) => "never".to_owned(),
            Some(last) => time(last),
            None => String::new(),
        };
        table.row([
            escaped(&row.name),
            row.drive.as_deref().map_or_else(|| "none".to_owned(), escaped),
            row.drive_label.as_deref().map(short_label).unwrap_or_default(),
            if has_drive { yes_or_no(row.attached.unwrap_or_default()) } else { String::new() },
            if row.enabled == Some(false) { "not enabled".to_owned() } else { yes_or_no(row.due) },
            if row.overdue { format!("{last} (overdue)") } else { last },
            next_run(row, now()),
            if estimate { would_send(row) } else { String::new() },
        ]);
    }
    let mut text = table.render();
    text.push_str(&freeable(rows));
    for row in rows {
        let warnings = row.warnings.iter().flatten().map(|warning| &warning.english);
        for word in [&row.problem, &row.note].into_iter().flatten().chain(warnings) {
            text.push_str(&format!("{}: {}\n", escaped(&row.name), escaped(word)));
        }
    }
    text
}

/// Prints the problems of sources, which belong to no drive.
pub(super) fn print_source_problems(rows: &[BackupRow], out: Output) {
    let mut seen = BTreeSet::new();
    for row in rows.iter().filter(|row| !out.json && seen.insert(&row.name)) {
        for problem in row.problems.iter().flatten().filter(|problem| problem.code == "source-low-space") {
            print_error(&format!("butterdock: the backup {}: {}", escaped(&row.name), escaped(&problem.english)));
        }
    }
}

/// What deleting the snapshots beside the sources would free: a line for each backup.
fn freeable(rows: &[BackupRow]) -> String {
    let mut seen = BTreeSet::new();
    let first = rows.iter().filter(|row| seen.insert(&row.name));
    let line = |row: &BackupRow| {
        let (count, freeable) = (row.source_snapshots.filter(|&count| count > 0)?, row.source_freeable.map(bytes));
        let (noun, them) = if count == 1 { ("snapshot", "it") } else { ("snapshots", "them") };
        let freeable = freeable.unwrap_or_else(|| "an unknown number of bytes".to_owned());
        Some(format!("{}: {count} {noun} on the source; deleting {them} frees {freeable}\n", escaped(&row.name)))
    };
    first.filter_map(line).collect()
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// When it begins by itself.
fn next_run(row: &BackupRow, now: u64) -> String {
    match row.next_run {
        Some(next) if next > now => time(next),
        Some(_) if row.attached == Some(true) => "now".to_owned(),
        Some(_) => "when attached".to_owned(),
        None if row.schedule.iter().any(|entry| entry == "on-plug") => "when plugged in".to_owned(),
        None => "on request".to_owned(),
    }
}

fn would_send(row: &BackupRow) -> String {
    match (row.estimate, row.incremental) {
        (None, _) => "unknown".to_owned(),
        (Some(count), Some(true)) => format!("{} of changes", bytes(count)),
        (Some(count), Some(false) | None) => format!("{} (full)", bytes(count)),
    }
}

/// Runs all backups of a destination, or the named one; or the named backup on each of its destinations that are there, one after
/// another.
pub(crate) async fn run(service: &Service, out: Output, wanted: &Backup) -> Result<ExitCode, Failure> {
    let Backup { change: _, target, backup, full, new_source, detach } = wanted;
    // clap requires it where nothing is to be changed.
    let target = target.as_deref().unwrap_or_default();
    let objects = service.objects().await?;
    // With the option the name of a backup is given already.
    let rows = if backup.is_none() { service.manager().await?.list_backups(HashMap::new()).await? } else { Vec::new() };
    let (full, new_source) = (*full, *new_source);
    match meant(&objects, &rows, target)? {
        Meant::Destination(id) => {
            let options = BackupOptions { backup: backup.clone(), full, new_source };
            let destination = service.destination(&objects.destination_path(&id)).await?;
            let call = async { Ok(destination.backup(options.to_options()).await?) };
            watch::start(service, out, *detach, "", call).await
        }
        Meant::Backup(destinations) => {
            let backup = service.backup(target).await?;
            on_each(out, destinations, async |id| {
                let destination = ObjectPath::try_from(objects.destination_path(&id)).ok().map(Into::into);
                let options = RunOptions { destination, full, new_source };
                let call = async { Ok(backup.run(options.to_options()).await?) };
                watch::start(service, out, *detach, "", call).await
            })
            .await
        }
    }
}

/// What the argument of `backup` means.
#[derive(Debug, PartialEq, Eq)]
enum Meant {
    /// The destination with this id.
    Destination(String),
    /// A backup: the ids of its destinations that are there.
    Backup(Vec<String>),
}

/// What `wanted` means. The first letters of a drive's id may be the name of a backup by chance: the backup is meant.
fn meant(objects: &Objects, rows: &[BackupRow], wanted: &str) -> Result<Meant, Failure> {
    let rows = rows.iter().filter(|row| row.name == wanted).collect::<Vec<_>>();
    if rows.is_empty() {
        return objects.destination(wanted).map(|destination| Meant::Destination(destination.id.clone()));
    }
    let name = escaped(wanted);
    if let Some(drive) = objects.enrolled_with_name(wanted) {
        return Err(Failure::usage(
            format!("\"{name}\" is ambiguous: a backup and the drive {} have this name", drive.id),
            "name the drive by its id; with --backup it runs only one backup",
        ));
    }
    let attached = rows.into_iter().filter(|row| row.attached == Some(true));
    let ids = attached.filter_map(|row| row.drive.clone()).collect::<Vec<_>>();
    if ids.is_empty() {
        return Err(Failure::usage(
            format!("none of the drives of the backup \"{name}\" is attached"),
            "plug one of them in; `butterdock backups` lists them",
        ));
    }
    Ok(Meant::Backup(ids))
}

/// Runs a backup on each of these drives. A drive that refuses does not keep the others from it; the worst status counts.
async fn on_each(
    out: Output,
    drives: Vec<String>,
    run: impl AsyncFn(String) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let is_only = drives.len() == 1;
    let mut worst = 0;
    for id in drives {
        match run(id.clone()).await {
            Ok(ended) if ended == ExitCode::SUCCESS => {}
            // Ctrl-C ends the verb.
            Ok(ended) if ended == ExitCode::from(INTERRUPTED) => return Ok(ended),
            Ok(_) => worst = worst.max(FAILED),
            Err(failure) if is_only || failure.exit == UNAVAILABLE => return Err(failure),
            Err(failure) => {
                let failure = Failure { message: format!("the drive {id}: {}", failure.message), ..failure };
                out.failed(&failure);
                worst = worst.max(failure.exit);
            }
        }
    }
    Ok(ExitCode::from(worst))
}

#[derive(Serialize)]
struct Trusted {
    result: &'static str,
}

/// Confirms that the clock is right.
pub(crate) async fn trust_clock(service: &Service, out: Output) -> Result<ExitCode, Failure> {
    service.manager().await?.trust_clock(HashMap::new()).await?;
    out.answer(&Trusted { result: "trusted" }, || {
        "the clock is trusted; the next backups prune old snapshots by their rules\n".to_owned()
    });
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use butterdock_dbus::DriveProperties;
    use butterdock_dbus::path::drive_path;

    use super::*;
    use crate::service::{Destination, Drive};

    fn drive(id: &str, label: &str) -> Drive {
        let names = vec![id.to_owned(), label.to_owned()];
        let now = DriveProperties { names, device: "sdb1".to_owned(), enrolled: true, ..DriveProperties::default() };
        Drive { id: id.to_owned(), path: drive_path(id).to_string(), now, destination: None, mount_points: Vec::new() }
    }

    fn destination(id: &str) -> Destination {
        Destination { id: id.to_owned(), path: drive_path(id).to_string(), now: Default::default() }
    }

    fn row(name: &str, drive: &str, attached: bool) -> BackupRow {
        let (name, drive) = (name.to_owned(), Some(drive.to_owned()));
        BackupRow { name, drive, attached: Some(attached), ..BackupRow::default() }
    }

    #[test]
    fn the_name_of_a_backup_comes_before_the_first_letters_of_an_id() {
        let drives = vec![drive("db3f", "Blue"), drive("77aa", "Red")];
        let destinations = vec![destination("db3f"), destination("77aa")];
        let objects = Objects { drives, destinations, ..Objects::default() };
        let rows =
            [row("db", "db3f", false), row("db", "77aa", true), row("etc", "db3f", false), row("Red", "77aa", true)];
        let meant = |wanted| meant(&objects, &rows, wanted).map_err(|failure| failure.message);
        assert_eq!(meant("db"), Ok(Meant::Backup(vec!["77aa".to_owned()])));
        assert_eq!(meant("db3"), Ok(Meant::Destination("db3f".to_owned())));
        assert_eq!(meant("Blue"), Ok(Meant::Destination("db3f".to_owned())));
        let both = meant("Red").expect_err("a backup and a drive");
        assert!(both.contains("a backup and the drive 77aa have this name"), "{both}");
        assert!(meant("etc").is_err_and(|text| text.contains("none of the drives")));
        assert!(meant("srv").is_err_and(|text| text.contains("there is no drive")));
    }

    #[test]
    fn the_next_run_is_a_time_or_says_what_it_waits_for() {
        let of = |schedule: &str, next_run, attached| {
            let row = BackupRow { schedule: vec![schedule.to_owned()], next_run, ..row("home", "db3f", attached) };
            next_run_at(&row)
        };
        assert_eq!(of("on-plug", None, true), "when plugged in");
        assert_eq!(of("manual", None, true), "on request");
        assert_eq!((of("hourly", Some(5), true), of("hourly", Some(5), false)), ("now".into(), "when attached".into()));
        assert_eq!(of("hourly", Some(1_700_000_000_000_000), false), time(1_700_000_000_000_000));
    }

    fn next_run_at(row: &BackupRow) -> String {
        next_run(row, 1_600_000_000_000_000)
    }

    #[tokio::test]
    async fn a_drive_that_refuses_does_not_stop_the_others() {
        let run = async |ends: [Result<ExitCode, Failure>; 3]| {
            let (tried, ends) = (RefCell::new(0), RefCell::new(ends.into_iter()));
            let ids = ["a", "b", "c"].map(str::to_owned).to_vec();
            let end = on_each(Output { json: false }, ids, async |_id| {
                *tried.borrow_mut() += 1;
                ends.borrow_mut().next().expect("an end")
            });
            let end = end.await.map_err(|failure| failure.exit);
            (tried.into_inner(), end)
        };
        let good = || Ok(ExitCode::SUCCESS);
        let all_good = (3, Ok(ExitCode::SUCCESS));
        let bad = |exit| Err(Failure { exit, ..Failure::own("the drive is locked".to_owned()) });
        assert_eq!(run([good(), good(), good()]).await, all_good);
        assert_eq!(run([bad(FAILED), good(), good()]).await, (3, Ok(ExitCode::from(FAILED))));
        assert_eq!(run([bad(77), Ok(ExitCode::from(FAILED)), good()]).await, (3, Ok(ExitCode::from(77))));
        assert_eq!(run([good(), bad(UNAVAILABLE), good()]).await, (2, Err(UNAVAILABLE)), "no service for the others");
        assert_eq!(run([Ok(ExitCode::from(INTERRUPTED)), good(), good()]).await, (1, Ok(ExitCode::from(INTERRUPTED))));
    }
}
