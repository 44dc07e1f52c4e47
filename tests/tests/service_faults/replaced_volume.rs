//! Another filesystem where a volume was: a drive is mounted over a directory that is on btrfs itself.

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::{Error, ErrorName, JobState, ReceiveOptions};
use butterdock_tests::{Client, Layout, Load, Service, TIMEOUT, Volume, names, run, wait_until};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::unmounts::is_mounted;

/// A drive, mounted over the volume.
fn drive(fixture: &Service) -> Result<Volume> {
    Volume::make(&fixture.join("drive.img"), &fixture.path("tank"), &Layout::default())
}

/// Waits until the daemon has seen which filesystem is there, by its size.
fn seen(client: &Client, fixture: &Service) -> Result<()> {
    let size = nix::sys::statvfs::statvfs(&fixture.path("tank"))?;
    let size = size.blocks() * size.fragment_size();
    wait_until("the volume is seen", || Ok(client.size_of("tank")? == size))
}

#[test]
fn a_queued_job_never_writes_below_the_mount_point() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let layout = Layout { size: 2 << 30, ..Layout::default() };
    let drive = Volume::make(&fixture.join("drive.img"), &fixture.path("tank"), &layout)?;
    seen(&client, &fixture)?;
    let load = Load::new("s0", 40, 1);
    let (stream, feed) = load.pipe()?;
    let running = client.receive("tank", &stream)?;
    feed.up_to(load.bytes().len() / 2);
    client.until_job(&running, "reads", |job| job.bytes_received > 0)?;
    let waiting = client.receive("tank", load.file(&fixture.join("stream"))?)?;
    umount2(drive.path(), MntFlags::MNT_DETACH)?;
    for job in [&running, &waiting] {
        let end = client.ends_as(job, &JobState::Failed)?;
        ensure!(end.error_name == ErrorName::DeviceGone.as_str(), "{end:?}");
    }
    ensure!(client.job(&waiting)?.error_message.contains("the filesystem or directory"), "{:?}", client.job(&waiting)?);
    drop(drive);
    fixture.is_tidy(&client, "tank", &[])
}

#[test]
fn a_volume_with_another_uuid_is_not_mounted() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let image = fixture.volume("tank")?.image().to_path_buf();
    let mut ask = std::process::Command::new("blkid");
    let uuid = run(ask.args(["-p", "-o", "value", "-s", "UUID"]).arg(image), TIMEOUT)?.success()?.out();
    let file = fixture.join("butterdock.toml");
    let text = std::fs::read_to_string(&file)?
        .replace("name = \"tank\"", &format!("name = \"tank\"\nuuid = {:?}", uuid.trim()));
    std::fs::write(&file, text)?;
    kill(Pid::from_raw(fixture.pid().try_into()?), Signal::SIGHUP)?;

    let mut drive = drive(&fixture)?;
    wait_until("the other filesystem is refused", || Ok(!is_mounted(&client, "tank")?))?;
    let load = Load::new("s0", 5, 1);
    let refused = client.try_receive("tank", load.file(&fixture.join("stream"))?, &ReceiveOptions::default());
    ensure!(matches!(refused, Err(Error::Named(ErrorName::DeviceGone, _))), "{refused:?}");
    ensure!(names(&fixture.path("tank"))?.0.is_empty(), "something was received into the other filesystem");
    drive.unmount()?;
    wait_until("its own is taken again", || is_mounted(&client, "tank")).context("its own")?;
    let job = client.receive("tank", load.file(&fixture.join("stream"))?)?;
    client.ends_as(&job, &JobState::Succeeded)?;
    load.is_whole_in(&fixture.path("tank"))
}

#[test]
fn leftovers_are_swept_when_the_drive_returns() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 40, 1);
    let path = fixture.path("tank");
    let mut left = false;
    for _ in 0..10 {
        let (_job, feed) = load.half(&client, "tank")?;
        fixture.kill()?;
        drop(feed);
        left = !names(&path)?.1.is_empty();
        if left {
            break;
        }
        // The worker saw its daemon's end before its own, and cleaned up after itself.
        fixture.start_daemon()?;
    }
    ensure!(left, "ten killed daemons left nothing: this shows nothing");
    fixture.volume("tank")?.unmount()?;
    fixture.start_daemon()?;
    fixture.volume("tank")?.mount("")?;
    wait_until("it is swept", || Ok(names(&path)?.1.is_empty()))?;
    fixture.is_tidy(&client, "tank", &[])
}
