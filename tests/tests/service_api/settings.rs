//! Settings that are read and changed over the bus, with the file that the service writes.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::VOLUME;
use butterdock_dbus::path::{backup_path, volume_path};
use butterdock_dbus::{Error, ErrorName, ManagerProxy, RemoveOptions, SetOptions, Settings};
use butterdock_tests::{Client, Service, Volume, no_options, run};
use zbus::Variant;

type Values<'v> = HashMap<&'v str, Variant<'v>>;

/// The manager, as a client of root sees it.
struct Manager<'c> {
    client: &'c Client,
    proxy: ManagerProxy<'c>,
}

impl<'c> Manager<'c> {
    fn new(client: &'c Client) -> Result<Self> {
        let proxy = client.block_on(ManagerProxy::new(client.connection()))?;
        Ok(Self { client, proxy })
    }

    fn get(&self) -> Result<(Settings, String)> {
        Ok(self.client.block_on(self.proxy.get_settings(no_options()))?)
    }

    /// The codes of the warnings, and the revision.
    fn set(&self, name: &str, values: Values<'_>, options: &SetOptions) -> Result<(Vec<String>, String), Error> {
        let call = self.proxy.set_backup(name, values, options.to_options());
        let (revision, warnings) = self.client.block_on(call)?;
        Ok((warnings.into_iter().map(|warning| warning.code).collect(), revision))
    }
}

fn name_of(error: &Result<impl std::fmt::Debug, Error>) -> Option<ErrorName> {
    match error {
        Err(Error::Named(name, _)) => Some(*name),
        _ => None,
    }
}

fn set_of(revision: &str) -> SetOptions {
    SetOptions { revision: Some(revision.to_owned()), ..SetOptions::default() }
}

#[test]
fn a_backup_is_set_over_the_bus_and_comments_stay() -> Result<()> {
    let service = Service::with(&["tank"], "# mine\nmax_jobs = 3 # three\n")?;
    let client = service.client()?;
    let manager = Manager::new(&client)?;
    let source = service.path("tank").join("source");
    run(Command::new("btrfs").args(["-q", "subvolume", "create"]).arg(&source), butterdock_tests::TIMEOUT)?
        .success()?;
    fs::write(source.join("file"), "data")?;
    run(
        Command::new("btrfs").args(["-q", "subvolume", "create"]).arg(source.join("nested")),
        butterdock_tests::TIMEOUT,
    )?
    .success()?;
    fs::set_permissions(service.configuration(), fs::Permissions::from_mode(0o640))?;
    let before = fs::read_to_string(service.configuration())?;

    let (settings, revision) = manager.get()?;
    ensure!(Path::new(&settings.file) == service.configuration() && settings.writable, "{settings:?}");
    ensure!(settings.values.get("max_jobs").is_some_and(|jobs| i64::try_from(jobs) == Ok(3)), "{settings:?}");

    let source_text = source.to_str().context("text")?;
    let values = || Values::from([("source", source_text.into()), ("to", vec!["Blue"].into())]);
    let (warnings, second) = manager.set("home", values(), &set_of(&revision))?;
    ensure!(warnings.contains(&"destination-unknown".to_owned()), "{warnings:?}");
    ensure!(warnings.contains(&"nested-left-out".to_owned()), "{warnings:?}");
    let after = fs::read_to_string(service.configuration())?;
    ensure!(
        after == format!("{before}\n[[backup]]\nname = \"home\"\nsource = {source_text:?}\nto = [\"Blue\"]\n"),
        "{after}"
    );
    ensure!(fs::metadata(service.configuration())?.permissions().mode() & 0o7777 == 0o640, "another mode");
    let rows = client.block_on(manager.proxy.list_backups(no_options()))?;
    ensure!(rows.len() == 1 && rows.iter().all(|row| row.name == "home"), "{rows:?}");
    ensure!(client.objects()?.contains_key(&*backup_path("home")), "it has no object");

    nothing_of_this_is_written(&manager, &values, [&revision, &second])?;
    ensure!(fs::read_to_string(service.configuration())? == after, "it was written");
    it_is_disabled_and_removed(&manager)?;
    ensure!(fs::read_to_string(service.configuration())? == before, "what was added is removed");
    Ok(())
}

fn nothing_of_this_is_written<'v>(
    manager: &Manager<'_>,
    values: &impl Fn() -> Values<'v>,
    [revision, second]: [&str; 2],
) -> Result<()> {
    let refused = manager.set("home", values(), &set_of(revision));
    ensure!(name_of(&refused) == Some(ErrorName::StaleRevision), "the first revision is old");
    let bad = manager.set("home", Values::from([("protect", "7".into())]), &set_of(second));
    let Err(Error::InvalidArgs(text)) = bad else { anyhow::bail!("{bad:?}") };
    ensure!(text.contains("butterdock.toml:") && text.contains("a time is a number and h, d or w"), "{text}");
    let create = SetOptions { create: Some(true), ..SetOptions::default() };
    ensure!(name_of(&manager.set("home", values(), &create)) == Some(ErrorName::Exists), "there is one");
    let program = Values::from([("on_event", vec!["/bin/sh", "-c", "id"].into())]);
    let drives = Values::from([("drives", Variant::from(program))]);
    let refused = manager.client.block_on(manager.proxy.set_defaults(drives, no_options()));
    let Err(Error::Named(ErrorName::NotAllowed, text)) = refused else { anyhow::bail!("{refused:?}") };
    ensure!(text.contains("drives.on_event can only be changed in") && text.contains("butterdock.toml"), "{text}");
    Ok(())
}

fn it_is_disabled_and_removed(manager: &Manager<'_>) -> Result<()> {
    let missing = Values::from([("source", "/nonexistent/source".into())]);
    let (warnings, _) = manager.set("home", missing, &SetOptions::default())?;
    ensure!(warnings.contains(&"source-unusable".to_owned()), "{warnings:?}");
    let off = Values::from([("enabled", false.into())]);
    let (warnings, revision) = manager.set("home", off, &SetOptions::default())?;
    let rows = manager.client.block_on(manager.proxy.list_backups(no_options()))?;
    ensure!(warnings.is_empty() && rows.iter().all(|row| row.enabled == Some(false) && !row.due), "{rows:?}");
    let options = RemoveOptions { revision: Some(revision) };
    manager.client.block_on(manager.proxy.remove_backup("home", options.to_options()))?;
    Ok(())
}

#[test]
fn a_volume_that_was_set_has_an_object_at_once() -> Result<()> {
    let service = Service::start()?;
    let client = service.client()?;
    let manager = Manager::new(&client)?;
    let below = service.path("tank").join("below");
    fs::create_dir(&below)?;
    let has = || Ok::<_, anyhow::Error>(client.objects()?.contains_key(&*volume_path("second")));
    let values = Values::from([("path", below.to_str().context("text")?.into())]);
    let (_, warnings) = client.block_on(manager.proxy.set_volume("second", values, no_options()))?;
    ensure!(warnings.is_empty() && has()?, "{warnings:?}");
    for system in ["/etc/systemd/system", "/usr/local/bin", "/root", "/"] {
        let values = Values::from([("path", system.into())]);
        let refused = client.block_on(manager.proxy.set_volume("third", values, no_options()));
        ensure!(matches!(refused, Err(Error::Named(ErrorName::NotAllowed, _))), "{system}: {refused:?}");
    }
    client.block_on(manager.proxy.remove_volume("second", no_options()))?;
    ensure!(!has()?, "it is published still");
    a_bind_mount_of_the_system_is_refused(&service, &manager)?;
    a_link_that_came_later_is_not_followed(&service, &manager)?;
    let options = SetOptions { reset: vec!["queue.max".to_owned()], ..SetOptions::default() };
    let values = Values::from([("max_jobs", 2_u32.into())]);
    client.block_on(manager.proxy.set_defaults(values, options.to_options()))?;
    let (settings, _) = manager.get()?;
    ensure!(settings.values.get("max_jobs").is_some_and(|jobs| i64::try_from(jobs) == Ok(2)), "{settings:?}");
    Ok(())
}

/// A directory deep in one of the system, under another name.
const DEEP: &str = "/etc/alternatives";

fn a_bind_mount_of_the_system_is_refused(service: &Service, manager: &Manager<'_>) -> Result<()> {
    let at = service.join("bound");
    fs::create_dir(&at)?;
    run(Command::new("mount").args(["--bind", DEEP]).arg(&at), butterdock_tests::TIMEOUT)?.success()?;
    let below = at.join("new");
    let values = Values::from([("path", below.to_str().context("text")?.into())]);
    let refused = manager.client.block_on(manager.proxy.set_volume("third", values, no_options()));
    butterdock_tests::unmount(&at)?;
    ensure!(matches!(refused, Err(Error::Named(ErrorName::NotAllowed, _))), "{refused:?}");
    Ok(())
}

/// A subvolume that is received may bring a link of root's.
fn a_link_that_came_later_is_not_followed(service: &Service, manager: &Manager<'_>) -> Result<()> {
    let above = service.path("tank").join("later");
    let path = above.join("link");
    let values = Values::from([("path", path.to_str().context("text")?.into())]);
    client_warns(manager.client.block_on(manager.proxy.set_volume("later", values, no_options())), "does not exist")?;
    fs::create_dir(&above)?;
    std::os::unix::fs::symlink(DEEP, &path)?;
    let listed = manager.client.call(&volume_path("later"), (VOLUME, "ListSubvolumes"), &no_options());
    let text = listed.err().context("it was listed")?.to_string();
    ensure!(text.contains("leads to a directory of the system"), "{text}");
    manager.client.block_on(manager.proxy.remove_volume("later", no_options()))?;
    Ok(())
}

fn client_warns(set: Result<(String, Vec<butterdock_dbus::Problem>), Error>, what: &str) -> Result<()> {
    let (_, warnings) = set?;
    ensure!(warnings.iter().any(|warning| warning.english.contains(what)), "{warnings:?}");
    Ok(())
}

#[test]
fn a_read_only_file_names_the_way_out() -> Result<()> {
    let mut service = Service::start()?;
    service.stop()?;
    let image = service.join("etc.img");
    let mut etc = Volume::make(&image, &service.join("etc"), &butterdock_tests::Layout::default())?;
    fs::create_dir(etc.join("butterdock"))?;
    let settings = etc.join("butterdock/butterdock.toml");
    let maker = fs::read_to_string(service.configuration())?;
    fs::write(service.configuration(), format!("{maker}settings = {settings:?}\n"))?;
    etc.unmount()?;
    etc.mount("ro")?;
    service.start_daemon()?;
    let client = service.client()?;
    let manager = Manager::new(&client)?;
    ensure!(!manager.get()?.0.writable, "it is read-only");
    let values = || Values::from([("source", "/home".into()), ("to", vec!["Blue"].into())]);
    let refused = manager.set("home", values(), &SetOptions::default());
    let Err(Error::Named(ErrorName::ReadOnly, text)) = refused else { anyhow::bail!("{refused:?}") };
    ensure!(text.contains("[paths] settings of /usr/lib/butterdock/butterdock.toml"), "{text}");
    // The maker's file names a place that can be written.
    let settings = service.join("var/settings.toml");
    fs::write(service.configuration(), format!("{maker}settings = {settings:?}\n"))?;
    manager.set("home", values(), &SetOptions::default())?;
    ensure!(fs::read_to_string(&settings)?.contains("name = \"home\""), "it is in the other file");
    // The maker's volume is removed by the administrator.
    client.block_on(manager.proxy.remove_volume("tank", no_options()))?;
    ensure!(fs::read_to_string(&settings)?.contains("enabled = false"), "the maker's file stays");
    ensure!(!client.objects()?.contains_key(&*volume_path("tank")), "it is published still");
    Ok(())
}
