//! The journal's catalogue, as journalctl reads it.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Finished, TIMEOUT, run, shipped};

use crate::list::Installation;

fn journalctl(installation: &Installation, arguments: &[&str]) -> Result<Finished> {
    let mut command = Command::new("journalctl");
    command.arg(format!("--root={}", installation.root().display())).args(arguments);
    run(&mut command, TIMEOUT).context("journalctl is of the package systemd")
}

#[test]
fn journalctl_takes_every_entry_of_the_shipped_catalogue() -> Result<()> {
    let installation = Installation::new()?;
    installation.install(&[])?.success()?;
    let updated = journalctl(&installation, &["--update-catalog"])?.success()?;
    ensure!(updated.err().is_empty(), "{}", updated.err());
    let text = fs::read_to_string(shipped("daemon/data/butterdock.catalog"))?;
    let mut wanted: Vec<_> = text
        .split("\n-- ")
        .skip(1)
        .filter_map(|entry| {
            let (id, rest) = entry.split_once('\n')?;
            Some(format!("{id} butterdock: {}", rest.lines().next()?.strip_prefix("Subject: ")?))
        })
        .collect();
    wanted.sort();
    let listed = journalctl(&installation, &["--list-catalog"])?.success()?.out();
    let mut listed: Vec<_> = listed.lines().map(str::to_owned).collect();
    listed.sort();
    ensure!(listed == wanted, "{listed:#?}\n{wanted:#?}");
    Ok(())
}
