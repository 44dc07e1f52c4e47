//! `butterdock unlock DRIVE [--key-file FILE|-]`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use butterdock_dbus::SECRET_MAX;
use zeroize::Zeroizing;

use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{Done, Out, escaped};

/// Unlocks a drive. The secret is passed as a descriptor, never as an argument.
pub(crate) async fn run(
    service: &Service,
    out: Out,
    wanted: &str,
    key_file: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let drive = objects.drive(wanted)?;
    let secret = match key_file {
        Some(file) => opened(file)?,
        None => asked(&drive.now.title())?,
    };
    service.drive(&drive.path).await?.unlock((&secret).into(), HashMap::new()).await?;
    out.answer(&Done { id: &drive.id, result: "unlocked" }, || {
        format!("the drive {} is unlocked\n", escaped(&drive.now.title()))
    });
    Ok(ExitCode::SUCCESS)
}

fn opened(file: &Path) -> Result<OwnedFd, Failure> {
    let stream = if file == Path::new("-") {
        io::stdin().as_fd().try_clone_to_owned()
    } else {
        File::open(file).map(OwnedFd::from)
    };
    stream.map_err(|error| {
        Failure::own(format!("cannot open {}: {error}; check the name", escaped(&file.display().to_string())))
    })
}

/// Reads a passphrase from the terminal without echo, and returns a pipe that contains it.
fn asked(title: &str) -> Result<OwnedFd, Failure> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::usage(
            "no passphrase: standard input is not a terminal".to_owned(),
            "run it in a terminal, or name a file with --key-file (- is standard input)",
        ));
    }
    let failed = |error: io::Error| Failure::own(format!("the passphrase cannot be read from the terminal: {error}"));
    let passphrase = rpassword::prompt_password(format!("Passphrase of {}: ", escaped(title))).map_err(failed)?;
    let passphrase = Zeroizing::new(passphrase);
    if passphrase.is_empty() || passphrase.len() > SECRET_MAX {
        return Err(Failure::own(format!("a passphrase has 1 to {SECRET_MAX} bytes; try again")));
    }
    let (reader, mut writer) = io::pipe().map_err(failed)?;
    writer.write_all(passphrase.as_bytes()).map_err(failed)?;
    Ok(reader.into())
}
