//! A volume that is unmounted under a job.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface;
use butterdock_dbus::path::volume_path;
use butterdock_dbus::{Error, ErrorName, JobState, ReceiveOptions};
use butterdock_tests::{Client, Frozen, Load, Service, moved_below, wait_until};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// The kernel's directory of a filesystem, until its last user has released it.
fn held(fixture: &Service, volume: &str) -> Result<PathBuf> {
    let image = fixture.join(&format!("{volume}.img"));
    let shown = butterdock_tests::run(
        std::process::Command::new("blkid").args(["-p", "-o", "value", "-s", "UUID"]).arg(image),
        butterdock_tests::TIMEOUT,
    )?;
    Ok(PathBuf::from("/sys/fs/btrfs").join(shown.success()?.out().trim()))
}

pub(crate) fn is_mounted(client: &Client, volume: &str) -> Result<bool> {
    let objects = client.objects()?;
    let of = |path: &str| objects.iter().find(|(known, _)| known.as_str() == path);
    let (_, interfaces) = of(volume_path(volume).as_str()).context("the volume is not shown")?;
    let properties = interfaces.iter().find(|(name, _)| name.as_str() == interface::VOLUME);
    let mounted = properties.and_then(|(_, properties)| properties.get("Mounted")).context("no Mounted")?;
    Ok(bool::try_from(mounted)?)
}

#[test]
fn detaching_a_volume_ends_its_job() -> Result<()> {
    let mut fixture = Service::with(&["tank", "pool"], "")?;
    let client = fixture.client()?;
    let load = Load::new("s0", 40, 1);
    let (stream, feed) = load.pipe()?;
    let job = client.receive("tank", &stream)?;
    let queued = client.receive("tank", &stream)?;
    drop(stream);
    feed.up_to(load.bytes().len() / 2);
    client.until_job(&job, "reads", |job| job.bytes_received > 0)?;
    let held = held(&fixture, "tank")?;
    ensure!(held.exists(), "{} is not there", held.display());

    umount2(&fixture.path("tank"), MntFlags::MNT_DETACH)?;
    for job in [&job, &queued] {
        let end = client.ends_as(job, &JobState::Failed)?;
        ensure!(end.error_name == ErrorName::DeviceGone.as_str(), "{end:?}");
    }
    drop(feed);
    wait_until("nobody holds the filesystem", || Ok(!held.exists()))?;
    wait_until("the volume is shown as not mounted", || Ok(!is_mounted(&client, "tank")?))?;
    let null = std::fs::File::open("/proc/version")?;
    let refused = client.try_receive("tank", null, &ReceiveOptions::default());
    ensure!(matches!(refused, Err(Error::Named(ErrorName::DeviceGone, _))), "{refused:?}");

    fixture.volume("tank")?.mount("")?;
    wait_until("the volume is shown as mounted", || is_mounted(&client, "tank"))?;
    fixture.is_tidy(&client, "tank", &[]).context("mounted again")?;
    let job = client.receive("tank", load.file(&fixture.join("stream"))?)?;
    client.ends_as(&job, &JobState::Succeeded)?;
    load.is_whole_in(&fixture.path("tank"))
}

/// Closing the last descriptor of a detached filesystem writes everything to the drive, and blocks until that is done.
#[test]
fn detaching_a_hung_volume_blocks_no_client() -> Result<()> {
    let mut fixture = Service::with(&["below", "tank", "pool"], "")?;
    let _volume = moved_below(&mut fixture, "tank", "below")?;
    let client = fixture.client()?;
    wait_until("the volume is there again", || is_mounted(&client, "tank"))?;
    let load = Load::new("s0", 40, 1);
    let (stream, feed) = load.pipe()?;
    let job = client.receive("tank", &stream)?;
    drop(stream);
    feed.up_to(load.bytes().len() / 2);
    client.until_job(&job, "reads", |job| job.bytes_received > 0)?;
    let frozen = Frozen::new(&fixture.path("below"))?;
    umount2(&fixture.path("tank"), MntFlags::MNT_DETACH)?;
    let end = client.ends_as(&job, &JobState::Failed)?;
    ensure!(end.error_name == ErrorName::DeviceGone.as_str(), "{end:?}");
    drop(feed);
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        crate::unresponsive_files::answers_at_once(&client)?;
        std::thread::sleep(Duration::from_millis(50));
    }
    crate::hung_workers::other_volumes_receive(&fixture, &client, "p0")?;
    drop(frozen);
    wait_until("no worker is left", || Ok(fixture.workers()?.is_empty()))
}

/// The kernel may give the number of a mount that is gone to the next one; while a worker holds the mount it does not.
#[test]
fn a_quick_remount_ends_the_volumes_job() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 40, 1);
    let device = fixture.volume("tank")?.device()?;
    for _ in 0..3 {
        let (job, _feed) = load.half(&client, "tank")?;
        umount2(&fixture.path("tank"), MntFlags::MNT_DETACH)?;
        mount(Some(device.as_str()), &fixture.path("tank"), Some("btrfs"), MsFlags::empty(), None::<&str>)?;
        let end = client.ends_as(&job, &JobState::Failed)?;
        ensure!(end.error_name == ErrorName::DeviceGone.as_str(), "{end:?}");
        wait_until("it is swept", || Ok(butterdock_tests::names(&fixture.path("tank"))?.1.is_empty()))?;
    }
    fixture.is_tidy(&client, "tank", &[])
}

#[test]
fn a_refused_unmount_works_after_the_job() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 40, 1);
    let (job, feed) = load.half(&client, "tank")?;
    ensure!(umount2(&fixture.path("tank"), MntFlags::empty()) == Err(Errno::EBUSY), "unmounted under a job");
    feed.finish();
    client.ends_as(&job, &JobState::Succeeded)?;
    load.is_whole_in(&fixture.path("tank"))?;
    fixture.is_tidy(&client, "tank", &["s0"])?;
    let held = held(&fixture, "tank")?;
    fixture.volume("tank")?.unmount().context("an idle daemon holds the volume")?;
    wait_until("nobody holds the filesystem", || Ok(!held.exists()))?;
    fixture.volume("tank")?.mount("")?;
    load.is_whole_in(&fixture.path("tank"))
}

#[test]
fn a_worker_keeps_only_its_own_volume_mounted() -> Result<()> {
    let mut fixture = Service::with(&["tank", "pool"], "")?;
    let client = fixture.client()?;
    let load = Load::new("s0", 40, 1);
    let (job, feed) = load.half(&client, "tank")?;
    let held = held(&fixture, "pool")?;
    fixture.volume("pool")?.unmount().context("the other volume")?;
    wait_until("nobody holds the other filesystem", || Ok(!held.exists()))?;
    ensure!(client.job(&job)?.state == JobState::Running, "the job has ended");
    feed.finish();
    client.ends_as(&job, &JobState::Succeeded)?;
    fixture.is_tidy(&client, "tank", &["s0"])
}
