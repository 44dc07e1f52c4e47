//! A drive with something else on it: erased, enrolled, backed up to, and forgotten.

use anyhow::{Result, ensure};

use crate::lab::{FAST, Lab};
use crate::plugged::{backup_is_done, is_alike};

/// Only who repeats its serial number has it erased.
///
/// # Errors
///
/// It is erased by mistake, or not at all.
pub(crate) fn takes_backups(lab: &mut Lab) -> Result<()> {
    lab.step("a drive with another filesystem is not erased by who gives another serial number");
    let file = lab.drive("green")?;
    lab.make("mke2fs", &["-q", "-t", "ext4", "-L", "Photos"], "green")?;
    let before = std::fs::read(&file)?;
    lab.plug("green", FAST)?;
    lab.drive_is("present")?;
    lab.run(
        "status=0; butterdock enrol sda --format --label Green --yes-erase SERIAL-blue || status=$?; [ $status != 0 ]",
    )?;
    ensure!(std::fs::read(&file)? == before, "it was written to");
    drop(before);

    lab.step("who gives the right one has it erased and enrolled");
    lab.run(
        "butterdock enrol sda --format --label Green --yes-erase SERIAL-green
         grep ' /run/butterdock/drives/' /proc/mounts | grep nosuid,nodev,noexec
         butterdock safely-remove Green",
    )?;
    lab.pull("green")?;
    lab.plug("green", FAST)?;
    backup_is_done(lab)?;
    is_alike(lab, "Green")?;
    lab.pull("green")?;
    lab.check("green")?;

    lab.step("forgotten, it is a stranger with the next plug");
    lab.run("butterdock forget Green")?;
    lab.plug("green", FAST)?;
    lab.drive_is("present")?;
    lab.run("sleep 1; none grep /dev/sd /proc/mounts")?;
    lab.pull("green")
}
