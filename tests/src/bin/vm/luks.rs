//! An encrypted drive, with the kernel's own dm-crypt.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::lab::{BACKUP, Lab, STEP, text};
use crate::pulled::pull;

/// What has to be when nobody uses the drive.
const LOCKED: &str =
    "! dmsetup ls 2>/dev/null | grep -i luks; ! ls /dev/mapper | grep -v control && ! grep ^/dev/mapper /proc/mounts";

pub(crate) fn backup(lab: &mut Lab) -> Result<()> {
    let vault = lab.vault.clone();
    lab.machine()?.plug(&vault)?;
    let node = lab.until("readlink -e /dev/disk/by-id/usb-*vault*", STEP)?;
    // A key that is derived quickly: what is tested is not how slow that can be.
    lab.sh(&format!(
        "cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /etc/butterdock/lab.key {node} &&
        name=butterdock-$(cryptsetup luksUUID {node}) && udevadm settle &&
        cryptsetup open --key-file /etc/butterdock/lab.key {node} $name &&
        mkfs.btrfs -q -L vault /dev/mapper/$name && udevadm trigger --settle /dev/mapper/$name"
    ))?;
    let drive = lab.state("vault", &["present", "unlocked"], STEP)?;
    lab.sh(&format!("butterdock enrol {}", text(&drive, "id")))?;
    let drive = lab.drive("vault")?.context("vault is not shown")?;
    lab.sh(&format!("butterdock safely-remove {}", text(&drive, "id")))?;
    lab.until(LOCKED, STEP)?;
    lab.configure(&format!(
        "key_file = [ {{ drive = \"{}\", file = \"/etc/butterdock/lab.key\" }} ]",
        text(&drive, "id")
    ))?;
    lab.machine()?.pull(&vault)?;

    let before = lab.history()?.len();
    lab.machine()?.plug(&vault)?;
    let job = lab.backup_after(before, BACKUP)?;
    ensure!(text(&job, "result") == "succeeded", "{job}");
    lab.state("vault", &["safe"], STEP)?;
    lab.until(LOCKED, STEP)?;
    lab.same_on("vault")?;
    lab.until(LOCKED, STEP)?;
    lab.sh("! journalctl -b --no-pager | grep 'the key of the drive'")?;
    lab.machine()?.pull(&vault)
}

pub(crate) fn pulled(lab: &mut Lab) -> Result<()> {
    let vault = lab.vault.clone();
    pull(lab, &vault, Duration::from_secs(2))?;
    lab.until(LOCKED, STEP)?;
    lab.machine()?.plug(&vault)?;
    crate::pulled::finished(lab, &vault)?;
    lab.until(LOCKED, STEP).map(drop)
}
