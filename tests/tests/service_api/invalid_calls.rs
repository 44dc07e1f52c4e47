//! Requests that are refused before a job is made.

use std::fs::File;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail, ensure};
use butterdock_dbus::INVALID_ARGS;
use butterdock_dbus::authority::TABLE;
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{BACKUP, DESTINATION, DRIVE, JOB, MANAGER, VOLUME};
use butterdock_tests::{
    Client, Options, Recorder, Service, Stalled, TANK, all_names, error_name, file_of, no_options, small, tank,
};
use rustix::fs::{Mode, OFlags, open};
use zbus::{Fd, Variant};

/// Calls a method of the table with these options.
fn call(client: &Client, (interface, method): (&str, &str), job: &str, options: &Options<'_>) -> Result<zbus::Error> {
    let stream = file_of(small("sub").bytes())?;
    let descriptor = Fd::from(&stream);
    let answer = match (interface, method) {
        (MANAGER, "Receive") => client.call(ROOT, (MANAGER, method), &(TANK, descriptor, options)),
        (VOLUME, "Receive") => client.call(&tank(), (VOLUME, method), &(descriptor, options)),
        (MANAGER, "SetBackup" | "SetVolume" | "SetDestination") => {
            client.call(ROOT, (MANAGER, method), &("mine", Options::new(), options))
        }
        (MANAGER, "RemoveBackup" | "RemoveVolume" | "RemoveDestination" | "TestNotification") => {
            client.call(ROOT, (MANAGER, method), &("mine", options))
        }
        (MANAGER, "SetDefaults") => client.call(ROOT, (MANAGER, method), &(Options::new(), options)),
        (MANAGER, _) => client.call(ROOT, (MANAGER, method), options),
        (VOLUME, _) => client.call(&tank(), (VOLUME, method), options),
        (JOB, _) => client.call(job, (JOB, method), options),
        _ => bail!("this test does not know how to call {interface}.{method}: teach it"),
    };
    answer.err().with_context(|| format!("{interface}.{method} took {options:?}"))
}

#[test]
fn every_method_refuses_an_unknown_option() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let stalled = Stalled::start(&client, "sub")?;
    // Those of drives are called where there is a drive: in service_drives. There is no backup here.
    for row in TABLE.iter().filter(|row| ![BACKUP, DRIVE, DESTINATION].contains(&row.interface)) {
        let options = Options::from([("no-such-option", Variant::from(true))]);
        let error = call(&client, (row.interface, row.method), &stalled.job, &options)?;
        let what = format!("{}.{}: {error}", row.interface, row.method);
        ensure!(error_name(&error) == INVALID_ARGS, "{what}");
        ensure!(error.to_string().contains("no-such-option"), "it does not say which: {what}");
    }
    ensure!(client.get::<String>(&stalled.job, JOB, "State")? == "running", "the job was ended");
    Ok(())
}

#[test]
fn an_invalid_option_is_an_invalid_argument() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let recorder = Recorder::start(&service.bus)?;
    let cases = [
        ("verify", Variant::from("yes")),
        ("force_decompress", Variant::from(1_u32)),
        ("total", Variant::from("many")),
        ("total", Variant::from(-1_i64)),
        ("name", Variant::from(7_u32)),
        ("name", Variant::from("")),
        ("name", Variant::from("a/b")),
        ("name", Variant::from("..")),
        ("name", Variant::from(".butterdock-mine")),
        ("name", Variant::from("x".repeat(256))),
        ("name", Variant::from(b"a\0b".to_vec())),
    ];
    for (key, value) in cases {
        let text = format!("{key}: {value:?}");
        for interface in [MANAGER, VOLUME] {
            let options = Options::from([(key, value.try_clone()?)]);
            let error = call(&client, (interface, "Receive"), "", &options).with_context(|| text.clone())?;
            ensure!(error_name(&error) == INVALID_ARGS, "{text}: {} {error}", error_name(&error));
            ensure!(error.to_string().contains(key), "it does not say which: {text}: {error}");
        }
    }
    ensure!(recorder.finish(&client)?.jobs()?.is_empty(), "a job came of it");
    Ok(())
}

#[test]
fn an_unreadable_descriptor_is_refused() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let recorder = Recorder::start(&service.bus)?;
    let file = service.sandbox.join("stream");
    std::fs::write(&file, small("sub").bytes())?;
    let opened = |path: &std::path::Path, flags| open(path, flags | OFlags::CLOEXEC, Mode::empty());
    let (_reader, writer) = std::io::pipe()?;
    let cases: [(&str, OwnedFd); 6] = [
        ("directory", opened(&service.path(TANK), OFlags::RDONLY)?),
        ("O_PATH", opened(&file, OFlags::PATH)?),
        ("O_PATH", opened(&service.path(TANK), OFlags::PATH)?),
        ("writing", opened(&file, OFlags::WRONLY)?),
        ("writing", writer.into()),
        ("device", File::open("/dev/zero")?.into()),
    ];
    for (word, descriptor) in &cases {
        let Err(error) = client.receive_with(descriptor, &no_options()) else { bail!("{word}: received") };
        ensure!(error_name(&error) == INVALID_ARGS, "{word}: {} {error}", error_name(&error));
        let text = error.to_string();
        ensure!(text.contains(word) && text.contains("descriptor"), "it does not say why: {text}");
        ensure!(["pass ", "open it "].iter().any(|advice| text.contains(advice)), "nor what to do: {text}");
    }
    ensure!(recorder.finish(&client)?.jobs()?.is_empty(), "a job came of it");
    ensure!(all_names(&service.path(TANK))?.is_empty(), "something was made");
    Ok(())
}

#[test]
fn an_unconfigured_volume_is_not_found() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let stream = file_of(small("sub").bytes())?;
    let Err(error) = client.call(ROOT, (MANAGER, "Receive"), &("other", Fd::from(&stream), no_options())) else {
        bail!("received into nowhere")
    };
    ensure!(error_name(&error).ends_with(".Error.NotFound") && error.to_string().contains("other"), "{error}");
    Ok(())
}
