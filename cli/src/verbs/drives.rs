//! The verbs about drives: `drives`, `enrol`, `forget`, `unlock`, `mount`, `safely-remove`, `verify`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use butterdock_dbus::{
    DriveState, EnrolEncryptedOptions, EnrolOptions, Error, ErrorName, ListBackupsOptions, Problem,
    SafelyRemoveOptions, UnpinOptions, path as object_path,
};
use serde::Serialize;

use super::enrol_target::Target;
use super::passphrase::read_passphrase;
use super::status::{last_backup, next_verify};
use super::watch;
use crate::args::drives::{Enrol, SafelyRemove, Verify};
use crate::failure::Failure;
use crate::render::{
    DriveObject, DriveResult, Output, Table, bytes, escaped, escaped_name, now, print_error, prompt, short_label, time,
};
use crate::service::{Destination, Drive, Service};

#[derive(Serialize)]
struct Drives<'a> {
    drives: Vec<DriveObject<'a>>,
}

/// Lists the drives: the attached ones, and the enrolled ones that are away.
pub(crate) async fn list(service: &Service, out: Output) -> Result<ExitCode, Failure> {
    let mut objects = service.objects().await?;
    service.add_mounts(&mut objects.drives).await?;
    let drives = &objects.drives;
    out.answer(&Drives { drives: drives.iter().map(DriveObject::new).collect() }, || table(drives));
    print_problems(drives, out);
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with the drives, where others have them mounted, and the notes on them; `--json` has all of it already.
pub(super) fn print_problems(drives: &[Drive], out: Output) {
    for drive in drives.iter().filter(|drive| !out.json && drive.now.mounted_by_others) {
        let places = drive.mount_points.iter().map(|place| escaped_name(place)).collect::<Vec<_>>().join(" and ");
        let hidden = "in a place that only root and the user who mounted it may know".to_owned();
        let at = if places.is_empty() { hidden } else { format!("at {places}") };
        print_error(&format!("butterdock: the drive {} is mounted by another program {at}", escaped(&drive.id)));
    }
    for drive in drives.iter().filter(|drive| !out.json && !drive.problems().is_empty()) {
        let problem = Problem::sentence(drive.problems());
        print_error(&format!("butterdock: the drive {}: {}", escaped(&drive.id), escaped(&problem)));
    }
    for drive in drives.iter().filter(|_| !out.json) {
        if let Some(errors @ 1..) = drive.now.health.device_errors {
            let next = "check it and its cable, and verify it (butterdock verify); btrfs device stats says which errors these are";
            print_error(&format!(
                "butterdock: note on the drive {}: it had {errors} errors; {next}",
                escaped(&drive.id)
            ));
        }
    }
    for drive in drives.iter().filter(|drive| !out.json && !drive.now.note.is_empty()) {
        print_error(&format!("butterdock: note on the drive {}: {}", escaped(&drive.id), escaped(&drive.now.note)));
    }
}

/// The drives, one per line.
pub(crate) fn table(drives: &[Drive]) -> String {
    if drives.is_empty() {
        return "no drive is attached, and none is enrolled\n".to_owned();
    }
    // Only where one is verified by itself: the line is long.
    let is_verified = |drive: &Drive| drive.destination.as_ref().is_some_and(|one| one.next_verify != 0);
    let (has_verifies, moment) = (drives.iter().any(is_verified), now());
    let verify = if has_verifies { "NEXT VERIFY" } else { "" };
    let mut table = Table::new(&["DRIVE", "LABEL", "DEVICE", "MODEL", "SIZE", "STATE", "LAST BACKUP", verify]);
    for drive in drives {
        let now = &drive.now;
        let last = match &drive.destination {
            None => "not enrolled".to_owned(),
            Some(destination) => last_backup(destination),
        };
        let next = drive.destination.as_ref().filter(|_| has_verifies).map(|one| next_verify(one, moment));
        let next = next.unwrap_or_default();
        let is_theirs = now.mounted_by_others && matches!(now.state, DriveState::Present | DriveState::Unlocked);
        let state = if is_theirs {
            "mounted by others".to_owned()
        } else if now.state == DriveState::Away && now.last_seen != 0 {
            format!("away since {}", time(now.last_seen))
        } else {
            escaped(now.state.as_str())
        };
        table.row([
            escaped(&drive.id),
            short_label(&now.label),
            devices(drive),
            short_label(&now.model),
            bytes(now.size),
            state,
            last,
            next,
        ]);
    }
    table.render()
}

/// Its devices, and how many there are if some are missing.
fn devices(drive: &Drive) -> String {
    let now = &drive.now;
    let attached = if now.devices.len() > 1 { escaped(&now.devices.join(", ")) } else { escaped(&now.device) };
    let count = now.devices.len() as u64;
    if count == 0 || count >= now.device_count {
        return attached;
    }
    format!("{attached} ({count} of {})", now.device_count)
}

/// Enrols a drive; with `--format` erases it first, after a confirmation.
pub(crate) async fn enrol(service: &Service, out: Output, wanted: &Enrol) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let target = Target::find(&objects, &wanted.drive, wanted.format)?;
    let drive = target.drive;
    let mut options = EnrolOptions { unmount: wanted.unmount, no_backup: wanted.no_backup, ..EnrolOptions::default() };
    if wanted.format {
        confirm(&target, wanted.yes_erase.as_deref())?;
        // The service compares these with the drive that is attached now.
        let (size, serial) = (Some(target.size()), Some(drive.now.serial.clone()));
        let (whole_disk, label) = (target.is_whole_disk(), wanted.label.clone());
        options = EnrolOptions { format: true, whole_disk, size, serial, label, ..options };
    }
    let proxy = service.drive(&drive.path).await?;
    let secret = SecretOf { title: drive.now.title(), file: wanted.key_file.as_deref(), is_new: wanted.encrypt };
    let is_locked = drive.now.encrypted && !drive.now.enrolled && drive.now.state == DriveState::Locked;
    if wanted.encrypt || (!wanted.format && is_locked) {
        let options = EnrolEncryptedOptions { enrol: options, keep_key: wanted.keep_key };
        secret.give(async |secret| proxy.enrol_encrypted(secret.into(), options.to_options()).await).await?;
    } else if wanted.keep_key || wanted.key_file.is_some() {
        return Err(Failure::usage(
            format!(
                "the drive {} is not locked, and --encrypt is not given, so no key is needed",
                short_label(&secret.title)
            ),
            "leave out --key-file and --keep-key, or give --format --encrypt; lock a drive that you unlocked yourself first",
        ));
    } else {
        proxy.enrol(options.to_options()).await?;
    }
    // Enrolment gives the drive a new id.
    let now = service.objects().await?;
    let enrolled = target.enrolled(&objects, &now);
    let id = enrolled.map_or(&drive.id, |enrolled| &enrolled.id);
    let backups = if wanted.no_backup { Vec::new() } else { due(service, id).await? };
    out.answer(&Enrolled { id, result: "enrolled", backups: &backups }, || {
        let title = enrolled.unwrap_or(drive).now.title();
        let is_safe = enrolled.is_some_and(|enrolled| enrolled.now.state == DriveState::Safe);
        format!("the drive {} is enrolled for this machine's backups{}\n", short_label(&title), next(&backups, is_safe))
    });
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Enrolled<'a> {
    id: &'a str,
    result: &'static str,
    backups: &'a [String],
}

/// The names of the backups that are due on this drive.
async fn due(service: &Service, id: &str) -> Result<Vec<String>, Failure> {
    let rows = service.manager().await?.list_backups(ListBackupsOptions::default().to_options()).await?;
    Ok(rows.into_iter().filter(|row| row.due && row.drive.as_deref() == Some(id)).map(|row| row.name).collect())
}

/// What follows an enrolment.
fn next(backups: &[String], is_safe: bool) -> String {
    match backups {
        [] if is_safe => "; it can be unplugged".to_owned(),
        [] => String::new(),
        [one] => format!("; the backup {} begins, `butterdock watch` shows it", escaped(one)),
        several => {
            let names = several.iter().map(|name| escaped(name)).collect::<Vec<_>>().join(", ");
            format!("; the backups {names} begin, `butterdock watch` shows them")
        }
    }
}

/// Asks for the serial number of the drive (its size in bytes if it has none), so that the user erases the right drive.
fn confirm(target: &Target<'_>, given: Option<&str>) -> Result<(), Failure> {
    let now = &target.drive.now;
    let (what, expected) = if now.serial.is_empty() {
        ("size in bytes", target.size().to_string())
    } else {
        ("serial number", now.serial.clone())
    };
    if let Some(given) = given {
        return if given == expected { Ok(()) } else { Err(mismatch(target, what, given)) };
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::usage(
            format!("nothing was erased: to erase {}, confirm its {what}", target.title()),
            "run it in a terminal, or give the number with --yes-erase; `butterdock drives --json` shows both",
        ));
    }
    print_error(&format!("EVERYTHING on {} will be lost:\n{}", target.title(), target.description()));
    prompt(&format!("To erase it, type its {what} ({}): ", escaped(&expected)));
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::own(format!("nothing was erased: the terminal cannot be read: {error}")))?;
    if line.trim() == expected { Ok(()) } else { Err(mismatch(target, what, line.trim())) }
}

fn mismatch(target: &Target<'_>, what: &str, given: &str) -> Failure {
    Failure::usage(
        format!("nothing was erased: {given:?} is not the {what} of {}", target.title()),
        "compare the drive's label with `butterdock drives --json`, and try again",
    )
}

/// Unenrols a drive, attached or away.
pub(crate) async fn forget(service: &Service, out: Output, wanted: &str) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let Destination { id, path, .. } = objects.destination_also_away(wanted)?;
    service.destination(path).await?.forget(HashMap::new()).await?;
    out.answer(&DriveResult { id, result: "forgotten" }, || {
        let what = if object_path::drive_id(path).is_some() { "drive" } else { "destination" };
        let then = if what == "drive" { "is no longer enrolled" } else { "has no recorded backups any more" };
        format!("the {what} {} {then}; its data stays\n", escaped(id))
    });
    Ok(ExitCode::SUCCESS)
}

/// Unpins what the sources keep for a destination, also while it is away.
pub(crate) async fn unpin(
    service: &Service,
    out: Output,
    wanted: &str,
    backup: Option<String>,
) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let Destination { id, path, .. } = objects.destination_also_away(wanted)?;
    service.destination(path).await?.unpin(UnpinOptions { backup }.to_options()).await?;
    out.answer(&DriveResult { id, result: "unpinned" }, || {
        let next = "the next backup to it is a full one, unless an older shared snapshot remains";
        format!("the sources no longer keep a snapshot for {}; {next}\n", escaped(id))
    });
    Ok(ExitCode::SUCCESS)
}

/// Unlocks a drive. The secret is passed as a descriptor, never as an argument.
pub(crate) async fn unlock(
    service: &Service,
    out: Output,
    wanted: &str,
    key_file: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let drive = objects.drive(wanted)?;
    let proxy = service.drive(&drive.path).await?;
    let secret = SecretOf { title: drive.now.title(), file: key_file, is_new: false };
    secret.give(async |secret| proxy.unlock(secret.into(), HashMap::new()).await).await?;
    out.answer(&DriveResult { id: &drive.id, result: "unlocked" }, || {
        format!("the drive {} is unlocked\n", short_label(&drive.now.title()))
    });
    Ok(ExitCode::SUCCESS)
}

/// How often a passphrase is asked for.
const ATTEMPTS: u32 = 3;

/// The secret of a drive.
struct SecretOf<'s> {
    /// What the drive is called.
    title: String,
    /// Where it is; it is asked for if there is none.
    file: Option<&'s Path>,
    /// It is a new one: it is asked for twice.
    is_new: bool,
}

impl SecretOf<'_> {
    /// Passes it to a call as a descriptor, never as an argument. A passphrase that is wrong is asked for again.
    async fn give(&self, mut call: impl AsyncFnMut(&OwnedFd) -> Result<(), Error>) -> Result<(), Failure> {
        let mut attempt = 1_u32;
        loop {
            let secret = match self.file {
                Some(file) => open_key_file(file)?,
                None => read_passphrase(&self.title, self.is_new)?,
            };
            match call(&secret).await {
                Ok(()) => return Ok(()),
                // A key does not get better.
                Err(error @ Error::Named(ErrorName::WrongPassphrase, _))
                    if self.file.is_none() && attempt < ATTEMPTS =>
                {
                    print_error(&format!("butterdock: {}", escaped(&Failure::from(error).message)));
                    attempt = attempt.saturating_add(1);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn open_key_file(file: &Path) -> Result<OwnedFd, Failure> {
    let stream = if file == Path::new("-") {
        io::stdin().as_fd().try_clone_to_owned()
    } else {
        File::open(file).map(OwnedFd::from)
    };
    stream.map_err(|error| {
        Failure::own(format!("cannot open {}: {error}; check the name", escaped(&file.display().to_string())))
    })
}

#[derive(Serialize)]
struct Mounted<'a> {
    id: &'a str,
    result: &'static str,
    path: &'a str,
}

/// Mounts a drive for root and prints the mount point.
pub(crate) async fn mount(service: &Service, out: Output, wanted: &str) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let drive = objects.drive(wanted)?;
    let path = service.drive(&drive.path).await?.mount(HashMap::new()).await?;
    let answer = Mounted { id: &drive.id, result: "mounted", path: &path };
    // Only the path, so that a script can use it.
    out.answer(&answer, || format!("{}\n", escaped(&path)));
    Ok(ExitCode::SUCCESS)
}

/// Makes a drive safe to unplug.
pub(crate) async fn safely_remove(service: &Service, out: Output, wanted: &SafelyRemove) -> Result<ExitCode, Failure> {
    let SafelyRemove { drive, detach, when_idle } = wanted;
    let objects = service.objects().await?;
    let drive = service.drive(&objects.drive(drive)?.path).await?;
    let options = SafelyRemoveOptions { when_idle: *when_idle };
    watch::start(service, out, *detach, "", async { Ok(drive.safely_remove(options.to_options()).await?) }).await
}

/// Checks all data on a destination.
pub(crate) async fn verify(service: &Service, out: Output, on: &Verify) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let destination = service.destination(&objects.destination(&on.destination)?.path).await?;
    watch::start(service, out, on.detach, "", async { Ok(destination.verify(HashMap::new()).await?) }).await
}
