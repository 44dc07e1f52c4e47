//! Each message as a person sees it: the agent with notification servers that desktops have, on a screen. `make desktop-test` runs
//! these and keeps the pictures: look at them.

use anyhow::{Result, ensure};
use butterdock_dbus::names::interface::{BACKUP, DESTINATION, DRIVE, JOB};
use butterdock_dbus::path::{backup_path, drive_path};
use butterdock_dbus::{Problem, ProblemParams};
use butterdock_tests::{Bus, Sandbox, Wait};
use zbus::{ObjectPath, Variant};

use crate::desktop::Desktop;
use crate::fake_service::FakeService;
use crate::screen::{Screen, Server};

const JOB_PATH: &str = "/org/butterdock/Butterdock1/jobs/1";

/// A session on a screen, with a service of the test.
struct Scene {
    // In the order in which they have to end.
    screen: Screen,
    _desktop: Desktop,
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
        command.env("LC_ALL", language);
        desktop.start_with(command)?;
        Ok(Self { screen, _desktop: desktop, service, _system: system, _sandbox: sandbox })
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
fn all_messages(server: Server, language: &str, suffix: &str) -> Result<()> {
    let scene = |make: &dyn Fn(&Scene) -> Result<()>, name: &str| -> Result<()> {
        let scene = Scene::new(server, language)?;
        make(&scene)?;
        scene.screen.picture(&format!("{name}{suffix}"))?;
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
            scene.screen.picture(&format!("progress{suffix}"))?;
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
    scene(
        &|scene| {
            let drive = scene.drive("Blue", &[("State", "locked".into()), ("Encrypted", true.into())])?;
            scene.service.set(&drive, DESTINATION, &[("Problems", problem("drive-locked", ProblemParams::default()))])
        },
        "locked",
    )?;
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
#[ignore = "needs a screen and the desktops' servers: make desktop-test"]
fn dunst_shows_each_message() -> Result<()> {
    all_messages(Server::Dunst, "C.UTF-8", "")
}

#[test]
#[ignore = "needs a screen and the desktops' servers: make desktop-test"]
fn dunst_shows_each_message_in_german() -> Result<()> {
    all_messages(Server::Dunst, "de_DE.UTF-8", "-de")
}

#[test]
#[ignore = "needs a screen and the desktops' servers: make desktop-test"]
fn xfce_shows_each_message() -> Result<()> {
    all_messages(Server::Xfce, "C.UTF-8", "")
}

#[test]
#[ignore = "needs a screen and the desktops' servers: make desktop-test"]
fn dunst_has_the_icon_the_bar_and_the_button() -> Result<()> {
    let scene = Scene::new(Server::Dunst, "C.UTF-8")?;
    let drive = scene.drive("Blue", &[])?;
    scene.job(&drive, "home")?;
    scene.screen.picture("button")?;
    scene.screen.command("dunstctl", &["action"])?;
    let mut wait = Wait::new("Stop is pressed");
    while scene.service.calls() != [format!("Cancel {JOB_PATH}")] {
        wait.pause(&format!("{:?}", scene.service.calls()))?;
    }
    scene.screen.command("dunstctl", &["close-all"])?;
    let history = scene.screen.command("dunstctl", &["history"])?;
    let words = history.split_whitespace().collect::<String>();
    let progress = words.split(r#""progress":"#).nth(1);
    ensure!(progress.is_some_and(|progress| progress.contains(r#""data":42}"#)), "{history}");
    ensure!(words.contains("butterdock.svg"), "{history}");
    Ok(())
}
