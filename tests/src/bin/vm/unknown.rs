//! A drive that nobody enrolled.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::lab::{Lab, STEP};

pub(crate) fn untouched(lab: &mut Lab) -> Result<()> {
    let blue = lab.blue.clone();
    let before = blue.content()?;
    lab.machine()?.plug(&blue)?;
    let drive = lab.state("blue", &["present"], STEP)?;
    ensure!(drive.get("enrolled").and_then(serde_json::Value::as_bool) == Some(false), "enrolled: {drive}");
    // Time to do what must not be done.
    std::thread::sleep(Duration::from_secs(5));
    lab.sh("! grep -E '^/dev/(sd|dm)' /proc/mounts && [ -z \"$(ls /run/butterdock/drives 2>/dev/null)\" ]")?;
    lab.sh("! ls -l /proc/$(systemctl show -p MainPID --value butterdockd)/fd | grep '/dev/sd'")?;
    lab.machine()?.pull(&blue)?;
    ensure!(blue.content()? == before, "something was written to a drive that nobody enrolled");
    Ok(())
}
