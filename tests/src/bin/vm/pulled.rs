//! Pulled out in mid-backup.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use butterdock_tests::guest::Stick;

use crate::lab::{BACKUP, Lab, STEP, say, text};

/// What the issue of a pulled drive may take until it is told.
const TOLD: Duration = Duration::from_secs(3);

pub(crate) fn once(lab: &mut Lab) -> Result<()> {
    let blue = lab.blue.clone();
    pull(lab, &blue, Duration::from_millis(500))?;
    recover(lab, &blue)
}

pub(crate) fn again(lab: &mut Lab) -> Result<()> {
    let blue = lab.blue.clone();
    for _ in 0..3 {
        // Twice in a row before it is let finish.
        pull(lab, &blue, moment())?;
        pull(lab, &blue, moment())?;
        recover(lab, &blue)?;
    }
    Ok(())
}

/// Plugs in a slow drive, waits until its backup is under way and `after` longer, and pulls it out.
pub(crate) fn pull(lab: &mut Lab, stick: &Stick, after: Duration) -> Result<()> {
    lab.sh("cd /srv/lab/home && head -c 12M /dev/urandom >big && date >when && sync -f .")?;
    let before = lab.history()?.len();
    let slow = stick.at(1 << 20);
    lab.machine()?.plug(&slow)?;
    lab.under_way()?;
    std::thread::sleep(after);
    lab.machine()?.pull(&slow)?;
    let begun = Instant::now();
    let job = lab.backup_after(before, Duration::from_secs(30))?;
    let took = begun.elapsed();
    ensure!(text(&job, "error_name").ends_with(".DeviceGone"), "not told as a drive that has gone: {job}");
    ensure!(took < TOLD, "it took {took:?} until it was told");
    lab.until(
        "! grep -E '/run/butterdock/drives|^/dev/sd' /proc/self/mounts && ! ls /dev/mapper/butterdock* 2>/dev/null",
        STEP,
    )?;
    lab.sh("systemctl is-active butterdockd; ! systemctl --failed --no-legend | grep butterdock")?;
    say(&format!("        pulled {after:?} after it was under way, told after {took:.1?}"));
    Ok(())
}

/// Plugs it in again: nothing half-made is there, and the backup is made.
pub(crate) fn recover(lab: &mut Lab, stick: &Stick) -> Result<()> {
    lab.plug_and_look(stick)?;
    finished(lab, stick)
}

/// Waits for the backup of a drive that was plugged in, and compares.
pub(crate) fn finished(lab: &mut Lab, stick: &Stick) -> Result<()> {
    lab.state(&stick.name, &["safe"], BACKUP)?;
    let history = lab.history()?;
    let job = history.first().cloned().unwrap_or_default();
    ensure!(text(&job, "kind") == "backup" && text(&job, "result") == "succeeded", "{job}");
    let bytes = job.get("bytes_received").and_then(serde_json::Value::as_u64).unwrap_or(0);
    say(&format!("        recovered by {bytes} bytes; {}", text(&job, "note")));
    lab.same_on(&stick.name)?;
    lab.sh("! ls -d /run/butterdock/drives/*/.butterdock-* 2>/dev/null")?;
    lab.machine()?.pull(stick)
}

/// Anything up to six seconds.
fn moment() -> Duration {
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos());
    Duration::from_millis(u64::from(nanos / 1000 % 6000))
}
