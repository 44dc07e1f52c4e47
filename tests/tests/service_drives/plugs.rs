//! Three drives that are attached and detached rapidly.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_dbus::names::interface::DESTINATION;
use butterdock_tests::trees::Random;
use butterdock_tests::{
    Disk, Event, Recorder, Recording, Scenario, TIMEOUT, is_mounted, names, no_options, rounds, run, seed, wait_until,
};
use zbus::OwnedObjectPath;

/// A drive comes or goes until there were so many jobs,
const ENOUGH: usize = 6;
/// but no more often than that.
const MOST: u32 = 3000;

#[test]
fn after_many_plugs_the_service_matches_the_kernel() -> Result<()> {
    let mut random = Random::new(seed(1)?);
    let mut scenario = Scenario::begin()?;
    let mut images = vec![scenario.image.clone()];
    for name in ["b", "c"] {
        let image = scenario.fixture.image(name, "Blue")?;
        let disk = Disk::attach(&image)?;
        let drive = scenario
            .fixture
            .one("a new drive", |is| !is.enrolled && is.filesystem_type == "btrfs" && is.device == disk.name())?;
        scenario.fixture.enrol(&drive)?;
        drop(disk);
        images.push(image);
    }
    let first = scenario.device()?;
    let first = scenario.fixture.one("the first", |is| is.enrolled && is.device == first)?;
    let body = scenario.fixture.client.call(&first.path, (DESTINATION, "Backup"), &no_options())?.body();
    scenario.succeeds(body.deserialize::<OwnedObjectPath>()?.as_str())?;
    let recorder = Recorder::start(&scenario.fixture.bus)?;
    let mut disks = [scenario.disk.take(), None, None];
    let mut events = Vec::new();
    for turn in 0..MOST {
        // Where all takes its time, jobs are few.
        if turn >= rounds(50, 200) && (turn % 25 == 0) && scenario.history("backup")?.len() > ENOUGH {
            break;
        }
        let which = usize::try_from(random.below(3))?;
        if turn % 10 == 0 {
            fs::write(scenario.source.join("changing"), vec![u8::try_from(turn)?; 2 << 20])?;
        }
        disks[which] = match disks[which].take() {
            Some(disk) => {
                drop(disk);
                None
            }
            None => Some(Disk::attach(&images[which])?),
        };
        events.push(Instant::now());
        sleep(Duration::from_millis(random.below(40)));
    }
    let recording = recorder.finish(&scenario.fixture.client)?;
    let jobs = recording.jobs()?;
    let ends = ends(&recording, &jobs, &events)?;
    // A mounted loop device stays until it is unmounted: a detach hits only drives that are not mounted yet.
    ensure!(
        jobs.len() >= ENOUGH && ends.get("succeeded").is_some_and(|good| *good > 0),
        "{} jobs: {ends:?}",
        jobs.len()
    );
    {
        eprintln!("{} jobs: {ends:?}", jobs.len());
    }
    disks = [None, None, None];
    wait_until("the kernel has let all go", || Ok(scenario.loop_devices()?.is_empty()))?;
    scenario.fixture.until("none is there", |all| all.iter().all(|drive| drive.properties.device.is_empty()))?;
    scenario.no_worker_is_left()?;
    for (disk, image) in disks.iter_mut().zip(&images) {
        *disk = Some(Disk::attach(image)?);
    }
    let kernel: BTreeSet<String> = scenario.loop_devices()?.into_iter().collect();
    let drives = scenario.fixture.until("all three are safe", |all| {
        all.len() == 3
            && all.iter().all(|drive| drive.properties.state == DriveState::Safe && !drive.properties.device.is_empty())
    })?;
    let shown: BTreeSet<String> = drives.iter().map(|drive| drive.properties.device.clone()).collect();
    ensure!(shown == kernel && shown.len() == 3, "{shown:?} {kernel:?}");
    ensure!(drives.iter().all(|drive| drive.properties.problem.is_empty()), "{drives:?}");
    for name in &kernel {
        ensure!(!is_mounted(name)?, "{name} is mounted");
    }
    for (disk, image) in disks.iter().flatten().zip(&images) {
        let (name, block) = (disk.name(), Path::new("/sys/block").join(disk.name()));
        let backing = fs::read_to_string(block.join("loop/backing_file"))?;
        ensure!(Path::new(backing.trim()) == image, "{name}: {backing}");
        let uuid =
            run(Command::new("blkid").args(["-p", "-s", "UUID", "-o", "value"]).arg(image), TIMEOUT)?.success()?;
        let sectors: u64 = fs::read_to_string(block.join("size"))?.trim().parse()?;
        let drive = drives.iter().find(|drive| drive.properties.device == name).context("shown")?;
        let shown = (drive.properties.filesystem_uuid.as_str(), drive.properties.size, drive.properties.enrolled);
        ensure!(shown == (uuid.out().trim(), sectors * 512, true), "{drive:?}");
    }
    let held = |scenario: &Scenario| -> Result<BTreeSet<String>> {
        let id = scenario.fixture.daemon.as_ref().context("it runs")?.id();
        let mounts = fs::read_to_string(format!("/proc/{id}/mountinfo"))?;
        let sources = mounts.split_whitespace().filter_map(|word| word.strip_prefix("/dev/"));
        Ok(sources.filter(|name| kernel.contains(*name)).map(str::to_owned).collect())
    };
    let mounted = held(&scenario)?;
    ensure!(mounted.is_empty(), "the service has mounted {mounted:?}");
    scenario.no_worker_is_left()?;
    let (_, hidden) = names(&scenario.source_snapshots())?;
    ensure!(hidden.is_empty(), "{hidden:?}");
    for disk in disks {
        scenario.disk = disk;
        scenario.nothing_is_incomplete()?;
        scenario.newest_is_the_source()?;
    }
    Ok(())
}

/// How many jobs ended how. Those that failed had their drive pulled; and drives came and went while jobs ran.
fn ends(recording: &Recording, jobs: &[String], events: &[Instant]) -> Result<BTreeMap<String, usize>> {
    let (mut ends, mut disturbed) = (BTreeMap::<String, usize>::new(), 0);
    for job in jobs {
        let told = recording.events_of(job)?;
        for moment in &told {
            let Event::Completed(result, details) = &moment.event else { continue };
            let error = details.get("error_name").and_then(|name| <&str>::try_from(name).ok()).unwrap_or_default();
            ensure!(result != "failed" || error.ends_with(".DeviceGone"), "{job}: {result} {error}");
            *ends.entry(result.clone()).or_default() += 1;
            let ran = told.first().map_or(moment.at, |first| first.at)..moment.at;
            disturbed += usize::from(events.iter().any(|event| ran.contains(event)));
        }
    }
    ensure!(disturbed >= 3, "drives came or went during {disturbed} of {} jobs only: this shows little", jobs.len());
    Ok(ends)
}

#[test]
fn a_listing_at_plug_does_not_prevent_the_backup() -> Result<()> {
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    for round in 0..rounds(3, 8_u8) {
        // It has the same path at the next plug.
        let drive = scenario.drive("safe", &DriveState::Safe)?;
        scenario.unplug()?;
        fs::write(scenario.source.join("changing"), [round])?;
        let before = scenario.good_backups()?;
        scenario.plug()?;
        // The first of these that is answered waited while the drive was mounted for its plug.
        let began = Instant::now();
        while scenario.fixture.client.call(&drive.path, (DESTINATION, "ListSnapshots"), &no_options()).is_err() {
            ensure!(began.elapsed() < TIMEOUT, "the drive never listed anything");
        }
        let backed_up =
            scenario.fixture.client.until("the backup of the plug", |_| Ok(scenario.good_backups()? > before));
        backed_up.with_context(|| format!("round {round}"))?;
    }
    Ok(())
}
