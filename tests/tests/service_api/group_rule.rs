//! The shipped rule for the members of a group, read by the real polkitd, with the group of the user nobody.

use std::fs;
use std::io;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::names::ROOT;
use butterdock_dbus::names::interface::{JOB, MANAGER};
use butterdock_tests::{Rules, Service, TANK, answer, as_nobody, file_of, python, shipped, small};
use serde_json::Value;

const REFUSED: &str = "org.butterdock.Butterdock1.Error.NotAuthorized";

/// What the function of the shipped rule does, with another group in place of its own.
fn rule(group: &str) -> Result<String> {
    let file = shipped("dbus/data/50-butterdock.rules");
    let text = fs::read_to_string(file)?;
    let (_, body) = text.split_once("polkit.addRule(function (action, subject) {").context("the rule's function")?;
    let (body, _) = body.rsplit_once("});").context("the function's end")?;
    ensure!(body.contains("isInGroup(\"butterdock\")"), "{body}");
    Ok(body.replace("isInGroup(\"butterdock\")", &format!("isInGroup(\"{group}\")")))
}

fn nobody_asks(service: &Service, words: &[&str], input: impl Into<std::process::Stdio>) -> Result<Value> {
    let mut command = python("call.py", &service.bus)?;
    command.args(words);
    answer(as_nobody(&command).stdin(input))
}

#[test]
fn members_of_the_group_receive_and_cancel_and_administer_nothing() -> Result<()> {
    let mut service = Service::with_polkit(&Rules::Script(rule("nogroup")?))?;
    let receive = [ROOT, MANAGER, "Receive", "s:tank", "h:0", "o:{}"];
    let (reader, _writer) = io::pipe()?;
    let said = nobody_asks(&service, &receive, reader)?;
    let job = said["answer"].as_str().with_context(|| said.to_string())?;
    let said = nobody_asks(&service, &[job, JOB, "Cancel", "o:{}"], std::process::Stdio::null())?;
    ensure!(said.get("answer").is_some(), "one's own job: {said}");
    for words in [
        &[ROOT, MANAGER, "Reload", "o:{}"][..],
        &[ROOT, MANAGER, "TrustClock", "o:{}"],
        &[ROOT, MANAGER, "GetSettings", "o:{}"],
        &[ROOT, MANAGER, "SetBackup", "s:mine", "o:{\"source\": \"/mine\"}", "o:{}"],
        &[ROOT, MANAGER, "RemoveVolume", "s:tank", "o:{}"],
        &[ROOT, MANAGER, "SetDefaults", "o:{\"history\": 1}", "o:{}"],
        &[ROOT, MANAGER, "Receive", "s:tank", "h:0", "o:{\"name\": \"mine\"}"],
    ] {
        let said = nobody_asks(&service, words, file_of(small("theirs").bytes())?)?;
        ensure!(said["error"] == REFUSED, "{words:?}: {said}");
    }
    // Who is not in the group has the shipped defaults.
    service.rule(&Rules::Script(rule("root")?))?;
    let said = nobody_asks(&service, &receive, file_of(small("strangers").bytes())?)?;
    ensure!(said["error"] == REFUSED, "{said}");
    Ok(())
}

#[test]
fn a_member_may_not_use_the_option_name() -> Result<()> {
    let service = Service::with_polkit(&Rules::Script(rule("nogroup")?))?;
    let receive = [ROOT, MANAGER, "Receive", "s:tank", "h:0", "o:{}"];
    let client = service.client()?;
    let mut ends = Vec::new();
    for _again in 0..2 {
        let said = nobody_asks(&service, &receive, file_of(small("of-my-choice").bytes())?)?;
        ends.push(client.end_of(said["answer"].as_str().with_context(|| said.to_string())?)?.0);
    }
    ensure!(ends == ["succeeded", "failed"], "a name that exists is never taken: {ends:?}");
    ensure!(service.path(TANK).join("of-my-choice").exists(), "the stream's name was not used");
    let named = [ROOT, MANAGER, "Receive", "s:tank", "h:0", "o:{\"name\": \"another\"}"];
    let said = nobody_asks(&service, &named, file_of(small("a").bytes())?)?;
    ensure!(said["error"] == REFUSED, "{said}");
    Ok(())
}
