//! The paths of the installed files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use butterdock_tests::shipped;

use crate::list::{Installation, manifest, write};

#[test]
fn make_install_installs_exactly_the_manifest() -> Result<()> {
    let installation = Installation::new()?;
    installation.install(&[])?.success()?;
    let listed: BTreeMap<_, _> = manifest()?.into_iter().map(|line| (line.place, line.mode)).collect();
    let installed = installation.files()?;
    ensure!(installed == listed, "installed: {installed:#?}\nlisted: {listed:#?}");
    for line in manifest()?.iter().filter(|line| !line.source.starts_with("BUILT/")) {
        let source = fs::read_to_string(shipped(&line.source))?;
        ensure!(installation.read(&line.place)? == source, "make install changed {}", line.place);
    }
    Ok(())
}

#[test]
fn every_installable_file_is_in_the_manifest() -> Result<()> {
    let sources: BTreeSet<_> = manifest()?.into_iter().map(|line| line.source).collect();
    for folder in [
        "daemon/data",
        "daemon/man",
        "dbus/data",
        "dbus/xml",
        "web/dist",
        "desktop/data",
        "desktop/data/icons",
        "desktop/data/man",
    ] {
        for entry in fs::read_dir(shipped(folder))? {
            let name = entry?.file_name().into_string().unwrap_or_default();
            // The list, the script that installs it, and what packages use.
            let tools = ["manifest", "install", "notices", "debian"];
            let tool = folder == "daemon/data" && tools.contains(&name.as_str());
            // Folders, and what the package uses.
            let tool = tool || (folder == "desktop/data" && ["debian", "icons", "man"].contains(&name.as_str()));
            ensure!(tool || sources.contains(&format!("{folder}/{name}")), "{folder}/{name} is not in the manifest");
        }
    }
    Ok(())
}

#[test]
fn a_read_only_root_needs_nothing_outside_of_usr() -> Result<()> {
    // Sessions that systemd does not manage look for programs to start in /etc alone.
    let autostart = "/etc/xdg/autostart/org.butterdock.Agent.desktop";
    let needed = |line: &crate::list::Line| !line.place.starts_with("/usr/") && line.place != autostart;
    let elsewhere: Vec<_> = manifest()?.into_iter().filter(needed).collect();
    // The one other file in /etc sets nothing.
    let [line] = &elsewhere[..] else { anyhow::bail!("{elsewhere:#?}") };
    ensure!(line.place == "/etc/butterdock/butterdock.toml", "{line:?}");
    let text = fs::read_to_string(shipped(&line.source))?;
    let says = text.lines().find(|line| !line.is_empty() && !line.starts_with('#'));
    ensure!(says.is_none(), "{says:?}");
    Ok(())
}

#[test]
fn unit_and_tmpfiles_make_the_same_directories() -> Result<()> {
    let unit = fs::read_to_string(shipped("daemon/data/butterdockd.service"))?;
    let tmpfiles = fs::read_to_string(shipped("daemon/data/butterdock.tmpfiles"))?;
    for (kind, above) in [("State", "/var/lib"), ("Runtime", "/run")] {
        let set = |key: &str| {
            let line = unit.lines().find_map(|line| line.strip_prefix(&format!("{kind}Directory{key}=")));
            line.unwrap_or_default().to_owned()
        };
        let line = format!("d {above}/{} {} root root -", set(""), set("Mode"));
        ensure!(tmpfiles.lines().any(|one| one == line), "no \"{line}\" in\n{tmpfiles}");
    }
    Ok(())
}

#[test]
fn a_prefix_moves_all_of_usr_and_the_unit() -> Result<()> {
    let installation = Installation::new()?;
    installation.install(&["PREFIX=/opt/dock", "SYSCONFDIR=/opt/etc"])?.success()?;
    let elsewhere = |place: &String| !place.starts_with("/opt/dock/") && !place.starts_with("/opt/etc/");
    let elsewhere: Vec<_> = installation.files()?.into_keys().filter(elsewhere).collect();
    ensure!(elsewhere.is_empty(), "{elsewhere:?}");
    let unit = installation.read("/opt/dock/lib/systemd/system/butterdockd.service")?;
    ensure!(unit.lines().any(|line| line == "ExecStart=/opt/dock/sbin/butterdockd serve"), "{unit}");
    Ok(())
}

#[test]
fn make_install_keeps_the_administrators_configuration() -> Result<()> {
    let installation = Installation::new()?;
    let place = "/etc/butterdock/butterdock.toml";
    write(&installation.root().join(&place[1..]), "max_jobs = 1\n")?;
    let said = installation.install(&[])?.success()?;
    ensure!(said.out().contains("is not changed"), "{}", said.out());
    ensure!(installation.read(place)? == "max_jobs = 1\n");
    Ok(())
}

#[test]
fn a_missing_program_is_named_by_install() -> Result<()> {
    let installation = Installation::new()?;
    fs::remove_file(installation.built().join("butterdockd"))?;
    let said = installation.install(&[])?;
    ensure!(said.code() != 0 && said.err().contains("butterdockd is missing: run `make build`"), "{}", said.err());
    ensure!(!installation.root().join("usr/share/man").exists(), "it installed more files");
    Ok(())
}

#[test]
fn a_posix_shell_parses_the_shipped_scripts() -> Result<()> {
    let daemon = ["install", "notices", "debian/build", "debian/postinst", "debian/postrm"];
    let daemon = daemon.map(|script| format!("daemon/data/{script}"));
    let desktop = ["debian/postinst", "debian/postrm"].map(|script| format!("desktop/data/{script}"));
    for script in daemon.iter().chain(&desktop) {
        let path = shipped(script);
        let checked = std::process::Command::new("sh").arg("-n").arg(&path).status()?;
        ensure!(checked.success(), "{}", Path::new(&path).display());
    }
    Ok(())
}
