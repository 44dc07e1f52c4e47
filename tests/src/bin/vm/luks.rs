//! An encrypted drive: unlocked by a key file, backed up to, locked again.

use std::time::Duration;

use anyhow::Result;

use crate::lab::{FAST, Lab, SLOW};
use crate::plugged::backup_is_done;
use crate::pulled::wait_until_it_runs;

/// Enrolled while it is open, it is unlocked and locked by the service from then on, and its mapping goes when it is pulled.
///
/// # Errors
///
/// It is not.
pub(crate) fn is_locked_again(lab: &mut Lab) -> Result<()> {
    lab.step("an encrypted drive is enrolled");
    lab.drive("black")?;
    lab.plug("black", FAST)?;
    lab.wait_for("test -b /dev/sda", Duration::from_secs(30))?;
    // A key that is derived in no time; the processor is emulated.
    lab.run(
        "umask 077; head -c 64 /dev/urandom >/etc/butterdock/black.key
         cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /etc/butterdock/black.key /dev/sda
         udevadm settle
         name=butterdock-$(cryptsetup luksUUID /dev/sda); cryptsetup open --key-file /etc/butterdock/black.key /dev/sda $name
         mkfs.btrfs -q -L Black /dev/mapper/$name; udevadm trigger -s block; udevadm settle",
    )?;
    lab.wait_for("butterdock drives | tee /dev/stderr | grep -q Black", Duration::from_secs(30))?;
    let id = lab.run(
        "butterdock enrol Black >/dev/null
         butterdock --json drives | tr '{' '\\n' | grep Black | grep -o '\"id\":\"[^\"]*' | cut -d'\"' -f4",
    )?;
    lab.run(&format!(
        "butterdock safely-remove Black
         printf '[drives]\\nkey_file = [ {{ drive = \"{}\", file = \"/etc/butterdock/black.key\" }} ]\\n' \
             >>/etc/butterdock/butterdock.toml
         systemctl reload butterdockd",
        id.trim()
    ))?;
    lab.run(LOCKED)?;
    lab.pull("black")?;

    lab.step("plugged in, it is unlocked by its key, backed up to and locked");
    lab.plug("black", FAST)?;
    backup_is_done(lab)?;
    lab.run(LOCKED)?;
    lab.pull("black")?;

    lab.step("pulled in mid-backup, its mapping goes too");
    lab.run("cd /srv/pool/home; head -c 36M /dev/urandom >noise; sync")?;
    lab.plug("black", SLOW)?;
    wait_until_it_runs(lab)?;
    lab.run("ls /dev/mapper/butterdock-*; dmsetup table | grep crypt")?;
    lab.pull("black")?;
    lab.wait_for(LOCKED, Duration::from_secs(30))?;

    lab.step("the next plug finishes it");
    lab.plug("black", FAST)?;
    backup_is_done(lab)?;
    lab.run(LOCKED)?;
    lab.pull("black")
}

/// Nothing is mapped.
const LOCKED: &str = "none ls /dev/mapper/butterdock-* 2>/dev/null; dmsetup ls --target crypt | none grep butterdock";
