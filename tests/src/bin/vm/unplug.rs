//! A drive is unplugged during a backup: the job ends, nothing incomplete is left, and the next plug completes the
//! backup.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::environment::{Environment, FAST, SLOW};
use crate::plug::{backup_is_done, is_alike};

/// Pulled at three moments: as the stream begins, at a random one, and while it is flushed.
///
/// # Errors
///
/// The job did not end, or something of it was left.
pub(crate) fn finishes_with_the_next_plug(lab: &mut Environment) -> Result<()> {
    let any = lab.random.below(5000);
    for (moment, wait) in [("at its beginning", 0), ("at a random moment", any), ("towards its end", 5000)] {
        lab.step(&format!("a backup, and pulled {moment}, after {wait} ms"));
        lab.run("cd /srv/pool/home; head -c 36M /dev/urandom >noise; sync")?;
        lab.plug("blue", SLOW)?;
        wait_until_it_runs(lab)?;
        std::thread::sleep(Duration::from_millis(wait));
        lab.pull("blue")?;
        job_is_over(lab)?;
        lab.check("blue")?;
    }
    lab.step("the next plug finishes it");
    lab.plug("blue", FAST)?;
    backup_is_done(lab)?;
    // With what the drive had before the pulls as its parent.
    lab.run(
        "butterdock --json jobs | tr '{' '\\n' | grep '\"kind\":\"backup\"' | grep '\"state\":\"succeeded\"' | tee /dev/stderr |
         tail -1 | grep -q '\"incremental\":true'",
    )?;
    is_alike(lab, "Blue")?;
    lab.pull("blue")
}

/// Waits until the worker has read data of a backup; a quick machine may have read all of it by then, but not flushed it.
///
/// # Errors
///
/// None runs.
pub(crate) fn wait_until_it_runs(lab: &mut Environment) -> Result<()> {
    let script = "butterdock --json jobs | tee /dev/stderr | grep -E '\"state\":\"(running|flushing)\"' | grep -q '\"bytes_received\":[1-9]'";
    lab.wait_for(script).map(drop)
}

/// The job says `DeviceGone` soon after the pull as the kernel saw it, and the mount is gone.
fn job_is_over(lab: &mut Environment) -> Result<()> {
    let gone = lab.wait_for(
        "newest | tee /dev/stderr | grep 'Error.DeviceGone' | grep -q 'the drive was unplugged'; butterdock --json jobs | none grep -qE '\"(running|flushing)\"'
         journalctl --no-pager -q -k -o short-unix --grep 'USB disconnect' | tail -1 | cut -d. -f1,2 | cut -d' ' -f1
         newest | grep -o '\"end_time\":[0-9]*' | cut -d: -f2")?;
    let mut lines = gone.lines().rev().filter(|line| !line.is_empty());
    let (Some(ended), Some(pulled)) = (lines.next(), lines.next()) else { anyhow::bail!("no times: {gone}") };
    // The one is in microseconds, the other in seconds with six decimals.
    let (ended, pulled) = (ended.parse::<u64>()?, pulled.replace('.', "").parse::<u64>()?);
    ensure!(ended + 1_000_000 > pulled, "that job ended at {ended}, before the pull at {pulled}");
    let took = ended.saturating_sub(pulled);
    lab.step(&format!("  the job ended {} ms after the pull", took / 1000));
    // The job ends by itself, and not with a timeout.
    ensure!(took < 3_000_000, "the job ended {took} µs after the pull");
    // Each pull is an event of the configured command, and so is what became of the backup.
    let heard =
        "journalctl --no-pager -q -t event -o cat | tail -4 | sort -u | grep -c 'pulled Blue\\|backup-failed Blue'";
    lab.wait_for(&format!("[ $({heard}) = 2 ]"))?;
    lab.run("none grep ' /run/butterdock/drives/' /proc/mounts; [ \"$(ls /sys/fs/btrfs/*/devices)\" = vdb ]").map(drop)
}
