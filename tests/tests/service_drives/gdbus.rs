//! Methods that are called with gdbus, as root, as a member of the group of the shipped rule, and as a stranger.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use butterdock_dbus::names::BUS_NAME;
use butterdock_tests::{Finished, Rules, Scenario, TIMEOUT, run, shipped};

/// The user `nobody`. Its group is the one that the rule allows here.
pub(crate) const MEMBER: u32 = 65534;
/// The user daemon.
const STRANGER: u32 = 1;
/// A further group of the member.
pub(crate) const FAMILY: u32 = 4711;

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Root,
    Member,
    Stranger,
}

/// In the order of the answers of a row.
pub(crate) const USERS: [User; 3] = [User::Root, User::Member, User::Stranger];

/// What a call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An answer, or a job that succeeds.
    Yes,
    /// A job that waits for the reader of its pipe, who leaves.
    Content,
    /// `NotAuthorized`, from the call or from its job.
    No,
    /// The call was allowed, and there is nothing for it to do: an error with this name.
    Nothing(&'static str),
}

use Answer::{Content, No, Nothing, Yes};

/// The rule that is shipped for the group butterdock, for another group.
pub(crate) fn group_rule(group: &str) -> Result<Rules> {
    let text = fs::read_to_string(shipped("dbus/data/50-butterdock.rules"))?;
    let (_, body) = text.split_once("polkit.addRule(function (action, subject) {").context("the rule's function")?;
    let (body, _) = body.rsplit_once("});").context("the function's end")?;
    Ok(Rules::Script(body.replace("isInGroup(\"butterdock\")", &format!("isInGroup(\"{group}\")"))))
}

/// An object of the service.
pub(crate) struct GdbusObject<'s> {
    pub(crate) scenario: &'s Scenario,
    pub(crate) path: String,
    pub(crate) interface: &'static str,
    /// In place of `SNAPSHOT` in arguments.
    pub(crate) snapshot: String,
}

impl GdbusObject<'_> {
    fn call(&self, user: User, method: &str, words: &[&str]) -> Result<Finished> {
        let mut command = match user {
            User::Root => Command::new("gdbus"),
            User::Member => of_user(MEMBER, &format!("{MEMBER},{FAMILY}")),
            User::Stranger => of_user(STRANGER, &STRANGER.to_string()),
        };
        command.args(["call", "--system", "--dest", BUS_NAME, "--object-path", &self.path]);
        command.args(["--method", &format!("{}.{method}", self.interface)]);
        command.args(words.iter().map(|word| word.replace("SNAPSHOT", &self.snapshot)));
        command.env("DBUS_SYSTEM_BUS_ADDRESS", self.scenario.fixture.bus.address());
        run(command.stdin(Stdio::null()).current_dir("/"), TIMEOUT)
    }

    /// Calls a method with arguments in the text format of gdbus, and checks its answer.
    pub(crate) fn expect(&self, user: User, method: &str, words: &[&str], expected: Answer) -> Result<()> {
        let what = format!("{user:?}: {}.{method} {words:?}", self.interface);
        let answer = self.answer(user, method, words, expected).context(what.clone())?;
        ensure!(answer == expected, "{what}: {answer:?} in place of {expected:?}");
        Ok(())
    }

    fn answer(&self, user: User, method: &str, words: &[&str], expected: Answer) -> Result<Answer> {
        let done = self.call(user, method, words)?;
        if done.code() != 0 {
            let error = done.err();
            if let Nothing(name) = expected
                && error.contains(&format!("{name}: "))
            {
                return Ok(expected);
            }
            ensure!(error.contains(".Error.NotAuthorized: "), "{error}");
            return Ok(No);
        }
        let Some((_, rest)) = done.out().split_once("objectpath '").map(|(a, b)| (a.to_owned(), b.to_owned())) else {
            return Ok(Yes);
        };
        let (job, _) = rest.split_once('\'').context("the end of the path")?;
        let (state, error) = self.scenario.fixture.client.end_of(job)?;
        match (state.as_str(), error.as_str()) {
            ("succeeded", "") => Ok(Yes),
            ("cancelled", "Cancelled") => Ok(Content),
            ("failed", "NotAuthorized") => Ok(No),
            (state, error) => bail!("{state} {error}"),
        }
    }
}

fn of_user(uid: u32, groups: &str) -> Command {
    let mut command = Command::new("setpriv");
    let id = uid.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--groups", groups, "--inh-caps=-all", "--", "gdbus"]);
    command
}
