//! The window as a person sees it: light and dark, with large text, on a narrow screen and in German. `make desktop-test` runs these
//! and keeps the pictures: look at them.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use butterdock_dbus::names::interface::{DESTINATION, DRIVE, JOB};
use butterdock_dbus::path::drive_path;
use butterdock_dbus::{Problem, ProblemParams};
use butterdock_tests::{Bus, Sandbox, Wait};
use zbus::{ObjectPath, Variant};

use crate::desktop::Desktop;
use crate::fake_service::{FakeService, PASSPHRASE};
use crate::window::Shown;

const DAY: u64 = 24 * 3600 * 1_000_000;
const TB: u64 = 1_000_204_886_016;

/// The window with a service of the test.
struct Scene {
    // In the order in which they have to end.
    shown: Shown,
    service: FakeService,
    _system: Bus,
    _sandbox: Sandbox,
}

impl Scene {
    fn new(environment: &[(&str, &str)], drives: impl FnOnce(&FakeService) -> Result<()>) -> Result<Self> {
        Self::with_settings("", environment, drives)
    }

    /// With large text, as the settings of a desktop say it.
    fn large(environment: &[(&str, &str)], drives: impl FnOnce(&FakeService) -> Result<()>) -> Result<Self> {
        // The usual size is 11 points. The resolution would be that of the X server, whatever the settings say.
        Self::with_settings("gtk-font-name=Sans 16\n", environment, drives)
    }

    fn with_settings(
        settings: &str,
        environment: &[(&str, &str)],
        drives: impl FnOnce(&FakeService) -> Result<()>,
    ) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let system = Bus::start(sandbox.path())?;
        let service = FakeService::start(&system)?;
        drives(&service)?;
        let folder = sandbox.join("home/config/gtk-4.0");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("settings.ini"), format!("[Settings]\n{settings}"))?;
        let desktop = Desktop::on(&sandbox, &system)?;
        let shown = Shown::with(&sandbox, desktop, &[], environment)?;
        Ok(Self { shown, service, _system: system, _sandbox: sandbox })
    }

    /// Makes the window as wide as a telephone.
    fn narrow(&self) -> Result<()> {
        let found = self.shown.screen.command("xdotool", &["search", "--sync", "--onlyvisible", "--name", "."])?;
        let window = found.lines().last().unwrap_or_default().to_owned();
        self.shown.screen.command("xdotool", &["windowsize", "--sync", &window, "360", "700"]).map(drop)
    }
}

fn now() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?)
}

fn drive(service: &FakeService, id: &str, label: &str, state: &str, more: &[(&str, Variant<'_>)]) -> Result<String> {
    let path = drive_path(id).to_string();
    let mut values = vec![
        ("Label", label.into()),
        ("Model", "Samsung Portable SSD T7".into()),
        ("Serial", "S5SVNJ0R700212".into()),
        ("Size", TB.into()),
        ("FilesystemType", "btrfs".into()),
        ("Device", "sdb1".into()),
        ("Disk", "sdb".into()),
        ("Enrolled", true.into()),
        ("LastSeen", (now()? - 9 * DAY).into()),
        ("State", state.into()),
    ];
    values.extend(more.iter().map(|(name, value)| (*name, value.clone())));
    service.set(&path, DRIVE, &values)?;
    Ok(path)
}

fn destination(service: &FakeService, path: &str, name: &str, free: u64, problems: &[&str]) -> Result<()> {
    let problem = |code: &&str| Problem {
        code: (*code).to_owned(),
        params: ProblemParams { backup: Some("home".to_owned()), ..ProblemParams::default() },
        english: "It does not work.".to_owned(),
    };
    let values = [
        ("Name", name.into()),
        ("Kind", "drive".into()),
        ("Backups", vec!["home"].into()),
        ("Size", TB.into()),
        ("Free", free.into()),
        ("LastBackup", (now()? - 2 * DAY).into()),
        ("Problems", problems.iter().map(problem).collect::<Vec<_>>().into()),
    ];
    service.set(path, DESTINATION, &values)
}

/// One drive in each state that people see most.
fn drives(service: &FakeService) -> Result<()> {
    let blue = drive(service, "b1", "Blue", "busy", &[])?;
    destination(service, &blue, "Blue", TB / 3, &[])?;
    let path = ObjectPath::try_from(blue.as_str())?;
    let job = [
        ("Kind", "backup".into()),
        ("Drive", path.clone().into()),
        ("Destination", path.into()),
        ("BackupName", "home".into()),
        ("State", "running".into()),
        ("Progress", 0.42.into()),
        ("ProgressValid", true.into()),
        ("BytesTotal", 37_400_000_000_u64.into()),
        ("ExpectedEndTime", (now()? + 11 * 60_000_000).into()),
        ("Cancelable", true.into()),
    ];
    service.set("/org/butterdock/Butterdock1/jobs/1", JOB, &job)?;
    let red = drive(service, "r1", "Red", "locked", &[("Encrypted", true.into())])?;
    destination(service, &red, "Red", TB / 2, &["drive-locked"])?;
    let office = drive(service, "o1", "Office", "safe", &[])?;
    destination(service, &office, "Office", TB / 50, &["drive-full"])?;
    drive(service, "n1", "Photos", "present", &[("Enrolled", false.into())])?;
    let safe = drive(service, "s1", "Shelf", "away", &[])?;
    destination(service, &safe, "Shelf", TB / 5, &[])
}

#[test]
fn drives_are_shown_in_light_dark_german_and_large() -> Result<()> {
    for (name, environment) in [
        ("window-light", &[][..]),
        ("window-dark", &[("ADW_DEBUG_COLOR_SCHEME", "prefer-dark")]),
        ("window-german", &[("LC_ALL", "de_DE.UTF-8")]),
    ] {
        let scene = Scene::new(environment, drives)?;
        scene.shown.screen.keep_picture(name)?;
    }
    Scene::large(&[], drives)?.shown.screen.keep_picture("window-large").map(drop)
}

#[test]
fn the_window_fits_a_telephone() -> Result<()> {
    let scene = Scene::new(&[], drives)?;
    scene.narrow()?;
    scene.shown.screen.keep_picture("window-narrow")?;
    let scene = Scene::large(&[("LC_ALL", "de_DE.UTF-8")], drives)?;
    scene.narrow()?;
    scene.shown.screen.keep_picture("window-narrow-german-large").map(drop)
}

#[test]
fn the_enrolment_shows_the_drive() -> Result<()> {
    let scene = Scene::new(&[], drives)?;
    scene.shown.reader(&["press", "Use for backups…: Photos"])?;
    scene.shown.screen.keep_picture("window-enrol")?;
    let empty = [("Enrolled", false.into()), ("FilesystemType", "".into())];
    let scene = Scene::new(&[], |service| drive(service, "n1", "Photos", "present", &empty).map(drop))?;
    scene.shown.reader(&["press", "Use for backups…: Photos"])?;
    scene.shown.reader(&["shows", "Type the serial number, to erase this drive"])?;
    scene.shown.screen.keep_picture("window-erase")?;
    let locked = [("Enrolled", false.into()), ("FilesystemType", "".into()), ("Encrypted", true.into())];
    let scene = Scene::new(&[], |service| drive(service, "n1", "", "locked", &locked).map(drop))?;
    scene.shown.reader(&["press", "Use for backups…: Samsung Portable SSD T7"])?;
    scene.shown.reader(&["shows", "Unlock it by itself"])?;
    scene.shown.screen.keep_picture("window-enrol-encrypted").map(drop)
}

#[test]
fn a_passphrase_unlocks_a_drive_and_is_asked_for_again() -> Result<()> {
    let scene = Scene::new(&[], drives)?;
    scene.shown.reader(&["press", "Unlock…: Red"])?;
    scene.shown.reader(&["shows", "The passphrase of the backup drive Red"])?;
    scene.shown.keys(&["type", "wrong"])?;
    scene.shown.keys(&["key", "Return"])?;
    scene.shown.reader(&["shows", "This passphrase does not open the drive"])?;
    scene.shown.screen.keep_picture("window-unlock-again")?;
    scene.shown.keys(&["type", PASSPHRASE])?;
    scene.shown.keys(&["key", "Return"])?;
    let path = drive_path("r1");
    let expected = [format!("Unlock {path} wrong"), format!("Unlock {path} {PASSPHRASE}")];
    let mut wait = Wait::new("the drive is unlocked");
    while scene.service.calls() != expected {
        wait.pause(&format!("{:?}", scene.service.calls()))?;
    }
    let tree = scene.shown.reader(&["tree"])?;
    ensure!(!tree.contains("horse") && !scene.shown.complaints().contains("horse"), "{tree}");
    Ok(())
}

#[test]
fn hostile_labels_are_escaped() -> Result<()> {
    let label = format!("<b>Blue</b>\u{202e}live & \n<img src=x>{}", "w".repeat(220));
    let scene = Scene::new(&[], |service| {
        let path = drive(service, "b1", &label, "present", &[])?;
        destination(service, &path, &label, TB / 2, &["drive-full"])?;
        let new = [("Enrolled", false.into()), ("Serial", "<i>1</i>\u{202e}".into()), ("FilesystemType", "<u>".into())];
        drive(service, "n1", &label, "present", &new).map(drop)
    })?;
    scene.shown.reader(&["shows", "<b>Blue</b>\u{fffd}live &  <img src=x>ww"])?;
    scene.narrow()?;
    scene.shown.screen.keep_picture("window-hostile")?;
    let tree = scene.shown.reader(&["tree"])?;
    let named = tree.lines().find_map(|line| line.strip_prefix("push button 'Use for backups…: ")).map(str::to_owned);
    let named = named.map(|line| format!("Use for backups…: {}", line.trim_end_matches('\'')));
    ensure!(named.is_some(), "{tree}");
    scene.shown.reader(&["press", &named.unwrap_or_default()])?;
    scene.shown.reader(&["shows", "<i>1</i>\u{fffd}"])?;
    scene.shown.screen.keep_picture("window-hostile-enrol")?;
    ensure!(scene.shown.complaints().is_empty(), "{}", scene.shown.complaints());
    Ok(())
}
