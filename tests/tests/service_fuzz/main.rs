//! Every method of the live introspection, called with random arguments of the right signature.
//!
//! The numbers are the same in every run; a failure tells its seed, and `BUTTERDOCK_SEED` repeats or changes it.

mod arguments;
mod drives;
mod methods;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::authority::TABLE;
use butterdock_dbus::names::{BUS_NAME, ERROR_PREFIX, interface};
use butterdock_dbus::{ErrorName, INVALID_ARGS, JobState, SnapshotRow};
use butterdock_tests::trees::Random;
use butterdock_tests::{Client, Feed, Finished, Load, Sandbox, Service, Setup, names, rounds, wait_until};
use zbus::{DBusError as _, Message};

use crate::arguments::Arguments;
use crate::drives::Drives;
use crate::methods::{Method, walk};

/// The objects are listed again after so many calls: jobs come and go.
const ROUND: u64 = 50;
/// Calls are drawn until all that is wanted has come, at most so many times as many.
const MOST_TIMES: u64 = 20;
const VOLUMES: [&str; 2] = ["tank", "pool"];
/// Every method of the service has to be answered at least once, and refused with `InvalidArgs`; these get another answer here.
const OTHERWISE: &[(&str, &str, &str)] = &[
    // The drives are not encrypted.
    (interface::DRIVE, "Unlock", "Failed"),
    // The size that formats a drive is not drawn.
    (interface::DRIVE, "EnrolEncrypted", "InvalidArgs"),
    // What the other calls need stays configured.
    (interface::MANAGER, "RemoveBackup", "NotFound"),
    (interface::MANAGER, "RemoveVolume", "NotFound"),
    (interface::MANAGER, "RemoveDestination", "NotFound"),
    // No destination and no channel is configured.
    (interface::MANAGER, "SetDestination", "InvalidArgs"),
    (interface::MANAGER, "TestNotification", "NotFound"),
];

#[test]
fn random_arguments_get_an_answer_or_documented_error() -> Result<()> {
    let seed = std::env::var("BUTTERDOCK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    fuzz(seed).with_context(|| format!("with BUTTERDOCK_SEED={seed}"))
}

fn fuzz(seed: u64) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let mut drives = Drives::new(&sandbox)?;
    let settings = format!("max_jobs = 4\n[queue]\nmax = 30\nmax_per_user = 30\n{}", Drives::configuration(&sandbox));
    let mut fixture =
        Service::in_sandbox(sandbox, &Setup { volumes: &VOLUMES, settings: &settings, ..Setup::default() })?;
    let called = calls(&mut fixture, &mut drives, seed);
    // It unmounts the drives, also where something was wrong.
    let stopped = fixture.stop();
    called.with_context(|| stopped.as_ref().map(Finished::err).unwrap_or_default())?;
    drives.are_unmounted(&stopped?.success()?.err())
}

fn calls(fixture: &mut Service, drives: &mut Drives, seed: u64) -> Result<()> {
    let client = fixture.client()?;
    let mut random = Random::new(seed);
    let mut arguments = Arguments::new(fixture)?;
    drives.plug(fixture, &client)?;
    let mut running = Running::start(&client)?;
    // Those of an interface of which no object is there are missing at the end.
    let mut wanted: BTreeSet<String> = TABLE.iter().flat_map(|row| all_of(row.interface, row.method)).collect();
    let mut methods = Vec::new();
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let least = rounds(3000, 10_000);
    for number in 0..least * MOST_TIMES {
        // A run with refused calls only would test nothing of the methods: it continues until each outcome has occurred.
        if number >= least && missing(&wanted, &outcomes).is_empty() {
            break;
        }
        if number % ROUND == 0 {
            running.look(&client)?;
            drives.look(&client)?;
            methods = by_name(walk(&client)?);
            wanted.extend(methods.iter().flatten().flat_map(|method| all_of(&method.interface, &method.name)));
        }
        // The method first, then one of the objects that have it: jobs are many, and would draw nearly every call.
        let method = pick(pick(&methods, &mut random)?, &mut random)?;
        let body = arguments.random(method, &mut random)?;
        let told = || format!("call {number}: {method:?} with {body:?}");
        let answer = client.block_on(call(&client, method, body.as_ref()));
        if let (Ok(answer), "ListSnapshots") = (&answer, method.name.as_str()) {
            let rows: Vec<SnapshotRow> = answer.body().deserialize()?;
            rows.into_iter().for_each(|row| arguments.learn(row.uuid));
        }
        if let Err(zbus::Error::MethodError(_, Some(sentence), _)) = &answer {
            arguments.learn_options(method, sentence);
        }
        let outcome = judge(method, answer).with_context(told)?;
        ensure!(!fixture.daemon_has_ended()?, "{}: the daemon has ended", told());
        *outcomes.entry(format!("{}.{}: {outcome}", method.interface, method.name)).or_default() += 1;
    }
    ensure!(missing(&wanted, &outcomes).is_empty(), "never {:?}: {outcomes:#?}", missing(&wanted, &outcomes));
    running.feed.finish();
    for (job, _) in client.jobs()?.into_iter().filter(|(_, job)| job.state.result().is_none()) {
        // What ends meanwhile by itself need not be cancelled.
        client.cancel(&job).ok();
    }
    // One that has ended may be forgotten: then it is no object any more.
    wait_until("all jobs have ended", || Ok(client.jobs()?.values().all(|job| job.state.result().is_some())))?;
    for volume in VOLUMES {
        let (visible, _) = names(&fixture.path(volume))?;
        let visible: Vec<&str> = visible.iter().map(String::as_str).collect();
        fixture.is_tidy(&client, volume, &visible)?;
    }
    Ok(())
}

/// What has to come of the calls of a method: its answer, and a refusal of wrong arguments.
fn all_of(interface: &str, name: &str) -> Vec<String> {
    if !interface::ALL.contains(&interface) {
        return Vec::new();
    }
    let otherwise = OTHERWISE.iter().find(|(of, other, _)| (*of, *other) == (interface, name));
    let usual = otherwise.map_or("answered", |(_, _, outcome)| outcome);
    [usual, "InvalidArgs"].map(|outcome| format!("{interface}.{name}: {outcome}")).into()
}

/// What is wanted and has not come yet.
fn missing<'w>(wanted: &'w BTreeSet<String>, outcomes: &BTreeMap<String, u64>) -> Vec<&'w str> {
    wanted.iter().map(String::as_str).filter(|wanted| !outcomes.contains_key(*wanted)).collect()
}

/// The methods of one name together.
fn by_name(methods: Vec<Method>) -> Vec<Vec<Method>> {
    let mut named: BTreeMap<(String, String), Vec<Method>> = BTreeMap::new();
    for method in methods {
        named.entry((method.interface.clone(), method.name.clone())).or_default().push(method);
    }
    named.into_values().collect()
}

fn pick<'a, T>(from: &'a [T], random: &mut Random) -> Result<&'a T> {
    from.get(usize::try_from(random.below(from.len() as u64))?).context("nothing to pick from")
}

/// A job that runs during the calls, until a random call cancels it.
struct Running {
    job: String,
    feed: Feed,
}

impl Running {
    fn start(client: &Client) -> Result<Self> {
        let load = Load::new("running", 20, 1);
        let (stream, feed) = load.pipe()?;
        let job = client.receive("tank", &stream)?;
        feed.up_to(load.bytes().len() / 2);
        Ok(Self { job, feed })
    }

    /// It runs, or it was cancelled by a valid call; then another one is started.
    fn look(&mut self, client: &Client) -> Result<()> {
        let Some(job) = client.jobs()?.remove(&self.job) else {
            let entry = client.history_of(&self.job)?;
            ensure!(entry.result == "cancelled", "the running job did not survive: {entry:?}");
            return self.again(client);
        };
        match job.state {
            JobState::Queued | JobState::Running => Ok(()),
            JobState::Cancelled => self.again(client),
            JobState::Flushing | JobState::Succeeded | JobState::Failed => {
                anyhow::bail!("the running job did not survive: {job:?}")
            }
        }
    }

    fn again(&mut self, client: &Client) -> Result<()> {
        if client.jobs()?.values().filter(|job| job.state.result().is_none()).count() < 30 {
            *self = Self::start(client)?;
        }
        Ok(())
    }
}

async fn call(client: &Client, method: &Method, body: Option<&zbus::Structure<'_>>) -> zbus::Result<Message> {
    let (path, interface, name) = (method.path.as_str(), method.interface.as_str(), method.name.as_str());
    match body {
        Some(body) => client.connection().call_method(Some(BUS_NAME), path, Some(interface), name, body).await,
        None => client.connection().call_method(Some(BUS_NAME), path, Some(interface), name, &()).await,
    }
}

/// Answered, or the short name of a documented error.
fn judge(method: &Method, answer: zbus::Result<Message>) -> Result<String> {
    let (name, sentence) = match answer {
        Ok(_) => return Ok("answered".to_owned()),
        Err(zbus::Error::MethodError(name, sentence, _)) => (name.to_string(), sentence.unwrap_or_default()),
        Err(zbus::Error::FDO(error)) => (error.name().to_string(), error.description().unwrap_or_default().to_owned()),
        Err(other) => anyhow::bail!("no answer: {other:?}"),
    };
    let own = ErrorName::ALL.iter().any(|known| known.as_str() == name) || name == INVALID_ARGS;
    // A job may be forgotten, and a drive another one, between the walk and the call.
    let goes = [interface::JOB, interface::DRIVE, interface::DESTINATION].contains(&method.interface.as_str());
    let unknown = ["UnknownObject", "UnknownInterface"];
    let gone = goes && unknown.iter().any(|end| name == format!("org.freedesktop.DBus.Error.{end}"));
    let standard = ["UnknownInterface", "UnknownProperty", "PropertyReadOnly", "UnknownObject", "UnknownMethod"];
    let standard = standard.iter().any(|end| name == format!("org.freedesktop.DBus.Error.{end}"));
    let is_own = interface::ALL.contains(&method.interface.as_str());
    ensure!(own || gone || (standard && !is_own), "an error that is not documented: {name}: {sentence}");
    ensure!(!sentence.is_empty(), "{name} without a sentence");
    let short = name.strip_prefix(ERROR_PREFIX).or_else(|| name.strip_prefix("org.freedesktop.DBus.Error."));
    Ok(short.unwrap_or(&name).to_owned())
}
