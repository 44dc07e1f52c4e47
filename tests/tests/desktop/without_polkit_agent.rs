//! A session in which no program can ask for a password of an administrator.

use anyhow::{Result, ensure};
use butterdock_tests::{Disk, DriveFixture, Polkit, Rules, as_nobody};

use crate::desktop::Desktop;
use crate::notification_server::NotificationServer;

#[test]
fn without_a_polkit_agent_the_log_says_so_and_the_agent_waits() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let polkit = Polkit::start(&fixture.sandbox, &fixture.bus, &Rules::None)?;
    let mut desktop = Desktop::on(&fixture.sandbox, &fixture.bus)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", &["actions", "body"])?;
    let command = as_nobody(&desktop.command()?);
    desktop.start_with(command)?;
    let _disk = Disk::attach(&fixture.image("a", "Blue")?)?;
    let question = server.until_title("Back up to this drive?")?;
    server.press(question.id)?;
    let failed = server.until_title("That did not work")?;
    ensure!(failed.body == "You may not do this. Ask an administrator.", "{failed:?}");
    desktop.until_said("no polkit agent runs in your session", 1)?;
    // An administrator agrees.
    drop(polkit);
    let _polkit = Polkit::start(&fixture.sandbox, &fixture.bus, &Rules::Allow)?;
    server.press(question.id)?;
    fixture.one("enrolled", |is| is.enrolled)?;
    server.until_closed(question.id)
}
