//! The verbs about streams: `receive` (a file or standard input) and `import` (files on a drive).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use butterdock_dbus::{ImportOptions, ReceiveOptions, StreamRow};
use serde::Serialize;

use super::watch;
use crate::args::streams::{Import, Receive};
use crate::failure::Failure;
use crate::render::{Output, StreamObject, Table, bytes, escaped, escaped_name};
use crate::service::Service;

/// Passes a stream to the service and watches the job.
pub(crate) async fn receive(service: &Service, out: Output, wanted: &Receive) -> Result<ExitCode, Failure> {
    let input = Input::open(&wanted.file)?;
    let options = ReceiveOptions {
        name: wanted.name.as_ref().map(|name| name.as_bytes().to_vec()),
        verify: wanted.verify,
        force_decompress: wanted.force_decompress,
        strict_parent: wanted.strict_parent,
        // The service reads the size of a regular file itself; the size of a pipe is unknown.
        total: None,
    };
    let call = async {
        let manager = service.manager().await?;
        Ok(manager.receive(&wanted.volume, (&input.stream).into(), options.to_options()).await?)
    };
    watch::start(service, out, wanted.detach, input.hint, call).await
}

/// The stream to receive.
#[derive(Debug)]
struct Input {
    stream: File,
    /// The condition under which the job continues unwatched; begins with a space.
    hint: &'static str,
}

impl Input {
    fn open(file: &Path) -> Result<Self, Failure> {
        let standard = file == Path::new("-");
        let shown = escaped(&file.display().to_string());
        let stream = if standard {
            if io::stdin().is_terminal() {
                return Err(Failure::usage(
                    "no stream: standard input is a terminal".to_owned(),
                    "name a file, or pipe one in: btrfs send SNAPSHOT | butterdock receive VOLUME",
                ));
            }
            io::stdin().as_fd().try_clone_to_owned().map(File::from)
        } else {
            File::open(file)
        };
        let stream = stream.map_err(|error| Failure::own(format!("cannot open {shown}: {error}; check the name")))?;
        let metadata = stream.metadata().map_err(|error| Failure::own(format!("cannot examine {shown}: {error}")))?;
        let hint = if metadata.is_file() { "" } else { " while its stream continues" };
        Ok(Self { stream, hint })
    }
}

#[derive(Serialize)]
struct Streams<'a> {
    drive: &'a str,
    streams: Vec<StreamObject<'a>>,
}

/// Receives the stream files on a drive into a volume and watches the job; or lists them.
pub(crate) async fn import(service: &Service, out: Output, wanted: &Import) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let found = objects.drive(&wanted.drive)?;
    let drive = service.drive(&found.path).await?;
    let Some(volume) = wanted.volume.as_deref().filter(|_volume| !wanted.list) else {
        let rows = drive.list_streams(HashMap::new()).await?;
        let answer = Streams { drive: &found.id, streams: rows.iter().map(StreamObject::new).collect() };
        out.answer(&answer, || table(&rows));
        return Ok(ExitCode::SUCCESS);
    };
    service.known_volume(volume).await?;
    let file = wanted.file.as_ref().map(|file| file.as_bytes().to_vec());
    let options = ImportOptions { name: file, verify: wanted.verify };
    let call = async { Ok(drive.import(volume, options.to_options()).await?) };
    watch::start(service, out, wanted.detach, "", call).await
}

fn table(rows: &[StreamRow]) -> String {
    if rows.is_empty() {
        return "no streams (*.btrfs, *.send, also with .zst or .gz) in the drive's folder\n".to_owned();
    }
    let mut table = Table::new(&["FILE", "SIZE", "SUBVOLUME", "BUILDS ON", "PROBLEM"]);
    for row in rows {
        table.row([
            escaped_name(&row.name),
            bytes(row.size),
            escaped_name(&row.subvolume),
            row.parent_uuid.as_deref().map(escaped).unwrap_or_default(),
            row.problem.as_deref().map(escaped).unwrap_or_default(),
        ]);
    }
    table.render()
}
