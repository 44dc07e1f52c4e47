//! What root, a member of the group and a stranger may do with files in snapshots, on a drive and beside the source: with gdbus,
//! polkitd and the shipped rule.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::BUS_NAME;
use butterdock_dbus::names::interface::{BACKUP, DESTINATION};
use butterdock_dbus::path::backup_path;
use butterdock_tests::{Finished, Polkit, Rules, Scenario, TIMEOUT, no_options, run, shipped};

use super::files::Calls;

/// nobody, whose group is the one of the rule here.
const MEMBER: u32 = 65534;
/// The user daemon.
const STRANGER: u32 = 1;
/// A further group of the member.
const FAMILY: u32 = 4711;

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum User {
    Root,
    Member,
    Stranger,
}

/// What a call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// An answer, or a job that succeeds.
    Yes,
    /// A job that waits for the reader of its pipe, who leaves.
    Content,
    /// `NotAuthorized`, from the call or from its job.
    No,
}

use Answer::{Content, No, Yes};

/// A method, its arguments in the text format of gdbus, where `SNAPSHOT` is the snapshot, and what root, a member and a stranger get.
type Row = (&'static str, &'static [&'static str], [Answer; 3]);

const ROWS: &[Row] = &[
    ("ListSnapshots", &["{}"], [Yes, No, No]),
    ("ListSnapshots", &["{'own': <true>}"], [Yes, Yes, No]),
    ("ListFiles", &["SNAPSHOT", "b''", "{}"], [Yes, Yes, No]),
    ("ListFiles", &["SNAPSHOT", "b'own'", "{}"], [Yes, Yes, No]),
    ("ListFiles", &["SNAPSHOT", "b'private'", "{}"], [Yes, No, No]),
    ("ListFiles", &["SNAPSHOT", "b''", "{'as_root': <true>}"], [Yes, No, No]),
    ("FileVersions", &["b'own/mine'", "{}"], [Yes, Yes, No]),
    ("FileVersions", &["b'private/inside'", "{}"], [Yes, No, No]),
    ("FileVersions", &["b'own/mine'", "{'as_root': <true>}"], [Yes, No, No]),
    ("OpenFile", &["SNAPSHOT", "b'own/mine'", "{}"], [Content, Content, No]),
    ("OpenFile", &["SNAPSHOT", "b'family'", "{}"], [Content, Content, No]),
    ("OpenFile", &["SNAPSHOT", "b'secret'", "{}"], [Content, No, No]),
    ("OpenFile", &["SNAPSHOT", "b'private/inside'", "{}"], [Content, No, No]),
    ("OpenFile", &["SNAPSHOT", "b'own/mine'", "{'as_root': <true>}"], [Content, No, No]),
    ("RestoreFiles", &["SNAPSHOT", "[b'own/mine']", "{}"], [Yes, Yes, No]),
    // What the member may read goes to a directory of root's.
    ("RestoreFiles", &["SNAPSHOT", "[b'family']", "{}"], [Yes, No, No]),
    ("RestoreFiles", &["SNAPSHOT", "[b'secret']", "{}"], [Yes, No, No]),
    ("RestoreFiles", &["SNAPSHOT", "[b'own/mine']", "{'target': <'tank'>}"], [Yes, No, No]),
    ("RestoreFiles", &["SNAPSHOT", "[b'own/mine']", "{'as_root': <true>}"], [Yes, No, No]),
];

/// The rule that is shipped for the group butterdock, for another group.
pub(super) fn group_rule(group: &str) -> Result<Rules> {
    let text = fs::read_to_string(shipped("dbus/data/50-butterdock.rules"))?;
    let (_, body) = text.split_once("polkit.addRule(function (action, subject) {").context("the rule's function")?;
    let (body, _) = body.rsplit_once("});").context("the function's end")?;
    Ok(Rules::Script(body.replace("isInGroup(\"butterdock\")", &format!("isInGroup(\"{group}\")"))))
}

/// An object with files in snapshots.
struct SnapshotObject<'s> {
    scenario: &'s Scenario,
    path: String,
    interface: &'static str,
    snapshot: String,
}

impl SnapshotObject<'_> {
    fn call(&self, user: User, method: &str, words: &[&str]) -> Result<Finished> {
        let mut command = match user {
            User::Root => Command::new("gdbus"),
            User::Member => of_user(MEMBER, &format!("{MEMBER},{FAMILY}")),
            User::Stranger => of_user(STRANGER, &STRANGER.to_string()),
        };
        command.args(["call", "--system", "--dest", BUS_NAME, "--object-path", &self.path]);
        command.args(["--method", &format!("{}.{method}", self.interface)]);
        command.args(words.iter().map(|word| if *word == "SNAPSHOT" { self.snapshot.as_str() } else { word }));
        command.env("DBUS_SYSTEM_BUS_ADDRESS", self.scenario.fixture.bus.address());
        run(command.stdin(Stdio::null()).current_dir("/"), TIMEOUT)
    }

    fn answer(&self, user: User, method: &str, words: &[&str]) -> Result<Answer> {
        let done = self.call(user, method, words)?;
        if done.code() != 0 {
            ensure!(done.err().contains(".Error.NotAuthorized: "), "{user:?} {method} {words:?}: {}", done.err());
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
            (state, error) => anyhow::bail!("{user:?} {method} {words:?}: {state} {error}"),
        }
    }
}

fn of_user(uid: u32, groups: &str) -> Command {
    let mut command = Command::new("setpriv");
    let id = uid.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--groups", groups, "--inh-caps=-all", "--", "gdbus"]);
    command
}

fn source(scenario: &Scenario) -> Result<()> {
    let at = |path: &str| scenario.source.join(path);
    fs::set_permissions(&scenario.source, Permissions::from_mode(0o755))?;
    for (path, owner, group, mode) in [
        ("own/", MEMBER, MEMBER, 0o700),
        ("own/mine", MEMBER, MEMBER, 0o600),
        ("family", 0, FAMILY, 0o640),
        ("secret", 0, 0, 0o600),
        ("private/", 0, 0, 0o700),
        ("private/inside", 0, 0, 0o644),
    ] {
        if path.ends_with('/') {
            fs::create_dir(at(path))?;
        } else {
            fs::write(at(path), path)?;
        }
        fs::set_permissions(at(path), Permissions::from_mode(mode))?;
        chown(at(path), Some(owner), Some(group))?;
    }
    Ok(())
}

#[test]
fn root_a_member_and_a_stranger_reach_the_files_that_they_may() -> Result<()> {
    let scenario = Scenario::begin()?;
    source(&scenario)?;
    scenario.job("Backup", &no_options())?;
    let _polkit = Polkit::start(&scenario.fixture.sandbox, &scenario.fixture.bus, &group_rule("nogroup")?)?;
    let (drive, beside) = (Calls::new(&scenario)?, Calls::of_source(&scenario));
    let drive_path = scenario.fixture.one("the drive", |is| is.enrolled)?.path;
    let mut objects = Vec::new();
    for (calls, path, interface) in
        [(drive, drive_path, DESTINATION), (beside, backup_path("home").to_string(), BACKUP)]
    {
        let snapshot = calls.snapshots()?.pop().context("a snapshot")?;
        objects.push(SnapshotObject { scenario: &scenario, path, interface, snapshot });
    }
    for object in &objects {
        for (method, words, expected) in ROWS {
            for (user, expected) in [User::Root, User::Member, User::Stranger].into_iter().zip(expected) {
                let answer = object.answer(user, method, words)?;
                let what = format!("{user:?}: {}.{method} {words:?}", object.interface);
                ensure!(answer == *expected, "{what}: {answer:?} in object of {expected:?}");
            }
        }
    }
    // A whole snapshot is root's.
    for user in [User::Member, User::Stranger] {
        let answer = objects[0].answer(user, "Restore", &["SNAPSHOT", "tank", "{}"])?;
        ensure!(answer == No, "{user:?} restores all");
    }
    // What was restored belongs to whom it belonged, and to nobody who only asked.
    for entry in fs::read_dir(scenario.source.join("own"))?.flatten() {
        ensure!(entry.metadata()?.uid() == MEMBER, "{:?}", entry.path());
    }
    for entry in fs::read_dir(&scenario.source)?.flatten().filter(|entry| entry.path().is_file()) {
        ensure!(entry.metadata()?.uid() == 0, "{:?}", entry.path());
    }
    ensure!(
        !scenario.tank.join("restored-").exists() && fs::read_dir(scenario.tank.path())?.count() == 2,
        "of root's calls"
    );
    scenario.no_worker_is_left()
}
