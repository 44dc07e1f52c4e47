//! `butterdock metrics`: numbers for Prometheus, on standard output or in a file for the textfile collector of `node_exporter`.
//!
//! It never starts the service: a timer that runs it may not wake a machine's backups. If the service does not run, the numbers say
//! only that.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use butterdock_dbus::{BackupRow, JobState, ListBackupsOptions};
use serde::Serialize;

use crate::failure::{Failure, UNAVAILABLE};
use crate::render::{Exposition, Output, Sample, escaped, print};
use crate::service::{Destination, Objects, Service};

/// The answer with `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    metrics: &'a str,
}

/// Prints the numbers, or replaces a file with them.
pub(crate) async fn run(
    service: Result<Service, Failure>,
    out: Output,
    output: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let numbers = match service {
        Ok(service) => Numbers::read(&service).await,
        Err(failure) => Err(failure),
    };
    let text = match &numbers {
        Ok(numbers) => numbers.text(),
        Err(failure) if failure.exit == UNAVAILABLE => down(),
        // The file with the last numbers stays, and shows its age.
        Err(failure) => return Err(failure.clone()),
    };
    match (output, &numbers) {
        (Some(file), _) => replace(file, &text).map_err(|error| not_written(file, &error))?,
        (None, Ok(_)) => out.answer(&Answer { metrics: &text }, || text.clone()),
        (None, Err(_)) if out.json => {}
        (None, Err(_)) => print(&text),
    }
    numbers.map(|_| ExitCode::SUCCESS)
}

/// What the service says of itself.
#[derive(Debug)]
struct Numbers {
    version: String,
    backups: Vec<BackupRow>,
    objects: Objects,
    ended: Vec<(String, String, u64)>,
}

impl Numbers {
    /// Reads them from the service if it runs.
    async fn read(service: &Service) -> Result<Self, Failure> {
        let owner = service.owner_now().await?;
        let manager = service.manager_of(&owner).await?;
        Ok(Self {
            version: manager.version().await?,
            backups: manager.list_backups(ListBackupsOptions::default().to_options()).await?,
            objects: service.objects_of(owner.as_str()).await?,
            ended: manager.jobs_ended().await?,
        })
    }

    fn text(&self) -> String {
        let mut all = Exposition::default();
        up(&mut all, true);
        let build = [("version", self.version.as_str())];
        all.gauge(
            "butterdock_build_info",
            "The version of butterdockd; the value is 1.",
            [Sample::number(&build, true)],
        );
        self.add_backups(&mut all);
        self.add_destinations(&mut all);
        self.add_jobs(&mut all);
        all.into_text()
    }

    fn add_backups(&self, all: &mut Exposition) {
        let rows = || self.backups.iter().filter(|row| row.enabled != Some(false));
        let if_known = |row, micros: Option<u64>| Some(Sample::seconds(&labels(row), micros?));
        all.gauge(
            "butterdock_backup_last_success_timestamp_seconds",
            "When the data of the last successful backup was taken, in seconds since 1970. Missing before the first.",
            rows().filter_map(|row| if_known(row, row.last_good.filter(|time| *time != 0))),
        );
        all.gauge(
            "butterdock_backup_last_duration_seconds",
            "How long the last successful backup ran, without its time in the queue.",
            rows().filter_map(|row| if_known(row, row.last_duration)),
        );
        all.gauge(
            "butterdock_backup_last_sent_bytes",
            "Bytes of the streams of the last successful backup; 0 if nothing had changed.",
            rows().filter_map(|row| Some(Sample::number(&labels(row), row.last_sent?))),
        );
        all.gauge(
            "butterdock_backup_due",
            "Whether the backup would run if the destination were there now. A backup without a destination has an empty label.",
            rows().map(|row| Sample::number(&labels(row), row.due)),
        );
        all.gauge(
            "butterdock_backup_overdue",
            "Whether the last success is longer ago than the configuration allows.",
            rows().map(|row| Sample::number(&labels(row), row.overdue)),
        );
    }

    fn add_destinations(&self, all: &mut Exposition) {
        let known = || self.objects.destinations.iter();
        let if_known = |one, bytes: u64| (bytes != 0).then(|| Sample::number(&of(one), bytes));
        all.gauge(
            "butterdock_destination_info",
            "The name and the kind of a destination; the value is 1.",
            known().map(|one| {
                let labels =
                    [("destination", one.id.as_str()), ("name", &one.now.name), ("kind", one.now.kind.as_str())];
                Sample::number(&labels, true)
            }),
        );
        all.gauge(
            "butterdock_destination_free_bytes",
            "Free bytes when the destination was used last; it may be away.",
            known().filter_map(|one| if_known(one, one.now.free)),
        );
        all.gauge(
            "butterdock_destination_size_bytes",
            "The size of the destination.",
            known().filter_map(|one| if_known(one, one.now.size)),
        );
        all.gauge(
            "butterdock_destination_last_verify_timestamp_seconds",
            "When the last complete verify ended, in seconds since 1970. Missing before the first.",
            known().filter(|one| one.now.last_verify != 0).map(|one| Sample::seconds(&of(one), one.now.last_verify)),
        );
    }

    fn add_jobs(&self, all: &mut Exposition) {
        let states = [JobState::Queued, JobState::Running, JobState::Flushing];
        all.gauge(
            "butterdock_jobs",
            "The unfinished jobs.",
            states.iter().map(|state| {
                let count = self.objects.jobs.iter().filter(|job| job.now.state == *state).count();
                Sample::number(&[("state", state.as_str())], u64::try_from(count).unwrap_or(u64::MAX))
            }),
        );
        all.counter(
            "butterdock_jobs_ended_total",
            "The jobs that have ended, also in earlier runs of the service: butterdockd keeps the numbers on disk.",
            self.ended.iter().map(|(kind, result, count)| {
                Sample::number(&[("kind", kind.as_str()), ("result", result.as_str())], *count)
            }),
        );
    }
}

/// Whether the service runs: first in every text.
fn up(all: &mut Exposition, runs: bool) {
    let help = "Whether butterdockd runs. If not, there are no other numbers.";
    all.gauge("butterdock_up", help, [Sample::number(&[], runs)]);
}

fn down() -> String {
    let mut all = Exposition::default();
    up(&mut all, false);
    all.into_text()
}

/// A destination is known by its id: names are not unique.
fn labels(row: &BackupRow) -> [(&'static str, &str); 2] {
    [("backup", &row.name), ("destination", row.drive.as_deref().unwrap_or_default())]
}

fn of(destination: &Destination) -> [(&'static str, &str); 1] {
    [("destination", &destination.id)]
}

/// Replaces a file in one step: a reader finds the old numbers or the new ones. All users may read it.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let temporary = beside(file)?;
    let written = create(&temporary).and_then(|mut new| {
        // Whatever the umask is.
        new.set_permissions(Permissions::from_mode(0o644))?;
        new.write_all(text.as_bytes())?;
        fs::rename(&temporary, file)
    });
    if written.is_err() {
        // If it is there: the error is that of the first step that failed.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// A name in the same directory that does not end in .prom: `node_exporter` does not read it.
fn beside(file: &Path) -> io::Result<PathBuf> {
    let name =
        file.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::IsADirectory, "it is not a file's name"))?;
    Ok(file.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), std::process::id())))
}

/// A new file, never one that another program put there. One of a run that was killed is replaced.
fn create(temporary: &Path) -> io::Result<File> {
    let create = || File::options().write(true).create_new(true).mode(0o644).open(temporary);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(temporary)?;
            create()
        }
        created => created,
    }
}

fn not_written(file: &Path, error: &io::Error) -> Failure {
    let file = escaped(&file.display().to_string());
    Failure::own(format!("cannot write {file}: {error}; check the directory, the old file stays"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_readable_by_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("butterdock.prom");
        let temporary = beside(&file).expect("a name");
        let target = folder.path().join("target");
        fs::write(&target, "of another program").expect("written");
        std::os::unix::fs::symlink(&target, &temporary).expect("a link in its place");
        for text in ["one\n", "two\n"] {
            replace(&file, text).expect("replaced");
            assert_eq!(fs::read_to_string(&file).expect("read"), text);
        }
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o7777, 0o644);
        assert_eq!(fs::read_to_string(&target).expect("read"), "of another program", "a link is not followed");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2, "something is left over");
    }

    #[test]
    fn an_old_file_stays_if_it_cannot_be_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("butterdock.prom");
        fs::create_dir(&file).expect("in its place");
        assert!(replace(&file, "one\n").is_err());
        assert!(file.is_dir());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "something is left over");
        assert!(replace(Path::new("/"), "one\n").is_err());
    }
}
