//! The power goes in mid-backup, the machine's and with it the drive's.

use std::time::Duration;

use anyhow::Result;

use crate::lab::{FAST, Lab, SLOW};
use crate::plugged::{backup_is_done, is_alike};
use crate::pulled::wait_until_it_runs;

/// After the next boot nothing half-made is there, and the next plug finishes it.
///
/// What QEMU had taken is on the disks, so this loses less than a drive with a cache does.
///
/// # Errors
///
/// It does not, or something is left over.
pub(crate) fn finishes_after_the_next_boot(lab: &mut Lab) -> Result<()> {
    lab.step("the power is cut in mid-backup");
    lab.run("cd /srv/pool/home; head -c 36M /dev/urandom >noise; sync")?;
    lab.plug("blue", SLOW)?;
    wait_until_it_runs(lab)?;
    std::thread::sleep(Duration::from_secs(3));
    lab.cut();
    lab.check("blue")?;

    lab.step("booted again, the next plug finishes it");
    lab.boot()?;
    lab.wait_for("systemctl is-active butterdockd", Duration::from_secs(60))?;
    // A snapshot that no drive has is one of an interrupted backup: it may be there, but is no half of anything.
    lab.run("sleep 1.1; date '+%F %T' >/run/since")?;
    lab.plug("blue", FAST)?;
    backup_is_done(lab)?;
    is_alike(lab)?;
    lab.pull("blue")
}
