//! Permissions, checked by the real polkitd for a user other than root. (polkit allows root everything.)

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use butterdock_dbus::authority::{ACTIONS, Row, Rule, TABLE};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{BACKUP, DESTINATION, DRIVE, JOB, MANAGER, VOLUME};
use butterdock_dbus::path::backup_path;
use butterdock_tests::{
    HOME, Rules, Service, Setup, Stalled, TANK, all_names, answer, as_nobody, file_of, python, small, tank, unfinished,
};
use serde_json::Value;

const REFUSED: &str = "org.butterdock.Butterdock1.Error.NotAuthorized";
const INVALID_ARGS: &str = "org.freedesktop.DBus.Error.InvalidArgs";
const SNAPSHOT: &str = "s:00000000-0000-0000-0000-000000000001";
const NOT_FOUND: &str = "org.butterdock.Butterdock1.Error.NotFound";

/// Everything that changes something or tells a name.
fn guarded() -> impl Iterator<Item = &'static Row> {
    // A drive's are asked where there is a drive: in service_drives.
    let free = |rule| matches!(rule, Rule::Anybody | Rule::AnybodyWithout { .. });
    TABLE.iter().filter(move |row| !free(row.rule) && ![DRIVE, DESTINATION].contains(&row.interface))
}

/// The call of a row, made right: with a whole stream where there is one.
fn call(service: &Service, row: &Row, job: &str, options: &str) -> Result<Command> {
    let path = match row.interface {
        MANAGER => ROOT.to_owned(),
        VOLUME => tank(),
        JOB => job.to_owned(),
        BACKUP => backup_path("home").to_string(),
        other => bail!("this test does not know where {other} is: teach it"),
    };
    let mut command = python("call.py", &service.bus)?;
    command.args([&path, row.interface, row.method]);
    match (row.interface, row.method) {
        (MANAGER, "Receive") => command.args(["s:tank", "h:0"]),
        (VOLUME, "Receive") => command.arg("h:0"),
        (
            _,
            "GetSettings" | "Reload" | "TrustClock" | "ListSubvolumes" | "Cancel" | "GetErrorDetails" | "ListHistory"
            | "ListBackups" | "ListNotifications" | "GetPermissions" | "Run" | "ListSnapshots",
        ) => &mut command,
        (MANAGER, "SetBackup") => command.args(["s:mine", "o:{\"source\": \"/mine\", \"to\": [\"Blue\"]}"]),
        (MANAGER, "SetVolume") => command.args(["s:mine", "o:{\"path\": \"/srv/mine\"}"]),
        (MANAGER, "SetDestination") => command.args(["s:mine", "o:{\"kind\": \"no such kind\"}"]),
        (MANAGER, "RemoveBackup" | "RemoveVolume" | "RemoveDestination") => command.arg("s:mine"),
        (MANAGER, "TestNotification") => command.arg("s:me"),
        (MANAGER, "SetDefaults") => command.arg("o:{\"history\": 100}"),
        (BACKUP, "ListFiles" | "OpenFile") => command.args([SNAPSHOT, "y:a"]),
        (BACKUP, "RestoreFiles") => command.args([SNAPSHOT, "Y:a"]),
        (BACKUP, "FileVersions") => command.arg("y:a"),
        (BACKUP, "EstimateDeletion" | "DeleteSnapshots") => command.arg(SNAPSHOT.replace("s:", "S:")),
        (BACKUP, "HoldSnapshot") => command.args([SNAPSHOT, "s:why"]),
        (BACKUP, "ReleaseSnapshot") => command.arg(SNAPSHOT),
        (interface, method) => bail!("this test does not know how to call {interface}.{method}: teach it"),
    };
    command.arg(format!("o:{options}"));
    Ok(command)
}

/// There is no drive to back up to, and no such destination: a caller who is authorized learns that.
fn let_pass(row: &Row, said: &Value) -> bool {
    let answer = match row.method {
        "Run" | "RemoveDestination" | "TestNotification" => said["error"] == NOT_FOUND,
        "SetDestination" => said["error"] == INVALID_ARGS,
        // The source of the backup is not there.
        _ if row.interface == BACKUP => said["error"] != REFUSED,
        _ => false,
    };
    said.get("answer").is_some() || answer
}

/// What one who is not root is answered.
fn nobody_asks(service: &Service, row: &Row, job: &str, options: &str) -> Result<Value> {
    answer(as_nobody(&call(service, row, job, options)?).stdin(stream(row)?))
}

fn root_asks(service: &Service, row: &Row, job: &str, options: &str) -> Result<Value> {
    answer(call(service, row, job, options)?.stdin(stream(row)?))
}

/// Each row's stream has a name of its own.
fn stream(row: &Row) -> Result<File> {
    file_of(small(&format!("by-{}", row.interface)).bytes())
}

fn of(interface: &str, method: &str) -> Result<&'static Row> {
    TABLE.iter().find(|row| (row.interface, row.method) == (interface, method)).context("a row")
}

fn names(service: &Service) -> Result<usize> {
    Ok(all_names(&service.path(TANK))?.len())
}

#[test]
fn polkit_guards_every_method() -> Result<()> {
    let mut service = Service::new(&Setup { settings: HOME, rules: Some(&Rules::Deny), ..Setup::default() })?;
    let client = service.client()?;
    let stalled = Stalled::start(&client, "sub")?;
    let before = names(&service)?;
    for row in guarded() {
        let said = nobody_asks(&service, row, &stalled.job, "{}")?;
        ensure!(said["error"] == REFUSED, "{}.{}: {said}", row.interface, row.method);
        ensure!(said["message"].as_str().is_some_and(|text| text.contains("polkit")), "{said}");
        if let Rule::Unless { option, .. } = row.rule {
            let value = if option == "name" { "\"mine\"" } else { "true" };
            let said = nobody_asks(&service, row, &stalled.job, &format!("{{\"{option}\": {value}}}"))?;
            ensure!(said["error"] == REFUSED, "{}.{} with {option}: {said}", row.interface, row.method);
        }
    }
    ensure!(names(&service)? == before, "something was made");
    ensure!(client.get::<String>(&stalled.job, JOB, "State")? == "running", "the job was ended");
    // The same calls, so that a service that refuses everything does not pass.
    service.rule(&Rules::Allow)?;
    for row in guarded() {
        let said = nobody_asks(&service, row, &stalled.job, "{}")?;
        ensure!(let_pass(row, &said), "{}.{}: {said}", row.interface, row.method);
        if (row.interface, row.method) == (JOB, "Cancel") {
            ensure!(client.get::<String>(&stalled.job, JOB, "State")? == "cancelled", "answered before it was so");
        }
    }
    Ok(())
}

#[test]
fn without_polkit_only_root_may_call() -> Result<()> {
    let service = Service::with(&[TANK], HOME)?;
    let client = service.client()?;
    let stalled = Stalled::start(&client, "sub")?;
    for row in guarded() {
        let said = nobody_asks(&service, row, &stalled.job, "{}")?;
        ensure!(said["error"] == REFUSED, "{}.{}: {said}", row.interface, row.method);
        ensure!(said["message"].as_str().is_some_and(|text| text.contains("root")), "{said}");
    }
    let free = nobody_asks(&service, of(MANAGER, "ListHistory")?, &stalled.job, "{}")?;
    ensure!(free.get("answer").is_some(), "what anybody may: {free}");
    for row in guarded() {
        let said = root_asks(&service, row, &stalled.job, "{}")?;
        ensure!(let_pass(row, &said), "{}.{}: {said}", row.interface, row.method);
    }
    Ok(())
}

#[test]
fn the_option_name_needs_another_action() -> Result<()> {
    let mut service = Service::with_polkit(&Rules::Only(vec!["receive"]))?;
    let (row, name) = (of(VOLUME, "Receive")?, "{\"name\": \"mine\"}");
    let said = nobody_asks(&service, row, "", name)?;
    ensure!(said["error"] == REFUSED, "{said}");
    let said = nobody_asks(&service, row, "", "{}")?;
    ensure!(said.get("answer").is_some(), "{said}");
    service.rule(&Rules::Only(vec!["receive-anywhere"]))?;
    let said = nobody_asks(&service, row, "", "{}")?;
    ensure!(said["error"] == REFUSED, "{said}");
    let said = nobody_asks(&service, row, "", name)?;
    let job = said["answer"].as_str().context("a job")?;
    ensure!(service.client()?.end_of(job)?.0 == "succeeded", "{said}");
    ensure!(service.path(TANK).join("mine").exists(), "the name was not used");
    Ok(())
}

#[test]
fn cancelling_own_and_other_jobs_needs_different_actions() -> Result<()> {
    let mut service = Service::with_polkit(&Rules::Only(vec!["receive", "cancel-others"]))?;
    let client = service.client()?;
    let (cancel, details) = (of(JOB, "Cancel")?, of(JOB, "GetErrorDetails")?);
    let own = |service: &Service| -> Result<(String, std::io::PipeWriter)> {
        let (reader, mut writer) = std::io::pipe()?;
        std::io::Write::write_all(&mut writer, unfinished("own").bytes())?;
        let said = answer(as_nobody(&call(service, of(VOLUME, "Receive")?, "", "{}")?).stdin(reader))?;
        Ok((said["answer"].as_str().with_context(|| said.to_string())?.to_owned(), writer))
    };
    let (job, _writer) = own(&service)?;
    let said = nobody_asks(&service, cancel, &job, "{}")?;
    ensure!(said["error"] == REFUSED, "cancel-others is not cancel-own: {said}");
    let said = nobody_asks(&service, details, &job, "{}")?;
    ensure!(said.get("answer").is_some(), "the caller who started a job may know why it failed: {said}");
    service.rule(&Rules::Only(vec!["cancel-own"]))?;
    ensure!(nobody_asks(&service, cancel, &job, "{}")?.get("answer").is_some(), "cancel-own");
    let stalled = Stalled::start(&client, "anothers")?;
    for row in [cancel, details] {
        let said = nobody_asks(&service, row, &stalled.job, "{}")?;
        ensure!(said["error"] == REFUSED, "{}: {said}", row.method);
    }
    Ok(())
}

#[test]
fn defaults_need_an_administrator_except_cancel_own() -> Result<()> {
    let mut service = Service::with_polkit(&Rules::None)?;
    let row = of(MANAGER, "Receive")?;
    let said = nobody_asks(&service, row, "", "{}")?;
    ensure!(said["error"] == REFUSED, "{said}");
    ensure!(said["message"].as_str().is_some_and(|text| text.contains("password")), "{said}");
    ensure!(root_asks(&service, row, "", "{}")?.get("answer").is_some(), "root");
    let script = "return word == \"receive\" ? polkit.Result.YES : polkit.Result.NOT_HANDLED;";
    service.rule(&Rules::Script(script.to_owned()))?;
    let (reader, _writer) = std::io::pipe()?;
    let said = answer(as_nobody(&call(&service, row, "", "{}")?).stdin(reader))?;
    let job = said["answer"].as_str().with_context(|| said.to_string())?;
    let said = nobody_asks(&service, of(JOB, "Cancel")?, job, "{}")?;
    ensure!(said.get("answer").is_some(), "{said}");
    Ok(())
}

#[test]
fn a_job_without_drive_has_no_drive_detail() -> Result<()> {
    let rule = |drive: &str| {
        Rules::Script(format!(
            "return action.lookup(\"volume\") == \"tank\" && action.lookup(\"drive\") === {drive} \
             && action.lookup(\"drive_id\") === {drive} ? polkit.Result.YES : polkit.Result.NO;"
        ))
    };
    let mut service = Service::with_polkit(&rule("\"\""))?;
    let client = service.client()?;
    let stalled = Stalled::start(&client, "sub")?;
    let said = nobody_asks(&service, of(JOB, "Cancel")?, &stalled.job, "{}")?;
    ensure!(said["error"] == REFUSED, "a drive with an empty name: {said}");
    service.rule(&rule("undefined"))?;
    let said = nobody_asks(&service, of(JOB, "Cancel")?, &stalled.job, "{}")?;
    ensure!(said.get("answer").is_some(), "{said}");
    Ok(())
}

#[test]
fn an_administrators_rule_sees_which_volume_it_is() -> Result<()> {
    for (volume, may) in [("tank", true), ("another", false)] {
        let body = format!("return action.lookup(\"volume\") == \"{volume}\" ? polkit.Result.YES : polkit.Result.NO;");
        let service = Service::with_polkit(&Rules::Script(body))?;
        for interface in [MANAGER, VOLUME] {
            let said = nobody_asks(&service, of(interface, "Receive")?, "", "{}")?;
            ensure!(said.get("answer").is_some() == may, "{volume}: {said}");
        }
    }
    Ok(())
}

/// The actions with each answer of `GetPermissions`.
fn permissions(said: &Value) -> Result<BTreeMap<&str, Vec<&str>>> {
    let mut answers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (action, permission) in said["answer"].as_object().with_context(|| said.to_string())? {
        answers.entry(permission.as_str().context("a word")?).or_default().push(action);
    }
    ensure!(answers.values().map(Vec::len).sum::<usize>() == ACTIONS.len(), "{said}");
    Ok(answers)
}

#[test]
fn every_user_may_ask_for_the_own_permissions() -> Result<()> {
    let row = of(MANAGER, "GetPermissions")?;
    let mut service = Service::with_polkit(&Rules::None)?;
    let said = nobody_asks(&service, row, "", "{}")?;
    let defaults = permissions(&said)?;
    // A process of no session.
    ensure!(defaults["yes"] == ["cancel-own"] && defaults["challenge"].contains(&"safely-remove"), "{said}");
    ensure!(!defaults.contains_key("no"), "{said}");
    service.rule(&Rules::Only(vec!["backup", "verify"]))?;
    let said = nobody_asks(&service, row, "", "{}")?;
    ensure!(
        permissions(&said)?["yes"] == ["backup", "verify"] && permissions(&said)?["no"].contains(&"receive"),
        "{said}"
    );
    let said = root_asks(&service, row, "", "{}")?;
    ensure!(permissions(&said)?.into_keys().eq(["yes"]), "polkit does not restrict root: {said}");
    let alone = Service::start()?;
    ensure!(permissions(&nobody_asks(&alone, row, "", "{}")?)?.into_keys().eq(["no"]), "there is no polkit");
    Ok(())
}
