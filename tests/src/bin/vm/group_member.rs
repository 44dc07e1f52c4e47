//! A user without privileges who gets them from the group's polkit rule.

use anyhow::{Result, ensure};

use crate::environment::{Environment, FAST};
use crate::plug::{backup_is_done, is_alike};

/// She is refused, then allowed as a member of the group, and sees the progress of her backup.
///
/// # Errors
///
/// She is not, or does not.
pub(crate) fn by_ann(lab: &mut Environment) -> Result<()> {
    lab.step("an unprivileged user may not start a backup");
    lab.plug("blue", FAST)?;
    backup_is_done(lab)?;
    lab.pull("blue")?;
    by_hand(lab)?;
    // Read at 30 MB a second, it is seen twenty times on its way; memory takes it, however slow the drive is.
    lab.run("cd /srv/pool/home; head -c 160M /dev/urandom >large; sync")?;
    lab.plug("blue", FAST)?;
    lab.drive_is("mounted")?;
    lab.run("status=0; runuser -u ann -- butterdock backup Blue || status=$?; [ $status = 77 ]")?;

    lab.step("polkit lets her as a member of the group, and she sees its progress");
    lab.run("gpasswd --add ann butterdock")?;
    let seen = lab.run("runuser -u ann -- butterdock --json backup Blue")?;
    let values: Vec<f64> = seen
        .split("\"progress\":")
        .skip(1)
        .filter_map(|rest| rest.split([',', '}']).next().and_then(|number| number.parse().ok()))
        .collect();
    ensure!(values.windows(2).all(|pair| matches!(pair, [a, b] if a <= b)), "progress went back: {values:?}");
    let between = values.iter().filter(|value| **value > 0.0 && **value < 1.0).count();
    ensure!(between >= 2, "she saw {values:?}, of\n{seen}");
    by_itself(lab)?;
    lab.drive_is("safe")?;
    is_alike(lab, "Blue")?;
    lab.run("rm /srv/pool/home/large; sleep 1.1; date '+%F %T' >/run/since")?;
    lab.pull("blue")
}

/// From now on nothing is backed up by itself; that holds after a power cut too.
///
/// # Errors
///
/// The configuration cannot be written.
pub(crate) fn by_hand(lab: &mut Environment) -> Result<()> {
    lab.run(
        "sed -i 's/^to = .*/&\\nschedule = \"manual\"/' /etc/butterdock/butterdock.toml
         systemctl reload butterdockd; sync",
    )
    .map(drop)
}

/// The opposite.
///
/// # Errors
///
/// The same.
pub(crate) fn by_itself(lab: &mut Environment) -> Result<()> {
    lab.run("sed -i '/^schedule/d' /etc/butterdock/butterdock.toml; systemctl reload butterdockd; sync").map(drop)
}
