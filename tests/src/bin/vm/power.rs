//! The power is cut in mid-backup.

use std::time::Duration;

use anyhow::Result;

use crate::lab::{Lab, STEP};
use crate::pulled::finished;

pub(crate) fn cut(lab: &mut Lab) -> Result<()> {
    let blue = lab.blue.clone();
    lab.sh("cd /srv/lab/home && head -c 12M /dev/urandom >big && date >when && sync")?;
    lab.machine()?.plug(&blue.at(1 << 20))?;
    lab.under_way()?;
    std::thread::sleep(Duration::from_secs(4));
    lab.cut()?;
    lab.boot_again()?;
    lab.until("systemctl is-active butterdockd", STEP)?;
    lab.plug_and_look(&blue)?;
    finished(lab, &blue)
}
