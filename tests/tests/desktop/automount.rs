//! A drive that the desktop mounts the moment it is plugged in: the agent asks about it, and the desktop never mounts it again.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::{Disk, DriveFixture, Sandbox, as_nobody, is_mounted, snapshot, start, wait_until};

use crate::automounter::{Automounter, is_ignored, mount_of};
use crate::desktop::Desktop;
use crate::notification_server::NotificationServer;

const QUESTION: &str = "Back up to this drive?";
const SAFE: &str = "Blue can be unplugged";

/// A service with a backup to the drive Blue, which is not enrolled.
fn fixture() -> Result<DriveFixture> {
    let sandbox = Sandbox::new()?;
    let pool = sandbox.plain_volume("pool")?;
    let source = pool.join("home");
    snapshot::create(&source)?;
    fs::write(source.join("letter"), "dear reader")?;
    // The volume ends with the sandbox.
    std::mem::forget(pool);
    let backup = format!("[[backup]]\nname = \"home\"\nsource = {source:?}\nto = [\"Blue\"]\nschedule = \"on-plug\"\n");
    DriveFixture::with(sandbox, &format!("on_finish = \"unmount\"\n\n{backup}"))
}

#[test]
fn a_drive_that_the_desktop_mounted_is_enrolled_and_left_alone_then() -> Result<()> {
    let fixture = fixture()?;
    let mut desktop = Desktop::on(&fixture.sandbox, &fixture.bus)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", &["actions", "body"])?;
    let automounter = Automounter::start(&fixture, &desktop)?;
    let command = as_nobody(&desktop.command()?);
    desktop.start_with(command)?;
    let (image, other) = (fixture.image("a", "Blue")?, fixture.image("b", "Red")?);
    let disk = Disk::attach(&image)?;
    let mount = mount_of("Blue");
    automounter.mounts(&mount)?;
    let question = server.until_title(QUESTION)?;

    // A program of the user has its folder there.
    let mut sleep = as_nobody(Command::new("sleep").arg("infinity"));
    let program = start(sleep.current_dir(&mount))?;
    server.press(question.id)?;
    let failed = server.until_title("That did not work")?;
    ensure!(failed.body.contains(&format!("sleep ({})", program.id())), "{failed:?}");
    ensure!(is_mounted(&disk.name())?, "it was unmounted under a program");
    drop(program);

    server.press(question.id)?;
    let safe = server.until_title(SAFE)?;
    ensure!(safe.body.contains("home"), "{:?}", server.shown());
    let drive = fixture.one("enrolled", |is| is.enrolled && is.state == DriveState::Safe)?;
    ensure!(drive.properties.last_backup > 0, "{drive:?}");
    wait_until("udisks has removed the folder of the mount", || Ok(!mount.exists()))?;

    drop(disk);
    server.until_closed(safe.id)?;
    let disk = Disk::attach(&image)?;
    server.until_title(SAFE)?;
    is_ignored(&fixture.client, &disk.name())?;
    // It still mounts others.
    let _other = Disk::attach(&other)?;
    let (first, others) = (mount_of("Blue"), mount_of("Red"));
    automounter.mounts(&others)?;
    ensure!(automounter.mounted() == [first, others], "{:?}", automounter.mounted());
    Ok(())
}
