//! A drive's two ends: it is enrolled, and it is switched off.

use anyhow::{Result, ensure};

use crate::lab::{BACKUP, Lab, STEP, text};

pub(crate) fn enrol(lab: &mut Lab) -> Result<()> {
    let blue = lab.blue.clone();
    lab.machine()?.plug(&blue)?;
    lab.state("blue", &["present"], STEP)?;
    lab.sh("! runuser -u ann -- butterdock enrol blue </dev/null")?;
    lab.sh("butterdock enrol blue")?;
    let drive = lab.drive("blue")?.unwrap_or_default();
    ensure!(drive.get("enrolled").and_then(serde_json::Value::as_bool) == Some(true), "not enrolled: {drive}");
    lab.sh("butterdock safely-remove blue")?;
    lab.state("blue", &["safe"], STEP)?;
    lab.sh("! grep -E '^/dev/sd' /proc/mounts")?;
    lab.machine()?.pull(&blue)
}

pub(crate) fn switched_off(lab: &mut Lab) -> Result<()> {
    let blue = lab.blue.clone();
    lab.configure("on_finish = \"power-off\"")?;
    let before = lab.history()?.len();
    lab.machine()?.plug(&blue)?;
    let job = lab.backup_after(before, BACKUP)?;
    ensure!(text(&job, "result") == "succeeded", "{job}");
    lab.state("blue", &["safe"], STEP)?;
    // Its node is gone, and it is still shown as safe.
    lab.until("[ ! -e /dev/disk/by-label/blue ]", STEP)?;
    lab.state("blue", &["safe"], STEP)?;
    lab.machine()?.pull(&blue)
}
