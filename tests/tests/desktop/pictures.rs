//! Each message as a person sees it: the agent with notification servers that desktops have, on a screen. `make desktop-test` runs
//! these and keeps the pictures: look at them.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::interface::{BACKUP, DESTINATION, DRIVE, JOB};
use butterdock_dbus::path::{backup_path, drive_path};
use butterdock_dbus::{Problem, ProblemParams};
use butterdock_tests::{Bus, Sandbox, Wait};
use zbus::{ObjectPath, Variant};

use crate::desktop::Desktop;
use crate::fake_service::{FakeService, PASSPHRASE};
use crate::screen::{Screen, Server};

const JOB_PATH: &str = "/org/butterdock/Butterdock1/jobs/1";

/// A session on a screen, with a service of the test.
struct Scene {
    // In the order in which they have to end.
    screen: Screen,
    desktop: Desktop,
    service: FakeService,
    _system: Bus,
    _sandbox: Sandbox,
}

impl Scene {
    fn new(server: Server, language: &str) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let system = Bus::start(sandbox.path())?;
        let service = FakeService::start(&system)?;
        let mut desktop = Desktop::on(&sandbox, &system)?;
        let screen = Screen::new(&sandbox, &desktop, server)?;
        let mut command = desktop.command()?;
        screen.environment(&mut command).env("LC_ALL", language);
        let programs = sandbox.join("programs");
        fs::create_dir(&programs)?;
        symlink("/usr/bin/pinentry-gtk-2", programs.join("pinentry"))?;
        command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        desktop.start_with(command)?;
        Ok(Self { screen, desktop, service, _system: system, _sandbox: sandbox })
    }

    /// The drive with this label is attached.
    fn drive(&self, label: &str, more: &[(&str, Variant<'_>)]) -> Result<String> {
        let path = drive_path("b1").to_string();
        let mut values = vec![
            ("Label", label.into()),
            ("Model", "Samsung Portable SSD T7".into()),
            ("Serial", "S5SVNJ0R700212".into()),
            ("Size", 1_000_204_886_016_u64.into()),
            ("FilesystemType", "btrfs".into()),
            ("FilesystemUuid", "2f7c5bd8-2d6a-4f6c-8a1e-97a5f6a1c7d1".into()),
            ("Device", "sdb1".into()),
            ("Enrolled", true.into()),
            ("State", "busy".into()),
        ];
        values.extend(more.iter().map(|(name, value)| (*name, value.clone())));
        self.service.set(&path, DRIVE, &values)?;
        let backups = vec!["home"];
        self.service.set(&path, DESTINATION, &[("Name", label.into()), ("Backups", backups.into())])?;
        Ok(path)
    }

    /// The drive is attached and locked.
    fn locked(&self) -> Result<String> {
        let drive = self.drive("Blue", &[("State", "locked".into()), ("Encrypted", true.into())])?;
        self.service.set(&drive, DESTINATION, &[("Problems", problem("drive-locked", ProblemParams::default()))])?;
        Ok(drive)
    }

    /// Waits until the service got these calls.
    fn until_called(&self, expected: &[String]) -> Result<()> {
        let mut wait = Wait::new(&format!("the service got {expected:?}"));
        while self.service.calls() != expected {
            wait.pause(&format!("{:?}", self.service.calls()))?;
        }
        Ok(())
    }

    /// Presses the button of the message, and waits for the dialog.
    fn dialog(&self, name: &str) -> Result<()> {
        self.screen.command("dunstctl", &["action"])?;
        self.until_dialog(name)
    }

    /// Waits for the dialog, and points at it: without a window manager, the window below the pointer has the keys. It takes them
    /// when it is drawn.
    fn until_dialog(&self, name: &str) -> Result<()> {
        let mut wait = Wait::new("pinentry runs");
        let pid = loop {
            match self.desktop.dialogs()?.split_whitespace().next() {
                Some(pid) => break pid.to_owned(),
                None => wait.pause("it does not")?,
            }
        };
        let found = self.screen.command("xdotool", &["search", "--sync", "--onlyvisible", "--pid", &pid])?;
        let window = found.lines().last().context("a window")?;
        self.screen.command("xdotool", &["mousemove", "--window", window, "20", "20"])?;
        self.screen.keep_picture(name).map(drop)
    }

    /// A backup to the drive runs.
    fn job(&self, drive: &str, backup: &str) -> Result<()> {
        let end = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros();
        let end = u64::try_from(end)? + 11 * 60_000_000;
        let drive = ObjectPath::try_from(drive)?;
        let values = [
            ("Kind", "backup".into()),
            ("Drive", drive.clone().into()),
            ("Destination", drive.into()),
            ("BackupName", backup.into()),
            ("Trigger", "plug".into()),
            ("State", "running".into()),
            ("Progress", 0.42.into()),
            ("ProgressValid", true.into()),
            ("BytesReceived", 15_700_000_000_u64.into()),
            ("BytesTotal", 37_400_000_000_u64.into()),
            ("Rate", 33_000_000_u64.into()),
            ("ExpectedEndTime", end.into()),
            ("Cancelable", true.into()),
        ];
        self.service.set(JOB_PATH, JOB, &values)
    }
}

fn problem(code: &str, params: ProblemParams) -> Variant<'static> {
    vec![Problem { code: code.to_owned(), params, english: "It does not work.".to_owned() }].into()
}

fn backup_failed(reason: &str) -> Variant<'static> {
    let params = ProblemParams {
        backup: Some("home".to_owned()),
        reason: Some(reason.to_owned()),
        time: Some(7),
        ..ProblemParams::default()
    };
    problem("backup-failed", params)
}

/// Shows each message and keeps its picture.
pub(crate) fn all_messages(server: Server, language: &str, suffix: &str) -> Result<()> {
    let scene = |make: &dyn Fn(&Scene) -> Result<()>, name: &str| -> Result<()> {
        let scene = Scene::new(server, language)?;
        make(&scene)?;
        scene.screen.keep_picture(&format!("{name}{suffix}"))?;
        Ok(())
    };
    let running = |scene: &Scene| {
        let drive = scene.drive("Blue", &[])?;
        scene.job(&drive, "home")
    };
    scene(&running, "progress")?;
    scene(
        &|scene| {
            running(scene)?;
            scene.screen.keep_picture(&format!("progress{suffix}"))?;
            scene.service.set(JOB_PATH, JOB, &[("State", "succeeded".into())])?;
            scene.service.set(drive_path("b1").as_str(), DRIVE, &[("State", "safe".into())])
        },
        "safe",
    )?;
    let new = [("Enrolled", false.into()), ("State", "present".into())];
    scene(&|scene| scene.drive("Photos", &new).map(drop), "question")?;
    let empty = [new[0].clone(), new[1].clone(), ("FilesystemType", "".into()), ("FilesystemUuid", "".into())];
    scene(&|scene| scene.drive("", &empty).map(drop), "question-empty")?;
    scene(
        &|scene| {
            scene.drive("Blue", &[("State", "away".into())])?;
            let drive = drive_path("b1");
            let values = [
                ("Name", "home".into()),
                ("Enabled", true.into()),
                ("Overdue", true.into()),
                ("Destinations", vec![ObjectPath::from(drive)].into()),
            ];
            scene.service.set(backup_path("home").as_str(), BACKUP, &values)
        },
        "overdue",
    )?;
    let failed = |scene: &Scene| {
        let drive = scene.drive("Blue", &[("State", "safe".into())])?;
        let reason = "/home is not a subvolume: the backup needs one; make it one with “btrfs subvolume create”, or back up another folder";
        scene.service.set(&drive, DESTINATION, &[("Problems", backup_failed(reason))])
    };
    scene(&failed, "failed")?;
    scene(
        &|scene| {
            let drive = scene.drive("Blue", &[("State", "away".into())])?;
            let params = ProblemParams { backup: Some("home".to_owned()), ..ProblemParams::default() };
            scene.service.set(&drive, DESTINATION, &[("Problems", problem("backup-interrupted", params))])
        },
        "pulled",
    )?;
    scene(&|scene| scene.locked().map(drop), "locked")?;
    scene(
        &|scene| {
            let drive = scene.drive("<b>Blue</b>\u{202e}live & \n<img src=x>", &[])?;
            scene.job(&drive, "<u>home</u>")
        },
        "hostile",
    )?;
    scene(
        &|scene| {
            let drive = scene.drive(&"Wide".repeat(63), &[])?;
            scene.job(&drive, &"w".repeat(255))
        },
        "long",
    )
}

#[test]
fn dunst_shows_each_message() -> Result<()> {
    all_messages(Server::Dunst, "C.UTF-8", "")
}

#[test]
fn dunst_shows_each_message_in_german() -> Result<()> {
    all_messages(Server::Dunst, "de_DE.UTF-8", "-de")
}

#[test]
fn xfce_shows_each_message() -> Result<()> {
    all_messages(Server::Xfce, "C.UTF-8", "")
}

#[test]
fn dunst_has_the_icon_the_bar_and_the_button() -> Result<()> {
    let scene = Scene::new(Server::Dunst, "C.UTF-8")?;
    let drive = scene.drive("Blue", &[])?;
    scene.job(&drive, "home")?;
    scene.screen.keep_picture("button")?;
    scene.screen.command("dunstctl", &["action"])?;
    scene.until_called(&[format!("Cancel {JOB_PATH}")])?;
    scene.screen.command("dunstctl", &["close-all"])?;
    let history = scene.screen.command("dunstctl", &["history"])?;
    let words = history.split_whitespace().collect::<String>();
    let progress = words.split(r#""progress":"#).nth(1);
    ensure!(progress.is_some_and(|progress| progress.contains(r#""data":42}"#)), "{history}");
    ensure!(words.contains("butterdock.svg"), "{history}");
    Ok(())
}

#[test]
fn pinentry_asks_again_and_remembers_the_right_passphrase() -> Result<()> {
    let mut scene = Scene::new(Server::Dunst, "C.UTF-8")?;
    scene.screen.start_keyring(&scene.desktop)?;
    let drive = scene.locked()?;
    scene.screen.keep_picture("locked-button")?;
    scene.dialog("unlock")?;
    // The box is ticked: a wrong passphrase is remembered until the service refuses it.
    scene.screen.command("xdotool", &["type", "wrong"])?;
    scene.screen.command("xdotool", &["key", "alt+r", "Return"])?;
    let mut calls = vec![format!("Unlock {drive} wrong")];
    scene.until_called(&calls)?;
    scene.until_dialog("unlock-again")?;
    scene.screen.command("xdotool", &["key", "Escape"])?;
    scene.desktop.until_no_dialog()?;
    scene.dialog("unlock-later")?;
    scene.screen.command("xdotool", &["type", PASSPHRASE])?;
    scene.screen.command("xdotool", &["key", "alt+r", "Return"])?;
    calls.push(format!("Unlock {drive} {PASSPHRASE}"));
    scene.until_called(&calls)?;
    // Plugged in again.
    scene.service.set(&drive, DESTINATION, &[("Problems", Vec::<Problem>::new().into())])?;
    scene.service.set(&drive, DRIVE, &[("State", "away".into())])?;
    scene.locked()?;
    scene.screen.keep_picture("locked-again")?;
    scene.screen.command("dunstctl", &["action"])?;
    calls.push(format!("Unlock {drive} {PASSPHRASE}"));
    scene.until_called(&calls)?;
    let ended = scene.desktop.end()?;
    ensure!(!ended.err().contains("horse") && !ended.err().contains("wrong"), "{}", ended.err());
    Ok(())
}
