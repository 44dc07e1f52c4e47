//! The window as a person uses it with a screen reader: with the real service and a drive on a loop device, on a screen.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::{Disk, DriveFixture, Running, Sandbox, TIMEOUT, Wait, built_program, run, shipped, start};

use crate::desktop::Desktop;
use crate::notification_server::NotificationServer;
use crate::screen::{Screen, Server};

/// The name of the window on the session bus.
pub(crate) const WINDOW: &str = "org.butterdock.Window";

/// The path of the window's program, if it is not beside the others.
const PROGRAM: &str = "BUTTERDOCK_WINDOW";

/// The window on a screen. The fields are in the order in which they have to end.
#[derive(Debug)]
pub(crate) struct Shown {
    program: Running,
    pub(crate) screen: Screen,
    _desktop: Desktop,
}

impl Shown {
    /// Starts the window in this session.
    pub(crate) fn start(sandbox: &Sandbox, desktop: Desktop, arguments: &[&str]) -> Result<Self> {
        Self::with(sandbox, desktop, arguments, &[])
    }

    /// The same with more of the environment.
    pub(crate) fn with(
        sandbox: &Sandbox,
        desktop: Desktop,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let screen = Screen::new(sandbox, &desktop, Server::Accessibility)?;
        let program = std::env::var_os(PROGRAM).map(PathBuf::from);
        let program = program.map_or_else(|| built_program("butterdock-window"), Ok)?;
        ensure!(program.exists(), "{} is missing: `cargo build -p butterdock-window`", program.display());
        let mut command = Command::new("/usr/bin/setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(arguments);
        screen.environment(&mut command).env("BUTTERDOCK_BUS_ADDRESS", desktop.system_address());
        command
            .env("LC_ALL", "C.UTF-8")
            .env("GTK_A11Y", "atspi")
            .env("GDK_BACKEND", "x11")
            .env("GSK_RENDERER", "cairo");
        command.env("GSETTINGS_BACKEND", "memory").envs(environment.iter().copied()).stdin(Stdio::null());
        let mut program = start(&mut command)?;
        let mut wait = Wait::new("the window has its name");
        while !desktop.client.has_owner(WINDOW)? {
            ensure!(!program.has_ended()?, "the window ended: {}", program.err_so_far());
            wait.pause(&program.err_so_far())?;
        }
        Ok(Self { program, screen, _desktop: desktop })
    }

    /// Does something as a screen reader does it; what it prints.
    pub(crate) fn reader(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("/usr/bin/python3");
        command.args(["-W", "ignore"]).arg(shipped("tests/clients/window.py")).args(arguments);
        let done = run(self.screen.environment(&mut command), TIMEOUT)?.success();
        Ok(done.with_context(|| self.complaints())?.out())
    }

    /// Types with xdotool. Without a window manager, the window below the pointer has the keys.
    pub(crate) fn keys(&self, arguments: &[&str]) -> Result<()> {
        self.screen.command("xdotool", &[&["mousemove", "150", "40"], arguments].concat()).map(drop)
    }

    /// What it has complained of until now.
    pub(crate) fn complaints(&self) -> String {
        self.program.err_so_far()
    }
}

/// A drive that is not enrolled.
fn new_drive() -> Result<(DriveFixture, Disk)> {
    let fixture = DriveFixture::set()?;
    let image = fixture.image("a", "Blue")?;
    let disk = Disk::attach(&image)?;
    fixture.one("the drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
    Ok((fixture, disk))
}

#[test]
fn a_drive_is_enrolled_after_its_serial_number_was_shown() -> Result<()> {
    let (fixture, _disk) = new_drive()?;
    let shown = Shown::start(&fixture.sandbox, Desktop::new_on(&fixture)?, &[])?;
    shown.reader(&["shows", "New drive"])?;
    shown.reader(&["press", "Use for backups…: Blue"])?;
    shown.reader(&["shows", "Serial number"])?;
    let unnamed = shown.reader(&["unnamed"])?;
    ensure!(unnamed.is_empty(), "{unnamed}");
    ensure!(!fixture.one("the drive", |is| is.filesystem_type == "btrfs")?.properties.enrolled);
    shown.reader(&["press", "Enrol"])?;
    shown.reader(&["shows", "Can be unplugged"])?;
    let drive = fixture.one("the drive", |is| is.enrolled)?;
    ensure!(drive.properties.state == DriveState::Safe, "{drive:?}");
    ensure!(shown.complaints().is_empty(), "{}", shown.complaints());
    Ok(())
}

#[test]
fn a_service_that_is_away_is_said_and_followed_again() -> Result<()> {
    let (mut fixture, _disk) = new_drive()?;
    let shown = Shown::start(&fixture.sandbox, Desktop::new_on(&fixture)?, &[])?;
    shown.reader(&["shows", "New drive"])?;
    fixture.stop()?;
    shown.reader(&["shows", "The backup service does not run"])?;
    fixture.start()?;
    shown.reader(&["shows", "New drive"])?;
    Ok(())
}

#[test]
fn the_agents_question_opens_the_enrolment() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let mut desktop = Desktop::new_on(&fixture)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", &["actions", "body"])?;
    desktop.start_agent()?;
    let shown = Shown::start(&fixture.sandbox, desktop, &["--gapplication-service"])?;
    let _disk = Disk::attach(&fixture.image("a", "Blue")?)?;
    let question = server.until_title("Back up to this drive?")?;
    server.press(question.id)?;
    shown.reader(&["shows", "Use Blue for backups"])?;
    shown.reader(&["press", "Cancel"])?;
    ensure!(!fixture.one("the drive", |is| is.filesystem_type == "btrfs")?.properties.enrolled);
    Ok(())
}
