//! The passphrase of a locked drive: from a pinentry of the test to a service of the test, because a kernel without device-mapper
//! unlocks nothing.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use butterdock_dbus::names::interface::DRIVE;
use butterdock_dbus::names::{BUS_NAME, ROOT};
use butterdock_dbus::path::drive_path;
use butterdock_dbus::{Error, ErrorName, Problem, ProblemParams};
use butterdock_tests::{Bus, Client, Sandbox, Wait, wait_until};
use zbus::{OwnedFd, OwnedVariant, Variant, interface};

use crate::desktop::Desktop;
use crate::notification_server::NotificationServer;

const RIGHT: &str = "correct horse % battery";

/// A service with one locked drive.
struct LockedDrive {
    /// The secrets that it got.
    secrets: Arc<Mutex<Vec<String>>>,
}

#[interface(name = "org.butterdock.Butterdock1.Drive")]
impl LockedDrive {
    fn unlock(&self, secret: OwnedFd, _options: HashMap<String, OwnedVariant>) -> Result<(), Error> {
        let mut text = String::new();
        let mut pipe = File::from(std::os::fd::OwnedFd::from(secret));
        pipe.read_to_string(&mut text).map_err(|error| Error::new(ErrorName::Failed, error.to_string()))?;
        let is_right = text == RIGHT;
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        if is_right { Ok(()) } else { Err(Error::new(ErrorName::WrongPassphrase, "it does not open the drive")) }
    }

    #[zbus(property)]
    fn label(&self) -> String {
        "Blue".to_owned()
    }

    #[zbus(property)]
    fn enrolled(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn state(&self) -> String {
        "locked".to_owned()
    }

    #[zbus(property)]
    fn problems(&self) -> Vec<Problem> {
        let english = "it is locked; unlock it".to_owned();
        vec![Problem { code: "drive-locked".to_owned(), params: ProblemParams::default(), english }]
    }
}

/// A session with such a service, and what the test sees of it.
struct Locked {
    desktop: Desktop,
    server: NotificationServer,
    secrets: Arc<Mutex<Vec<String>>>,
    service: Client,
    _system: Bus,
    sandbox: Sandbox,
}

impl Locked {
    fn new() -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let system = Bus::start(sandbox.path())?;
        let secrets: Arc<Mutex<Vec<String>>> = Arc::default();
        let drive = LockedDrive { secrets: Arc::clone(&secrets) };
        let service = Client::serve(&system.address(), |builder| {
            builder.serve_at(ROOT, zbus::fdo::ObjectManager).serve_at(drive_path("b1"), drive).name(BUS_NAME)
        })?;
        let desktop = Desktop::on(&sandbox, &system)?;
        let server = NotificationServer::start(&desktop, "gnome-shell", &["actions", "body"])?;
        Ok(Self { desktop, server, secrets, service, _system: system, sandbox })
    }

    /// Starts the agent with a pinentry that gives these answers, one at each start; without any there is no pinentry.
    fn start(&mut self, answers: &[&str]) -> Result<()> {
        let folder = self.sandbox.join("programs");
        fs::create_dir(&folder)?;
        if !answers.is_empty() {
            write_pinentry(&folder, answers)?;
        }
        let mut command = self.desktop.command()?;
        // The program is started by its name, setpriv by its path.
        let path = format!("{}:/bin", folder.display());
        command.env("PATH", if answers.is_empty() { folder.display().to_string() } else { path });
        self.desktop.start_with(command)
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A program that speaks as pinentry does, and writes what it receives into `log`. It waits for ever where the answer is empty.
fn write_pinentry(folder: &Path, answers: &[&str]) -> Result<()> {
    for (number, answer) in (1..).zip(answers) {
        fs::write(folder.join(format!("answer-{number}")), answer)?;
    }
    let script = format!(
        "#!/bin/sh\nPATH=/bin\ncd {}\nnumber=$(($(cat number 2>/dev/null || echo 0) + 1))\necho $number >number\necho 'OK ready'\n\
         while read -r line; do\n  echo \"$line\" >>log\n  case $line in\n    GETPIN) cat answer-$number; [ -s answer-$number ] || read -r line ;;\n    BYE) exit ;;\n    \
         *) echo OK ;;\n  esac\ndone\n",
        folder.display()
    );
    let (new, program) = (folder.join("new"), folder.join("pinentry"));
    fs::write(&new, script)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    // By another process: a descriptor for writing that a concurrent fork inherits makes the program busy.
    ensure!(Command::new("cp").arg(&new).arg(&program).status()?.success(), "cp");
    Ok(())
}

#[test]
fn a_wrong_passphrase_is_asked_for_again() -> Result<()> {
    let mut locked = Locked::new()?;
    locked.start(&["D wrong\nOK\n", "D correct horse %25 battery\nOK\n"])?;
    let shown = locked.server.until_title("The drive is locked")?;
    ensure!(shown.actions.len() == 2 && shown.actions[1] == "Unlock…", "{shown:?}");
    locked.server.press(shown.id)?;
    let mut wait = Wait::new("the right passphrase is there");
    while locked.secrets().len() < 2 {
        wait.pause(&format!("{:?}", locked.secrets()))?;
    }
    ensure!(locked.secrets() == ["wrong", RIGHT], "{:?}", locked.secrets());
    let log = fs::read_to_string(locked.sandbox.join("programs/log"))?;
    ensure!(log.contains("SETDESC The passphrase of the backup drive Blue\n"), "{log}");
    ensure!(log.matches("SETERROR This passphrase does not open").count() == 1, "{log}");
    ensure!(locked.server.titles() == ["The drive is locked"], "{:?}", locked.server.titles());
    let ended = locked.desktop.end()?;
    ensure!(!ended.err().contains("horse") && !ended.err().contains("wrong"), "the log has a secret: {}", ended.err());
    Ok(())
}

#[test]
fn a_cancelled_dialog_is_the_end_of_it() -> Result<()> {
    let mut locked = Locked::new()?;
    locked.start(&["ERR 83886179 Operation cancelled\n", "D correct horse %25 battery\nOK\n"])?;
    let shown = locked.server.until_title("The drive is locked")?;
    locked.server.press(shown.id)?;
    let log = locked.sandbox.join("programs/log");
    let mut wait = Wait::new("the dialog is there");
    while !fs::read_to_string(&log).is_ok_and(|log| log.contains("GETPIN")) {
        wait.pause("it does not")?;
    }
    // The button works again when the dialog has ended.
    let mut wait = Wait::new("the second dialog");
    while locked.secrets().is_empty() {
        locked.server.press(shown.id)?;
        wait.pause("nothing")?;
    }
    ensure!(locked.secrets()[0] == RIGHT && locked.server.shown().len() == 1, "{:#?}", locked.server.shown());
    let log = fs::read_to_string(&log)?;
    ensure!(!log.contains("SETERROR"), "a cancelled dialog is no wrong passphrase: {log}");
    Ok(())
}

#[test]
fn a_dialog_ends_when_the_drive_is_unlocked_elsewhere() -> Result<()> {
    let mut locked = Locked::new()?;
    locked.start(&[""])?;
    let shown = locked.server.until_title("The drive is locked")?;
    locked.server.press(shown.id)?;
    wait_until("the dialog is there", || Ok(!locked.desktop.dialogs()?.is_empty()))?;
    let service = &locked.service;
    let state = HashMap::from([("State", Variant::from("unlocked"))]);
    let (properties, changed) = ("org.freedesktop.DBus.Properties", (DRIVE, state, Vec::<&str>::new()));
    let connection = service.connection();
    service.block_on(connection.emit_signal(
        None::<&str>,
        drive_path("b1"),
        properties,
        "PropertiesChanged",
        &changed,
    ))?;
    locked.desktop.until_no_dialog()?;
    ensure!(locked.server.titles() == ["The drive is locked"], "{:?}", locked.server.titles());
    ensure!(locked.secrets().is_empty(), "{:?}", locked.secrets());
    Ok(())
}

#[test]
fn without_pinentry_the_command_is_named() -> Result<()> {
    let mut locked = Locked::new()?;
    locked.start(&[])?;
    let shown = locked.server.until_title("The drive is locked")?;
    locked.server.press(shown.id)?;
    let failed = locked.server.until_title("That did not work")?;
    ensure!(failed.body.contains("butterdock unlock"), "{failed:?}");
    locked.desktop.until_said("no passphrase can be asked for", 1)?;
    // It waits until one is installed.
    write_pinentry(&locked.sandbox.join("programs"), &["D correct horse %25 battery\nOK\n"])?;
    locked.server.press(shown.id)?;
    wait_until("the passphrase is there", || Ok(locked.secrets() == [RIGHT]))
}
