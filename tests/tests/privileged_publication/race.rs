//! A user who opens everything that he can while his subvolumes are received.

use std::fs::File;
use std::path::Path;

use anyhow::{Result, ensure};
use butterdock_dbus::{JobState, ReceiveOptions};
use butterdock_tests::{Intruder, Receiver, Sandbox, Service, Setup, TIMEOUT, names, rounds, run};

use crate::{USER, is_as_sent, stream};

/// All were received, none was opened before its time, and what was opened then cannot change one now.
fn nothing_was_changed(folder: &Path, count: u32, intruder: Intruder) -> Result<()> {
    let seen = intruder.loops();
    while intruder.loops() < seen + 2 {
        std::thread::yield_now();
    }
    let tampered: Vec<String> = (0..count)
        .filter_map(|number| is_as_sent(&folder.join(format!("s{number}"))).err())
        .map(|error| error.to_string())
        .collect();
    let opened = intruder.stop()?;
    ensure!(tampered.is_empty(), "{} of {count}: {tampered:?}", tampered.len());
    ensure!(opened == 0, "he has opened {opened} files and directories");
    let (visible, hidden) = names(folder)?;
    ensure!(visible.len() == usize::try_from(count)? && hidden.is_empty(), "{visible:?} {hidden:?}");
    Ok(())
}

#[test]
fn the_owner_cannot_change_files_received_by_command_line() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let count = rounds(15, 300);
    std::fs::write(sandbox.join("stream"), stream().bytes())?;
    let intruder = Intruder::start(&sandbox, volume.path(), USER)?;
    for number in 0..count {
        let mut command = Receiver::Ours.command()?;
        command.args(["--as", &format!("s{number}"), "-f"]).arg(sandbox.join("stream")).arg(volume.path());
        run(&mut command, TIMEOUT)?.success()?;
    }
    nothing_was_changed(volume.path(), count, intruder)
}

#[test]
fn the_owner_cannot_change_files_received_by_the_service() -> Result<()> {
    let sandbox = Sandbox::new()?;
    std::fs::write(sandbox.join("stream"), stream().bytes())?;
    let path = sandbox.path().to_owned();
    let mut fixture = Service::in_sandbox(sandbox, &Setup::default())?;
    let count = rounds(15, 300);
    let client = fixture.client()?;
    let intruder = Intruder::start(&fixture.sandbox, &fixture.path("tank"), USER)?;
    for number in 0..count {
        let options = ReceiveOptions { name: Some(format!("s{number}").into_bytes()), ..ReceiveOptions::default() };
        let job = client.try_receive("tank", File::open(path.join("stream"))?, &options)?;
        client.ends_as(&job, &JobState::Succeeded)?;
    }
    nothing_was_changed(&fixture.path("tank"), count, intruder)?;
    fixture.stop()?;
    Ok(())
}
