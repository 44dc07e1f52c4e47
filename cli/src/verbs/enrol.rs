//! `butterdock enrol DRIVE [--format]`.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use butterdock_dbus::EnrolOptions;

use crate::args::Enrol;
use crate::ask::{Drive, Service};
use crate::failure::Failure;
use crate::render::{Done, Out, bytes, escaped, print};

/// Enrols a drive; with `--format` erases it first, after a confirmation.
pub(crate) async fn run(service: &Service, out: Out, wanted: &Enrol) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let drive = objects.drive(&wanted.drive)?;
    let mut options = EnrolOptions::default();
    if wanted.format {
        confirm(drive, wanted.yes_erase.as_deref())?;
        // The service compares these with the drive that is attached now.
        let (size, serial) = (Some(drive.now.size), Some(drive.now.serial.clone()));
        options = EnrolOptions { format: true, size, serial, label: wanted.label.clone() };
    }
    service.drive(&drive.path).await?.enrol(options.to_options()).await?;
    // The drive has a new id now: that of its enrolment.
    let now = service.objects().await?;
    let enrolled = now.drives.iter().find(|other| other.now.enrolled && other.now.device == drive.now.device);
    let id = enrolled.map_or(&drive.id, |enrolled| &enrolled.id);
    out.answer(&Done { id, result: "enrolled" }, || {
        format!("the drive {} is enrolled for this machine's backups\n", escaped(&drive.now.title()))
    });
    Ok(ExitCode::SUCCESS)
}

/// Asks for the serial number of the drive (its size in bytes if it has none), so that the user erases the right drive.
fn confirm(drive: &Drive, said: Option<&str>) -> Result<(), Failure> {
    let now = &drive.now;
    let (what, right) = if now.serial.is_empty() {
        ("size in bytes", now.size.to_string())
    } else {
        ("serial number", now.serial.clone())
    };
    if let Some(said) = said {
        return if said == right { Ok(()) } else { Err(another(drive, what, said)) };
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::usage(
            format!("nothing was erased: to erase the drive {}, confirm its {what}", now.title()),
            "run it in a terminal, or give the number with --yes-erase; `butterdock drives --json` shows both",
        ));
    }
    print::complain(&format!("EVERYTHING on this drive will be lost:\n{}", described(drive)));
    print::ask(&format!("To erase it, type its {what} ({}): ", escaped(&right)));
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::own(format!("nothing was erased: the terminal cannot be read: {error}")))?;
    if line.trim() == right { Ok(()) } else { Err(another(drive, what, line.trim())) }
}

fn another(drive: &Drive, what: &str, said: &str) -> Failure {
    Failure::usage(
        format!("nothing was erased: {said:?} is not the {what} of the drive {}", drive.now.title()),
        "compare the drive's label with `butterdock drives --json`, and try again",
    )
}

fn described(drive: &Drive) -> String {
    let now = &drive.now;
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { escaped(text) };
    format!(
        "  model   {}\n  serial  {}\n  size    {} ({} bytes)\n  device  {}\n  holds   {} {}",
        or_none(&now.model),
        or_none(&now.serial),
        bytes(now.size),
        now.size,
        or_none(&now.device),
        if now.encrypted { "LUKS".to_owned() } else { or_none(&now.filesystem_type) },
        escaped(&now.label)
    )
}
