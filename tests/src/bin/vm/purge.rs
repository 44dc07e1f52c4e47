//! The package is purged.

use anyhow::{Context as _, Result};

use crate::lab::{BACKUP, Lab, STEP};

pub(crate) fn nothing_left(lab: &mut Lab) -> Result<()> {
    // A key is the administrator's own, and stays until they take it away.
    lab.sh("rm /etc/butterdock/lab.key; dpkg -L butterdock >/tmp/files")?;
    lab.machine()?.console.ok("DEBIAN_FRONTEND=noninteractive apt-get purge -y butterdock", BACKUP)?;
    lab.sh("while read -r file; do [ -d \"$file\" ] || [ ! -e \"$file\" ] || { echo \"$file\"; exit 1; }; done </tmp/files")
        .context("a file of the package is left")?;
    lab.sh("for one in /etc/butterdock /var/lib/butterdock /run/butterdock; do [ ! -e $one ] || { find $one; exit 1; }; done")
        .context("a folder is left")?;
    lab.sh("! pgrep -a butterdock && ! busctl --system list --no-legend | grep -i butterdock")?;
    lab.sh("! find /etc/systemd /var/lib/systemd -name '*butterdock*' | grep . && ! grep butterdock /proc/mounts")?;
    lab.until("[ \"$(systemctl show -p LoadState --value butterdockd)\" = not-found ]", STEP).map(drop)
}
