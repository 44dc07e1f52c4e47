//! A machine boots and has the service; a drive is unknown, then enrolled, then backed up to at each plug.

use anyhow::{Result, ensure};

use crate::environment::{Environment, FAST};

/// The service runs, locked in as its unit says, and has a source.
///
/// # Errors
///
/// It does not.
pub(crate) fn boots(lab: &mut Environment) -> Result<()> {
    lab.step("a machine boots, and the service runs, locked in");
    lab.boot()?;
    lab.wait_for("systemctl is-active butterdockd")?;
    // The boot does not wait for it, and under load it comes later than the shell.
    lab.wait_for("grep ' /srv/pool ' /proc/mounts")?;
    lab.run(
        "uname -r; pid=$(systemctl show -P MainPID butterdockd); status=/proc/$pid/status
         grep -q '^Seccomp:.*2' $status; grep -q '^NoNewPrivs:.*1' $status
         [ \"$(readlink /proc/$pid/ns/mnt)\" = \"$(readlink /proc/1/ns/mnt)\" ]
         systemctl list-units --no-legend --failed | grep -q . && { systemctl list-units --failed; exit 1; }
         systemd-analyze security --no-pager --threshold=50 butterdockd | tail -1",
    )?;
    knows_whether_the_clock_is_synchronised(lab)?;
    lab.run(
        "btrfs -q subvolume create /srv/pool/home; cd /srv/pool/home; cp -a /usr/lib/systemd .
         head -c 40M /dev/urandom >noise; mkfifo fifo; mknod console c 5 1; install -m 4755 -o 1000 -g 1000 /bin/true setuid
         sync",
    )?;
    Ok(())
}

/// Under the unit the kernel refuses to say whether the clock is synchronised; the service asks systemd.
fn knows_whether_the_clock_is_synchronised(lab: &mut Environment) -> Result<()> {
    // A slow machine takes longer to start timedated than the service waits. Asked here first, it runs for 30 seconds more.
    lab.run(
        "synchronised() { busctl get-property org.freedesktop.timedate1 /org/freedesktop/timedate1 \
             org.freedesktop.timedate1 NTPSynchronized; }
         synchronised; systemctl restart butterdockd
         case $(synchronised) in
             'b true') echo 'systemd-timedated says that the clock is synchronised';;
             'b false') echo 'systemd-timedated says that the clock is not synchronised';;
         esac >/run/expected; grep . /run/expected",
    )?;
    let script = "journalctl --no-pager -q -b -t butterdockd --grep \"$(cat /run/expected)\"";
    lab.wait_for(script).map(drop)
}

/// An unknown drive is left alone; an enrolled one is backed up to, whole and then what changed.
///
/// # Errors
///
/// It is not.
pub(crate) fn is_backed_up(lab: &mut Environment) -> Result<()> {
    lab.step("an unknown drive is shown, and not a byte of it changes");
    let file = lab.drive("blue")?;
    lab.format("blue", "Blue")?;
    let before = std::fs::read(&file)?;
    lab.plug("blue", FAST)?;
    lab.drive_is("present")?;
    lab.run("none grep /dev/sd /proc/mounts; [ \"$(ls /sys/fs/btrfs/*/devices)\" = vdb ]")?;
    lab.pull("blue")?;
    ensure!(std::fs::read(&file)? == before, "the unknown drive was written to");
    drop(before);

    lab.step("it is enrolled");
    lab.plug("blue", FAST)?;
    lab.drive_is("present")?;
    lab.run("butterdock enrol Blue --no-backup; none grep ' /run/butterdock/drives/' /proc/mounts")?;
    lab.run("butterdock mount Blue; grep ' /run/butterdock/drives/' /proc/mounts | grep nosuid,nodev,noexec")?;

    lab.step("removed safely, its USB device is switched off, and it is said to be safe");
    lab.run("ls -d /sys/bus/usb/devices/[0-9]*-[1-9]*; butterdock safely-remove Blue")?;
    is_switched_off(lab)?;
    lab.drive_is("safe")?;
    lab.run("journalctl --no-pager -q -t butterdockd --grep 'is unmounted and switched off'")?;
    lab.run("journalctl --no-pager -q -k --grep 'Stopping disk'")?;
    lab.pull("blue")?;

    lab.step("plugged in, it is backed up to by itself, and is safe");
    lab.plug("blue", FAST)?;
    backup_is_done(lab)?;
    let whole = received(lab)?;
    ensure!(whole > 40 << 20, "only {whole} bytes were sent");
    lab.run("udevadm info -q property /dev/sda | grep -x UDISKS_IGNORE=1")?;

    lab.step("what is there is what was sent");
    is_alike(lab, "Blue")?;
    lab.pull("blue")?;
    lab.check("blue")?;

    lab.step("the second plug sends what changed");
    lab.run("cd /srv/pool/home; date >date; rm console; mv systemd renamed; sync")?;
    lab.plug("blue", FAST)?;
    backup_is_done(lab)?;
    let change = received(lab)?;
    ensure!(change < whole / 20, "{change} bytes were sent at the second time, {whole} at the first");
    is_alike(lab, "Blue")?;
    lab.pull("blue")
}

/// Nothing is mounted of a drive, and nothing is left of it in the machine: neither a disk nor a USB device.
///
/// # Errors
///
/// Something is.
pub(crate) fn is_switched_off(lab: &mut Environment) -> Result<()> {
    let script = "none grep ' /run/butterdock/drives/' /proc/mounts
         none ls -d /sys/block/sd* /sys/bus/usb/devices/[0-9]*-[1-9]* 2>/dev/null";
    lab.wait_for(script).map(drop)
}

/// Waits until a backup succeeded and the drive is safe, and forgets both for the next time.
///
/// # Errors
///
/// It failed, or takes too long.
pub(crate) fn backup_is_done(lab: &mut Environment) -> Result<()> {
    lab.wait_for(
        "journalctl --no-pager -q -t butterdockd --since \"$(cat /run/since 2>/dev/null || echo today)\" --grep 'backing up .* succeeded'")?;
    lab.drive_is("safe")?;
    lab.run("none grep ' /run/butterdock/drives/' /proc/mounts; sleep 1.1; date '+%F %T' >/run/since").map(drop)
}

/// Mounts the drive and compares its newest snapshot with the source; then it is switched off.
///
/// # Errors
///
/// They differ.
pub(crate) fn is_alike(lab: &mut Environment, label: &str) -> Result<()> {
    let script = "at=$(butterdock mount LABEL | grep -o '/run/butterdock/[^ ]*' | head -1)
         new=$(ls -d $at/butterdock/home/* | tail -1)
         list() { (cd $1; find . -mindepth 1 -name .butterdock -prune -o -mindepth 1 -printf '%P %y %m %U %G %s %T@ %l\\n' | sort); }
         diff <(list /srv/pool/home) <(list $new)
         diff -r --no-dereference -x .butterdock -x fifo -x console /srv/pool/home $new
         ls -A $at/butterdock/home | grep -vx .butterdock-staging | none grep '^\\.'
         btrfs property get $new ro | grep true
         butterdock safely-remove LABEL";
    lab.run(&script.replace("LABEL", label))?;
    is_switched_off(lab)
}

/// How many bytes the last job read.
fn received(lab: &mut Environment) -> Result<u64> {
    let said = lab.run("newest | grep -o '\"bytes_received\":[0-9]*'")?;
    let number = said.split(':').next_back().unwrap_or_default().trim();
    number.parse().map_err(|error| anyhow::anyhow!("{said}: {error}"))
}
