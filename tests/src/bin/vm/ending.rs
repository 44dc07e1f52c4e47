//! What the journal tells, and what a purge leaves.

use anyhow::{Result, ensure};

use crate::lab::Lab;

/// The catalogue has an explanation for each thing that happened, and nothing is left of the package.
///
/// # Errors
///
/// It has not, or something is.
pub(crate) fn leaves_nothing(lab: &mut Lab) -> Result<()> {
    lab.step("the journal explains what happened");
    let told = lab.run("journalctl --no-pager -q -t butterdockd -x | grep -o 'Subject: .*' | sort | uniq -c")?;
    for subject in [
        "An unknown drive is there",
        "A drive was enrolled",
        "An enrolled drive is there",
        "A backup is done",
        "A backup failed",
        "A drive was pulled out while it was in use",
        "A drive is safe to unplug",
    ] {
        ensure!(told.contains(subject), "the journal does not say \"{subject}\", but\n{told}");
    }

    lab.step("purged, nothing is left");
    lab.run(
        "rm -f /etc/butterdock/*.key; DEBIAN_FRONTEND=noninteractive apt-get purge -y butterdock
         left=$(find / /run -xdev -iname '*butterdock*' -not -path '/srv/*' -not -path '/var/cache/*')
         [ -z \"$left\" ] || { echo \"left: $left\"; exit 1; }
         systemctl list-unit-files | none grep butterdock; busctl list | none grep Butterdock
         none grep -qs butterdock /proc/[0-9]*/comm",
    )?;
    Ok(())
}
