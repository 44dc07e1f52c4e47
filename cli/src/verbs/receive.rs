//! `butterdock receive VOLUME [FILE|-]`.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use butterdock_dbus::ReceiveOptions;

use super::watch::Watch;
use crate::args::Receive;
use crate::ask::{Follow, Job, Service};
use crate::failure::Failure;
use crate::render::{JobObject, Line, Out, Screen, escaped};

/// Hands a stream to the service and watches the job.
pub(crate) async fn run(service: &Service, out: Out, wanted: &Receive) -> Result<ExitCode, Failure> {
    let input = Input::open(&wanted.file)?;
    let options = ReceiveOptions {
        name: wanted.name.as_ref().map(|name| name.as_bytes().to_vec()),
        verify: wanted.verify,
        force_decompress: wanted.force_decompress,
        strict_parent: wanted.strict_parent,
        // The service reads the size of a regular file itself; the size of a pipe is unknown.
        total: None,
    };
    let mut follow = Follow::start(service).await?;
    let asked = async {
        let manager = service.manager().await?;
        let path = manager.receive(&wanted.volume, (&input.stream).into(), options.to_options()).await?;
        first_look(service, path.as_str()).await
    };
    let job = follow.during(asked).await?;
    if wanted.detach {
        out.answer(&Line::Started { job: JobObject::new(&job) }, || format!("{}\n", job.id));
        return Ok(ExitCode::SUCCESS);
    }
    let watch = Watch { service, follow, jobs: vec![job], others: false, failed: false, hint: input.hint };
    watch.until_the_end(Screen::new(out)).await
}

/// The job. It stays on the bus for ten minutes after its end.
async fn first_look(service: &Service, path: &str) -> Result<Job, Failure> {
    let objects = service.objects().await?;
    let job = objects.jobs.into_iter().find(|job| job.path == path);
    job.ok_or_else(|| Failure::own("the service started a job but does not list it".to_owned()))
}

/// The stream that is handed in.
#[derive(Debug)]
struct Input {
    stream: File,
    /// A condition under which the job continues unwatched.
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
        let facts = stream.metadata().map_err(|error| Failure::own(format!("cannot examine {shown}: {error}")))?;
        let hint = if facts.is_file() { "" } else { " while its stream continues" };
        Ok(Self { stream, hint })
    }
}
