//! A drive that the service encrypts: with a passphrase, and with a key of its own beside it.

use anyhow::Result;

use crate::environment::{Environment, FAST};
use crate::other_drives::LOCKED;
use crate::power_cut::boot;

/// The right passphrase opens it, also after a power cut, and no other; with a key, the service opens it by itself.
///
/// # Errors
///
/// It does not, or the passphrase or the key is where others can read it.
pub(crate) fn is_unlocked_after_a_power_cut(lab: &mut Environment) -> Result<()> {
    lab.step("a drive is erased, encrypted and enrolled");
    lab.drive("amber")?;
    lab.plug_forgetful("amber", FAST)?;
    lab.drive_is("present")?;
    lab.run(
        "printf 'correct horse' >/run/passphrase
         butterdock enrol sda --format --encrypt --label Amber --yes-erase SERIAL-amber --key-file /run/passphrase --no-backup
         cryptsetup luksDump /dev/sda | grep -x 'Version:.*2'",
    )?;
    lab.run(LOCKED)?;

    lab.step("another passphrase is said to be wrong, and the right one opens it");
    lab.run(
        "status=0; printf 'wrong horse' | butterdock --json unlock Amber --key-file - >/run/said || status=$?
         [ $status = 1 ]; grep '\"name\":\"org.butterdock.Butterdock1.Error.WrongPassphrase\"' /run/said",
    )?;
    lab.run(LOCKED)?;
    lab.run(
        "butterdock unlock Amber --key-file /run/passphrase
         at=$(butterdock mount Amber); echo kept >$at/file; sync -f $at/file
         journalctl --no-pager -q -b | none grep -e 'correct horse' -e 'wrong horse'",
    )?;

    lab.step("the power is cut; booted again, it opens with the passphrase, and its files are there");
    lab.cut_with("amber")?;
    boot(lab)?;
    lab.plug("amber", FAST)?;
    lab.drive_is("locked")?;
    lab.run(
        "printf 'correct horse' >/run/passphrase; butterdock unlock Amber --key-file /run/passphrase
         grep -x kept $(butterdock mount Amber)/file; butterdock safely-remove Amber",
    )?;
    lab.run(LOCKED)?;
    lab.pull("amber")?;
    opens_by_itself(lab)
}

fn opens_by_itself(lab: &mut Environment) -> Result<()> {
    lab.step("enrolled again with a key for the service, it is opened at the next plug");
    lab.run("butterdock forget Amber")?;
    lab.plug("amber", FAST)?;
    lab.drive_is("locked")?;
    lab.run(
        "butterdock enrol sda --keep-key --key-file /run/passphrase --no-backup; rm /run/passphrase
         [ \"$(stat -c '%a %U %s %F' /var/lib/butterdock/keys/*)\" = '600 root 64 regular file' ]",
    )?;
    lab.run(LOCKED)?;
    lab.pull("amber")?;
    lab.run("butterdock backup set home to=Amber; sleep 1.1; date '+%F %T' >/run/since")?;
    lab.plug("amber", FAST)?;
    lab.wait_for("newest | grep '\"drive_label\":\"Amber\"' | grep '\"result\":\"succeeded\"'")?;
    lab.wait_for(LOCKED)?;
    lab.run("butterdock backup set home to=Blue,Black,Green")?;

    lab.step("forgotten, its key is gone, and its passphrase stays");
    lab.run("butterdock forget Amber; none ls /var/lib/butterdock/keys/* 2>/dev/null")?;
    lab.pull("amber")?;
    lab.plug("amber", FAST)?;
    lab.wait_for("test -b /dev/sda")?;
    lab.run("udevadm settle; printf 'correct horse' | cryptsetup open --test-passphrase --key-file - /dev/sda")?;
    lab.pull("amber")
}
