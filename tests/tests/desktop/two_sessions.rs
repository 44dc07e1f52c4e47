//! Two people, each with a session and an agent.

use anyhow::{Result, ensure};
use butterdock_tests::{Disk, DriveFixture, Polkit, Rules, as_user};

use crate::desktop::Desktop;
use crate::notification_server::NotificationServer;

const QUESTION: &str = "Back up to this drive?";

/// A session of this user, whom the bus knows, with an agent.
fn session(fixture: &DriveFixture, uid: u32) -> Result<(Desktop, NotificationServer)> {
    let mut desktop = Desktop::on(&fixture.sandbox, &fixture.bus)?;
    let server = NotificationServer::start(&desktop, "gnome-shell", &["actions", "body"])?;
    let mut command = as_user(uid, &desktop.command()?);
    command.env("XDG_STATE_HOME", fixture.sandbox.join(&format!("state-{uid}")));
    desktop.start_with(command)?;
    Ok((desktop, server))
}

#[test]
fn two_people_are_asked_and_one_answer_is_enough() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let _polkit = Polkit::start(&fixture.sandbox, &fixture.bus, &Rules::Allow)?;
    let (_first, at_first) = session(&fixture, 65534)?;
    let (_second, at_second) = session(&fixture, 1)?;
    let _disk = Disk::attach(&fixture.image("a", "Blue")?)?;
    let (asked, also) = (at_first.until_title(QUESTION)?, at_second.until_title(QUESTION)?);
    at_second.press(also.id)?;
    at_first.until_closed(asked.id)?;
    at_second.until_closed(also.id)?;
    fixture.one("enrolled", |is| is.enrolled)?;
    let failed = |server: &NotificationServer| server.titles().iter().any(|title| title == "That did not work");
    ensure!(!failed(&at_first) && !failed(&at_second), "{:?} {:?}", at_first.shown(), at_second.shown());
    Ok(())
}
