//! Drives with other content: one is erased and enrolled, an encrypted one is unlocked by a passphrase and by a key file.

use anyhow::{Result, ensure};

use crate::environment::{Environment, FAST, SLOW};
use crate::plug::{backup_is_done, is_alike, is_switched_off};
use crate::unplug::wait_until_it_runs;

/// Only who repeats its serial number has it erased.
///
/// # Errors
///
/// It is erased by mistake, or not at all.
pub(crate) fn takes_backups(lab: &mut Environment) -> Result<()> {
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
        "butterdock enrol sda --format --label Green --yes-erase SERIAL-green --no-backup
         butterdock mount Green
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

/// Enrolled while it is open, it is unlocked and locked by the service from then on, and its mapping goes when it is pulled.
///
/// # Errors
///
/// It is not.
pub(crate) fn is_locked_again(lab: &mut Environment) -> Result<()> {
    let id = enrolled(lab)?;
    by_passphrase(lab)?;
    by_key(lab, &id)?;

    lab.step("pulled in mid-backup, its mapping goes too");
    lab.run("cd /srv/pool/home; head -c 36M /dev/urandom >noise; sync")?;
    lab.plug("black", SLOW)?;
    wait_until_it_runs(lab)?;
    lab.run("ls /dev/mapper/butterdock-*; dmsetup table | grep crypt")?;
    lab.pull("black")?;
    lab.wait_for(LOCKED)?;

    lab.step("the next plug finishes it");
    lab.plug("black", FAST)?;
    backup_is_done(lab)?;
    lab.run(LOCKED)?;
    is_alike(lab, "Black")?;
    lab.run(LOCKED)?;
    lab.pull("black")
}

/// Gives back its id.
fn enrolled(lab: &mut Environment) -> Result<String> {
    lab.step("an encrypted drive is enrolled");
    lab.drive("black")?;
    lab.plug("black", FAST)?;
    lab.wait_for("test -b /dev/sda")?;
    // Keys that are derived in no time; the processor is emulated.
    lab.run(
        "umask 077; head -c 64 /dev/urandom >/etc/butterdock/black.key; printf 'correct horse' >/run/passphrase
         quickly='-q --pbkdf pbkdf2 --pbkdf-force-iterations 1000'
         cryptsetup luksFormat $quickly --key-file /etc/butterdock/black.key /dev/sda
         cryptsetup luksAddKey $quickly --key-file /etc/butterdock/black.key /dev/sda /run/passphrase
         udevadm settle
         name=butterdock-$(cryptsetup luksUUID /dev/sda); cryptsetup open --key-file /etc/butterdock/black.key /dev/sda $name
         mkfs.btrfs -q -L Black /dev/mapper/$name; udevadm trigger -s block; udevadm settle",
    )?;
    lab.wait_for("butterdock drives | tee /dev/stderr | grep -q Black")?;
    let id = lab.run(
        "butterdock enrol Black --no-backup >/dev/null
         butterdock --json drives | tr '{' '\\n' | grep Black | grep -o '\"id\":\"[^\"]*' | cut -d'\"' -f4",
    )?;
    lab.run("butterdock safely-remove Black")?;
    is_switched_off(lab)?;
    lab.run(LOCKED)?;
    lab.pull("black")?;
    Ok(id.trim().to_owned())
}

fn by_passphrase(lab: &mut Environment) -> Result<()> {
    lab.step("plugged in without a key, it stays locked, and another passphrase does not open it");
    lab.plug("black", FAST)?;
    lab.drive_is("locked")?;
    lab.run("status=0; printf 'wrong horse' | butterdock unlock Black --key-file - || status=$?; [ $status = 1 ]")?;
    lab.run(LOCKED)?;

    lab.step("its passphrase does; it is backed up to and locked, and the passphrase is in no journal");
    lab.run("butterdock unlock Black --key-file - </run/passphrase")?;
    backup_is_done(lab)?;
    lab.run(LOCKED)?;
    lab.run("journalctl --no-pager -q -b | none grep 'correct horse'")?;
    lab.pull("black")
}

fn by_key(lab: &mut Environment, id: &str) -> Result<()> {
    lab.step("with its key configured, it is unlocked, backed up to and locked");
    lab.run(&format!(
        "sed -i '/^.drives.$/a key_file = [ {{ drive = \"{id}\", file = \"/etc/butterdock/black.key\" }} ]' \
             /etc/butterdock/butterdock.toml
         systemctl reload butterdockd; cd /srv/pool/home; date >date; sync"
    ))?;
    lab.plug("black", FAST)?;
    backup_is_done(lab)?;
    lab.run(LOCKED)?;

    lab.step("what is on it is what was sent, and not to be read where it is locked");
    is_alike(lab, "Black")?;
    lab.run(LOCKED)?;
    lab.pull("black")
}

/// Nothing is mapped.
pub(crate) const LOCKED: &str =
    "none ls /dev/mapper/butterdock-* 2>/dev/null; dmsetup ls --target crypt | none grep butterdock";
