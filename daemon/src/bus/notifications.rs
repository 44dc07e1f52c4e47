//! The methods and the property about notifications of the manager.

use std::collections::HashMap;
use std::sync::Arc;

use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::MANAGER;
use butterdock_dbus::{Error, NotificationChannel, NotificationTest, Problem, ProblemParams};
use butterdock_service::{NotifyProblem, NotifyStatus};
use tokio::sync::watch;
use tokio::time::sleep;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;

use super::authority::Question;
use super::mapping::ForCaller as _;
use super::object_publisher::{GAP, emit};
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

/// `NotificationProblems`.
pub(super) fn problems(states: &[NotifyStatus]) -> Vec<Problem> {
    states.iter().filter_map(|status| status.problem.as_ref()).map(of).collect()
}

/// Publishes the changes of `NotificationProblems`, until the service ends; `before` is what it was at the latest when the service took
/// its name.
pub(super) async fn follow_problems(
    server: Arc<BusServer>,
    mut states: watch::Receiver<Vec<NotifyStatus>>,
    mut before: Vec<Problem>,
) {
    let Ok(emitter) = SignalEmitter::new(&server.connection, ROOT) else { return };
    while states.changed().await.is_ok() {
        let now = problems(&states.borrow_and_update());
        if now == before {
            continue;
        }
        let changes = HashMap::from([("NotificationProblems", now.clone().into())]);
        if let Err(error) = emit(&emitter, MANAGER, changes).await {
            tracing::debug!("cannot publish the problems of notifications on the bus: {error}");
        }
        before = now;
        sleep(GAP).await;
    }
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
