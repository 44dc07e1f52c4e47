//! The service as systemd runs it.

use anyhow::{Context as _, Result, ensure};

use crate::lab::{Lab, STEP, say};

pub(crate) fn up(lab: &mut Lab) -> Result<()> {
    lab.until("systemctl is-active butterdockd", STEP)?;
    lab.sh("butterdock status")?;
    lab.sh("! systemctl --failed --no-legend | grep .").context("a unit failed")?;
    lab.sh("pid=$(systemctl show -p MainPID --value butterdockd)
        grep -q '^NoNewPrivs:.1$' /proc/$pid/status && grep -q '^Seccomp:.2$' /proc/$pid/status &&
        [ \"$(systemctl show -p WatchdogUSec --value butterdockd)\" = 2min ]")?;
    let exposure = lab.sh("systemd-analyze security --no-pager --threshold=50 butterdockd.service | tail -n1")?;
    let kernel = lab.sh("uname -r; cat /sys/fs/btrfs/features/send_stream_version /sys/kernel/security/lsm")?;
    say(&format!("        {exposure}\n        kernel, stream version, LSMs: {}", kernel.replace('\n', " · ")));
    let warned = lab.sh("journalctl -b -t butterdockd -p warning --no-pager -o cat; dpkg -V butterdock | grep -v -e ' c ' -e /usr/share/doc || true")?;
    ensure!(warned.is_empty() || warned.starts_with("-- No"), "the service complains: {warned}");
    Ok(())
}

pub(crate) fn killed(lab: &mut Lab) -> Result<()> {
    lab.sh("systemctl show -p MainPID --value butterdockd >/run/lab-pid; kill -9 $(cat /run/lab-pid)")?;
    lab.until(
        "new=$(systemctl show -p MainPID --value butterdockd); [ $new != 0 ] && [ $new != $(cat /run/lab-pid) ] &&
        systemctl is-active -q butterdockd && butterdock status",
        STEP,
    )?;
    // Stopped, it is started by the first who asks.
    lab.sh("systemctl stop butterdockd && butterdock status && systemctl is-active butterdockd")?;
    Ok(())
}

/// Events of the catalogue that the scenarios before this brought about.
const EVENTS: &[(&str, &str)] = &[
    ("ffe850fe8b934eb995f219f79a362b63", "a job has begun"),
    ("e4f1a9d59187469c965a2cbd11de3940", "a backup is done"),
    ("3a54e73579b6411a8fae77df79683ae5", "a backup failed"),
    ("ac6271d3f0314f0586a62f6c3f7ce116", "an enrolled drive is there"),
    ("c94e1efda22c43ee938b12efa5545077", "an unknown drive is there"),
    ("ce92988543ca4d1b87246ca3996e3f9b", "a drive was enrolled"),
    ("292f933bd87042c1806e7d56dd360c53", "a drive is safe to unplug"),
    ("6abd2b9bcc5d466bbf50b36ca1716c0c", "a drive was pulled out while it was in use"),
];

pub(crate) fn journal(lab: &mut Lab) -> Result<()> {
    for (id, what) in EVENTS {
        lab.sh(&format!("journalctl -q --no-pager -t butterdockd MESSAGE_ID={id} | grep -q .")).context(*what)?;
        lab.sh(&format!(
            "journalctl -q --no-pager -x -n1 -t butterdockd MESSAGE_ID={id} | grep -q 'Defined-By: butterdock'"
        ))
        .with_context(|| format!("{what}: no explanation"))?;
    }
    Ok(())
}
