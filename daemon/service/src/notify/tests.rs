//! The whole way of a notification, with a program of the test.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use butterdock_net_protocol::{Cause, Delivery, Line, Order};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::channel::MOST;
use super::{NetProgram, Notifications, NotifyFailure, NotifyStatus, SendingParts};
use crate::blocking::local;
use crate::clock::{Clock, Reading};
use crate::config::{NotifyChannel, NotifyEvent, NotifyRule, VolumeName};
use crate::hooks::{Event, Kind};
use crate::supervisor::Supervisor;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the program is ordered, and how each order ends; without more ends it is delivered.
#[derive(Debug, Default)]
struct Program {
    ordered: Mutex<Vec<String>>,
    ends: Mutex<VecDeque<NotifyFailure>>,
    never: Mutex<Option<NotifyFailure>>,
}

impl NetProgram for Program {
    fn carry_out(&self, order: &Order) -> Result<(), NotifyFailure> {
        let Delivery::Post(post) = &order.delivery else { return Ok(()) };
        lock(&self.ordered).push(post.body.clone());
        if let Some(failure) = lock(&self.never).clone() {
            return Err(failure);
        }
        lock(&self.ends).pop_front().map_or(Ok(()), Err)
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Program {
    fn fails(&self, failures: impl IntoIterator<Item = Cause>) {
        lock(&self.ends).extend(failures.into_iter().map(NotifyFailure::Reported));
    }

    /// The backups of the orders.
    fn ordered(&self) -> Vec<String> {
        let body = |text: &String| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        let name = |text| body(text)["backup"].as_str().expect("a name").to_owned();
        lock(&self.ordered).iter().map(name).collect()
    }

    fn ids(&self) -> Vec<String> {
        let body = |text: &String| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        lock(&self.ordered).iter().map(|text| body(text)["id"].to_string()).collect()
    }
}

/// The notifications of one service.
struct Fixture {
    supervisor: Supervisor,
    notifications: Notifications,
    tell: mpsc::Sender<Event>,
}

impl Fixture {
    fn start(state: &Path, program: &Arc<Program>, clock: &Clock, rules: Vec<NotifyRule>) -> Self {
        let program: Arc<dyn NetProgram> = Arc::<Program>::clone(program);
        let (state, clock, machine) = (state.to_owned(), clock.clone(), "nas".to_owned());
        let (notifications, tell, sending) = Notifications::new(SendingParts { program, state, clock, machine });
        let supervisor = Supervisor::new();
        supervisor.start("sends notifications", |heartbeat| sending.run(rules, heartbeat));
        Self { supervisor, notifications, tell }
    }

    async fn fail(&self, backup: &str) {
        let event = Event { backup: backup.to_owned(), ..Event::of(Kind::BackupFailed, "7-7", "Blue") };
        self.tell.send(event).await.expect("it runs");
    }

    /// Waits until the one channel is so.
    async fn until(&self, is: impl Fn(&NotifyStatus) -> bool) -> NotifyStatus {
        let mut states = self.notifications.states();
        let found = states.wait_for(|states| states.first().is_some_and(&is));
        timeout(30 * DAY, found).await.expect("in time").expect("it runs").first().cloned().expect("one")
    }
}

fn rule(name: &str) -> NotifyRule {
    let url = "https://example.org/hook".to_owned().try_into().expect("a URL");
    NotifyRule {
        name: VolumeName::try_from(name.to_owned()).expect("a name"),
        channel: NotifyChannel::Webhook { url, token: None },
        events: vec![NotifyEvent::BackupFailed],
        backups: Vec::new(),
        ca: None,
    }
}

/// Wall time that goes with the paused time of the test.
fn clock() -> Clock {
    let start = Instant::now();
    let wall = move || 1_700_000_000 + i64::try_from(start.elapsed().as_secs()).expect("small");
    Clock::of(move || Reading { wall: wall(), boot: 0, boot_id: Uuid::nil(), synchronised: Some(true) })
}

fn later() -> Cause {
    Cause::Later(500, Line::of("secret words"))
}

#[tokio::test(start_paused = true)]
async fn a_failed_notification_is_repeated_with_backoff_and_delivered_once() {
    let state = tempfile::tempdir().expect("a folder");
    let (program, clock) = (Arc::new(Program::default()), clock());
    program.fails([later(), Cause::Timeout, Cause::Timeout]);
    let fixture = Fixture::start(state.path(), &program, &clock, vec![rule("hook")]);
    let start = Instant::now();
    fixture.fail("home").await;
    let failing = fixture.until(|one| one.problem.is_some()).await.problem.expect("a problem");
    assert_eq!((failing.failure.word(), failing.attempts), ("later", 1));
    assert!(!failing.sentence().contains("secret"), "{}", failing.sentence());
    let status = fixture.until(|one| one.last_delivered.is_some()).await;
    assert_eq!((status.queued, status.dropped, status.problem), (0, 0, None));
    // After 1, 5 and 15 minutes.
    let took = start.elapsed().as_secs();
    assert!((21 * 60..22 * 60).contains(&took), "{took} s");
    let ids = program.ids();
    assert!(ids.len() == 4 && ids.iter().all(|id| *id == ids[0]), "the same id each time: {ids:?}");
    sleep(DAY).await;
    assert_eq!(program.ids().len(), 4, "once");
}

#[tokio::test(start_paused = true)]
async fn a_restart_between_attempts_keeps_the_queue_and_its_pace() {
    let state = tempfile::tempdir().expect("a folder");
    let (program, clock) = (Arc::new(Program::default()), clock());
    program.fails([later(), later()]);
    let fixture = Fixture::start(state.path(), &program, &clock, vec![rule("hook")]);
    fixture.fail("home").await;
    fixture.fail("etc").await;
    fixture.until(|one| one.queued == 2 && one.problem.as_ref().is_some_and(|problem| problem.attempts == 2)).await;
    drop(fixture);
    let fixture = Fixture::start(state.path(), &program, &clock, vec![rule("hook")]);
    fixture.until(|one| one.queued == 2).await;
    sleep(Duration::from_secs(200)).await;
    assert_eq!(program.ordered(), ["home", "home"], "the third attempt comes 5 minutes after the second");
    fixture.until(|one| one.queued == 0).await;
    assert_eq!(program.ordered(), ["home", "home", "home", "etc"]);
    drop(fixture);
    let fixture = Fixture::start(state.path(), &program, &clock, vec![rule("hook")]);
    fixture.until(|one| one.queued == 0).await;
    sleep(DAY).await;
    assert_eq!(program.ordered().len(), 4, "nothing is sent twice");
    assert!(fixture.supervisor.all_answer().await);
}

/// Waits for this number of files: a thread removes them.
async fn until_there_are(expected: usize, files: impl Fn() -> usize) {
    for _ in 0..10_000 {
        if files() == expected {
            return;
        }
        local(|| std::thread::sleep(Duration::from_millis(1))).await.expect("slept");
    }
    panic!("{} files, not {expected}", files());
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_bounded_and_the_oldest_are_dropped() {
    let state = tempfile::tempdir().expect("a folder");
    let (program, clock) = (Arc::new(Program::default()), clock());
    *lock(&program.never) = Some(NotifyFailure::Reported(Cause::Timeout));
    let fixture = Fixture::start(state.path(), &program, &clock, vec![rule("hook")]);
    for number in 0..3 * MOST {
        fixture.fail(&number.to_string()).await;
    }
    let most = u64::try_from(MOST).expect("small");
    fixture.until(|one| one.queued == most && one.dropped == 2 * most).await;
    let files = || std::fs::read_dir(state.path().join("notifications")).expect("listed").count();
    // The service counts those that it drops before it removes their files.
    until_there_are(MOST, files).await;
    *lock(&program.never) = None;
    fixture.until(|one| one.queued == 0).await;
    let ordered = program.ordered();
    assert_eq!(ordered.last().map(String::as_str), Some("149"));
    until_there_are(0, files).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_dropped() {
    let state = tempfile::tempdir().expect("a folder");
    let (program, clock) = (Arc::new(Program::default()), clock());
    *lock(&program.never) = Some(NotifyFailure::Reported(Cause::Timeout));
    let fixture = Fixture::start(state.path(), &program, &clock, vec![rule("hook")]);
    let start = Instant::now();
    fixture.fail("home").await;
    let status = fixture.until(|one| one.dropped == 1).await;
    assert!(start.elapsed() > 7 * DAY && start.elapsed() < 8 * DAY, "{:?}", start.elapsed());
    assert!(status.queued == 0 && status.problem.is_some(), "the channel still does not work");
    // Attempts are rare by then.
    assert!(program.ordered().len() < 70, "{}", program.ordered().len());
}

#[tokio::test(start_paused = true)]
async fn a_test_says_what_happened_and_ends_the_problem() {
    let state = tempfile::tempdir().expect("a folder");
    let (program, clock) = (Arc::new(Program::default()), clock());
    program.fails([later(), Cause::Tls(Line::of("expired"))]);
    let fixture = Fixture::start(state.path(), &program, &clock, vec![rule("hook")]);
    fixture.fail("home").await;
    fixture.until(|one| one.problem.is_some()).await;
    let failed = fixture.notifications.test("hook").await.expect("it is configured").expect_err("TLS fails");
    assert!(failed.word() == "tls" && failed.details().ends_with("(expired)"), "{}", failed.details());
    assert_eq!(fixture.notifications.test("other").await, None);
    let start = Instant::now();
    assert_eq!(fixture.notifications.test("hook").await, Some(Ok(())));
    fixture.until(|one| one.problem.is_none() && one.queued == 0).await;
    assert!(start.elapsed() < Duration::from_secs(5), "what waits is sent at once: {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn another_configuration_is_used_at_once() {
    let state = tempfile::tempdir().expect("a folder");
    let (program, clock) = (Arc::new(Program::default()), clock());
    program.fails([later(), later(), later(), later()]);
    let fixture = Fixture::start(state.path(), &program, &clock, vec![rule("hook")]);
    fixture.fail("home").await;
    fixture.until(|one| one.problem.as_ref().is_some_and(|problem| problem.attempts == 4)).await;
    let start = Instant::now();
    let other = NotifyRule { events: vec![NotifyEvent::BackupFailed, NotifyEvent::Full], ..rule("hook") };
    fixture.notifications.configured(vec![other]);
    fixture.until(|one| one.queued == 0 && one.problem.is_none()).await;
    assert!(start.elapsed() < HOUR / 60, "{:?}", start.elapsed());
    *lock(&program.never) = Some(NotifyFailure::Reported(Cause::Timeout));
    fixture.fail("etc").await;
    fixture.until(|one| one.queued == 1).await;
    fixture.notifications.configured(vec![rule("other")]);
    let status = fixture.until(|one| one.name == "other").await;
    assert_eq!((status.queued, status.problem), (0, None));
    until_there_are(0, || std::fs::read_dir(state.path().join("notifications")).expect("listed").count()).await;
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_record_does_not_stop_the_others() {
    let state = tempfile::tempdir().expect("a folder");
    let (program, clock) = (Arc::new(Program::default()), clock());
    *lock(&program.never) = Some(NotifyFailure::Reported(Cause::Timeout));
    let fixture = Fixture::start(state.path(), &program, &clock, vec![rule("hook")]);
    fixture.fail("home").await;
    fixture.until(|one| one.problem.is_some()).await;
    drop(fixture);
    std::fs::write(state.path().join("notifications").join(format!("{}.json", Uuid::nil())), "{").expect("written");
    *lock(&program.never) = None;
    let fixture = Fixture::start(state.path(), &program, &clock, vec![rule("hook")]);
    fixture.until(|one| one.last_delivered.is_some()).await;
    assert_eq!(program.ordered(), ["home", "home"]);
}
