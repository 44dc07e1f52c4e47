//! The methods about notifications of the manager.

use butterdock_dbus::names::interface::MANAGER;
use butterdock_dbus::{Error, NotificationChannel, NotificationTest, Problem, ProblemParams};
use butterdock_service::{NotifyProblem, NotifyStatus};
use zbus::message::Header;

use super::authority::Question;
use super::mapping::ForCaller as _;
use super::server::BusServer;

/// `ListNotifications`.
pub(super) async fn list(server: &BusServer, header: &Header<'_>) -> Result<Vec<NotificationChannel>, Error> {
    server.authority.allow(header, &Question::new(MANAGER, "ListNotifications")).await?;
    let states = server.service.notifications().borrow().clone();
    Ok(states.into_iter().map(channel).collect())
}

/// `TestNotification`.
pub(super) async fn test(server: &BusServer, header: &Header<'_>, name: &str) -> Result<NotificationTest, Error> {
    server.authority.allow(header, &Question::new(MANAGER, "TestNotification")).await?;
    let sent = server.service.test_notification(name).await.for_caller()?;
    Ok(match sent {
        Ok(()) => NotificationTest { delivered: true, ..NotificationTest::default() },
        Err(failure) => NotificationTest {
            delivered: false,
            cause: Some(failure.word().to_owned()),
            message: Some(failure.details()),
        },
    })
}

fn channel(status: NotifyStatus) -> NotificationChannel {
    let NotifyStatus { name, kind, queued, dropped, last_delivered, problem } = status;
    let problems = problem.map(|one| vec![of(&one)]);
    NotificationChannel { name, kind: kind.to_owned(), queued, dropped, last_delivered, problems }
}

/// All users may read it, so it has no words of the server, in which there may be addresses.
fn of(problem: &NotifyProblem) -> Problem {
    let NotifyProblem { channel, failure, attempts, time } = problem;
    let params = ProblemParams {
        channel: Some(channel.clone()),
        cause: Some(failure.word().to_owned()),
        count: Some(*attempts),
        time: Some(*time),
        ..ProblemParams::default()
    };
    Problem { code: NotifyProblem::CODE.to_owned(), params, english: problem.sentence() }
}
