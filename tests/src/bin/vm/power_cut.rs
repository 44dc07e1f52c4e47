//! A power cut during a backup: the drive loses writes that were not flushed.

use anyhow::Result;

use crate::environment::{Environment, FAST, SLOW};
use crate::group_member::{by_hand, by_itself};
use crate::plug::{backup_is_done, is_alike};
use crate::unplug::wait_until_it_runs;

/// After the next boot nothing half-made is there, and the next plug finishes it; and what was said to be done is there.
///
/// # Errors
///
/// It does not, or something is left over, or gone.
pub(crate) fn finishes_after_the_next_boot(lab: &mut Environment) -> Result<()> {
    let taken = 3 + lab.random.below(30);
    lab.step(&format!("the power is cut in mid-backup, after {taken} of 36 MiB"));
    lab.run("cd /srv/pool/home; head -c 36M /dev/urandom >noise; sync")?;
    lab.plug_forgetful("blue", SLOW)?;
    wait_until_it_runs(lab)?;
    lab.run("grep -qx 'write back' /sys/block/sda/queue/write_cache")?;
    lab.until_taken(taken << 20)?;
    lab.cut_with("blue")?;
    lab.check("blue")?;

    lab.step("booted again, the next plug finishes it");
    boot(lab)?;
    // A snapshot that no drive has is one of an interrupted backup: it may be there, but is no half of anything.
    lab.run("sleep 1.1; date '+%F %T' >/run/since")?;
    lab.plug("blue", FAST)?;
    backup_is_done(lab)?;
    is_alike(lab, "Blue")?;
    lab.pull("blue")?;

    lab.step("the power is cut when a backup is said to be done, while its drive is mounted");
    by_hand(lab)?;
    lab.run("cd /srv/pool/home; head -c 24M /dev/urandom >noise; sync")?;
    lab.plug_forgetful("blue", FAST)?;
    lab.drive_is("mounted")?;
    lab.run("butterdock mount Blue; butterdock backup Blue; grep ' /run/butterdock/drives/' /proc/mounts")?;
    lab.cut_with("blue")?;
    lab.check("blue")?;

    lab.step("booted again, it is on the drive, whole");
    boot(lab)?;
    lab.plug("blue", FAST)?;
    lab.drive_is("mounted")?;
    is_alike(lab, "Blue")?;
    lab.pull("blue")?;
    by_itself(lab)
}

/// Switches the machine on again, until the service and its source are there.
///
/// # Errors
///
/// They are not.
pub(crate) fn boot(lab: &mut Environment) -> Result<()> {
    lab.boot()?;
    let script = "systemctl is-active butterdockd; grep ' /srv/pool ' /proc/mounts";
    lab.wait_for(script).map(drop)
}
