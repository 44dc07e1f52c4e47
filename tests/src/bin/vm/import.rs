//! Stream files on sticks as they are sold: FAT and exFAT, which not every kernel of a test has.

use anyhow::{Result, ensure};

use crate::environment::{Environment, FAST};

/// A stream file on a stick with each filesystem is imported, and the stick is not mounted afterwards.
///
/// # Errors
///
/// It is not.
pub(crate) fn from_sticks(lab: &mut Environment) -> Result<()> {
    lab.step("a stream file is put on a stick with FAT and on one with exFAT");
    lab.run(
        "cd /srv/pool; btrfs -q subvolume create given; cp -a /usr/lib/systemd/system given
         btrfs -q subvolume snapshot -r given given-1; btrfs -q send -f /run/given-1.btrfs given-1
         btrfs -q subvolume delete given-1",
    )?;
    lab.run("cp /etc/butterdock/butterdock.toml /run/before.toml")?;
    for kind in ["vfat", "exfat"] {
        let file = lab.drive("stick")?;
        lab.plug("stick", FAST)?;
        lab.wait_for("test -b /dev/sda")?;
        let label = if kind == "vfat" { "-I -n" } else { "-L" };
        lab.run(&format!(
            "mkfs.{kind} {label} STICK /dev/sda; mount -t {kind} /dev/sda /mnt; mkdir -p /mnt/for/me
             cp /run/given-1.btrfs '/mnt/for/me/Given 1.BTRFS'; umount /mnt; sync"
        ))?;
        lab.pull("stick")?;
        let before = std::fs::read(&file)?;

        lab.step(&format!("it is listed and imported from {kind}, read-only, and mounted only meanwhile"));
        lab.plug("stick", FAST)?;
        lab.wait_for("test -b /dev/sda; udevadm settle; blkid -s UUID -o value /dev/sda")?;
        lab.run(
            "printf '\\n[[import]]\\ndrive = \"%s\"\\nfolder = \"for/me\"\\n' $(blkid -s UUID -o value /dev/sda) \
                 >>/etc/butterdock/butterdock.toml
             systemctl reload butterdockd",
        )?;
        lab.wait_for("butterdock import STICK --list | tee /dev/stderr | grep -q 'Given 1.BTRFS'")?;
        lab.run(
            "butterdock import STICK pool
             diff -r --no-dereference /srv/pool/given /srv/pool/given-1; none grep /dev/sda /proc/mounts
             btrfs property get /srv/pool/given-1 ro | grep true; btrfs -q subvolume delete /srv/pool/given-1
             cp /run/before.toml /etc/butterdock/butterdock.toml; systemctl reload butterdockd",
        )?;
        lab.pull("stick")?;
        ensure!(std::fs::read(&file)? == before, "the stick was written to");
    }
    lab.run("btrfs -q subvolume delete /srv/pool/given; rm /run/given-1.btrfs /run/before.toml").map(drop)
}
