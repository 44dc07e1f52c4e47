//! The units, checked by systemd's tools.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{TIMEOUT, run, shipped};
use serde::Deserialize;

/// The version of the figures in SECURITY.md; other versions count differently.
const MEASURED_WITH: &str = "systemd 252 ";
const UNIT: &str = "daemon/data/butterdockd.service";

/// A row of `systemd-analyze security --json`.
#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    exposure: Option<String>,
}

fn analyze(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("systemd-analyze");
    let done = run(command.args(arguments), TIMEOUT).context("systemd-analyze is of the package systemd")?;
    Ok(done.success()?.out())
}

#[test]
fn security_md_lists_what_systemd_analyze_counts() -> Result<()> {
    let version = analyze(&["--version"])?;
    if !version.starts_with(MEASURED_WITH) {
        println!("not compared: this is not {MEASURED_WITH}");
        return Ok(());
    }
    compare(UNIT, "butterdockd.service: ", 5.0)?;
    // systemd-analyze gives an instance a name.
    compare("daemon/data/butterdock-net@.service", "butterdock-net@i.service: ", 2.0)
}

fn compare(unit: &str, title: &str, most: f64) -> Result<()> {
    let unit = shipped(unit);
    let unit = unit.to_str().context("UTF-8")?;
    let judge = |more: &str| analyze(&["security", "--offline=true", "--no-pager", more, unit]);
    let judged = judge("--threshold=100")?;
    let figure = judged.split(title).nth(1).and_then(|rest| rest.split(' ').next());
    let figure = figure.with_context(|| judged.clone())?;
    ensure!(figure.parse::<f64>()? <= most, "{figure}");
    let page = fs::read_to_string(shipped("SECURITY.md"))?;
    let page = page.split("\n## The unit\n").nth(1).and_then(|rest| rest.split("\n## ").next()).context("a section")?;
    ensure!(page.contains(&format!("**{figure}**")), "SECURITY.md has another figure than {figure}");
    let rows: Vec<Row> = serde_json::from_str(&judge("--json=short")?)?;
    for row in rows.iter().filter(|row| row.exposure.as_ref().is_some_and(|exposure| exposure != "0.0")) {
        let name = row.name.replace('|', "\\|");
        ensure!(page.contains(&format!("`{name}`")), "SECURITY.md does not say why {name} stays");
    }
    Ok(())
}

#[test]
fn the_unit_refuses_every_call_that_could_set_the_clock() -> Result<()> {
    let text = fs::read_to_string(shipped(UNIT))?;
    let lines: Vec<(&str, &str)> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect();
    let filters: Vec<&str> =
        lines.iter().filter(|(key, _)| *key == "SystemCallFilter").map(|(_, value)| *value).collect();
    ensure!(lines.contains(&("ProtectClock", "yes")), "the clock is not protected");
    let first = filters.first().context("a filter")?;
    ensure!(first.starts_with('~') && first.contains("@clock"), "{filters:?}");
    // A line without ~ would allow calls again that the other lines refuse (systemd.exec(5), SystemCallFilter=).
    ensure!(filters.iter().all(|filter| filter.starts_with('~')), "{filters:?}");
    ensure!(lines.iter().all(|(_, value)| !value.contains("CAP_SYS_TIME")), "the clock could be set");
    Ok(())
}

#[test]
fn the_udev_rule_applies_again_after_var_is_mounted() -> Result<()> {
    let text = fs::read_to_string(shipped("daemon/data/butterdock-udev-trigger.service"))?;
    let has = |line: &str| text.lines().any(|one| one == line);
    // The rule looks below /var/lib/butterdock. At boot udev sees drives before it is mounted.
    for line in ["RequiresMountsFor=/var/lib/butterdock", "Type=oneshot", "WantedBy=multi-user.target"] {
        ensure!(has(line), "no {line}");
    }
    let before = text.lines().find_map(|line| line.strip_prefix("Before=")).unwrap_or_default();
    for unit in ["butterdockd.service", "udisks2.service"] {
        ensure!(before.split(' ').any(|one| one == unit), "{unit} may see the drives first");
    }
    let trigger = text.lines().find(|line| line.contains("udevadm trigger")).context("a trigger")?;
    // It repeats the events of no other devices.
    for kind in ["btrfs", "crypto_LUKS"] {
        ensure!(trigger.contains(&format!("--property-match=ID_FS_TYPE={kind}")), "{trigger}");
    }
    analyze(&[
        "verify",
        "--man=no",
        shipped("daemon/data/butterdock-udev-trigger.service").to_str().context("UTF-8")?,
    ])?;
    Ok(())
}

#[test]
fn the_metrics_unit_is_confined_and_starts_no_service() -> Result<()> {
    let path = shipped("daemon/data/butterdock-metrics.service");
    let text = fs::read_to_string(&path)?;
    for word in ["butterdockd.service", "Wants=", "Requires=", "BindsTo="] {
        ensure!(!text.contains(word), "{word} could start the service");
    }
    let program = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).context("a program")?;
    let output = program.strip_prefix("/usr/bin/butterdock metrics --output ").context("another program")?;
    let folder = std::path::Path::new(output).parent().and_then(std::path::Path::to_str).context("a directory")?;
    for line in [format!("ReadWritePaths={folder}"), format!("ConditionPathIsDirectory={folder}")] {
        ensure!(text.lines().any(|one| one == line), "no {line}");
    }
    let timer = shipped("daemon/data/butterdock-metrics.timer");
    ensure!(fs::read_to_string(timer)?.lines().any(|line| line == "WantedBy=timers.target"), "it cannot be enabled");
    if analyze(&["--version"])?.starts_with(MEASURED_WITH) {
        let judged =
            analyze(&["security", "--offline=true", "--no-pager", "--threshold=100", path.to_str().context("UTF-8")?])?;
        let figure = judged.split("butterdock-metrics.service: ").nth(1).and_then(|rest| rest.split(' ').next());
        let figure = figure.with_context(|| judged.clone())?;
        let page = fs::read_to_string(shipped("SECURITY.md"))?;
        ensure!(page.contains(&format!("`butterdock-metrics.service` (**{figure}**)")), "{figure}");
    }
    Ok(())
}

#[test]
fn nothing_in_the_unit_hides_the_services_mounts() -> Result<()> {
    // With each of them systemd makes a mount namespace, whose mounts other processes do not see (systemd.exec(5),
    // "PrivateMounts=").
    let hides = [
        "BindPaths",
        "BindReadOnlyPaths",
        "ExtensionImages",
        "InaccessiblePaths",
        "MountAPIVFS",
        "MountImages",
        "PrivateDevices",
        "PrivateIPC",
        "PrivateMounts",
        "PrivateTmp",
        "ProcSubset",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "RootDirectory",
        "RootImage",
        "TemporaryFileSystem",
        "DynamicUser",
        "MountFlags",
        "PrivateNetwork",
    ];
    let text = fs::read_to_string(shipped(UNIT))?;
    for (key, _) in text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')) {
        ensure!(!hides.contains(&key), "{key} hides the drives that the service mounts");
    }
    Ok(())
}
