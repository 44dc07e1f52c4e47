//! Every verb, as text and as JSON.

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::wire::Stream;
use butterdock_tests::{Load, Service};

use crate::{lines, object, ran, steers};

#[test]
fn every_verb_answers_in_text_and_in_json() -> Result<()> {
    let fixture = Service::with(&["tank", "pool"], "")?;
    let load = Load::new("s0", 10, 1);
    let file = fixture.join("stream");
    drop(load.file(&file)?);
    let file = file.to_str().context("a path")?;
    let received = ran(&fixture, &["receive", "tank", file])?.success()?;
    ensure!(received.out().contains("tank") && received.stderr.is_empty(), "{received:?}");
    load.is_whole_in(&fixture.path("tank"))?;
    let followed = lines(&ran(&fixture, &["receive", "pool", file, "--json"])?.success()?)?;
    ensure!(followed.first().is_some_and(|line| line["event"] == "started"), "{followed:?}");
    let last = followed.last().context("a last line")?;
    ensure!(last["event"] == "ended" && last["result"] == "succeeded", "{last}");
    ensure!(last["job"]["bytes_durable"] == load.bytes().len(), "{last}");

    for words in [&[][..], &["status"], &["jobs"], &["history"], &["volumes"], &["snapshots", "tank"], &["watch"]] {
        let finished = ran(&fixture, words)?.success()?;
        ensure!(!finished.stdout.is_empty() && finished.stderr.is_empty(), "{words:?}: {finished:?}");
        ensure!(!steers(&finished.out()), "{words:?}: a bar without a terminal: {:?}", finished.out());
    }
    let volumes = object(&fixture, &["volumes"])?;
    ensure!(volumes["volumes"].as_array().is_some_and(|volumes| volumes.len() == 2), "{volumes}");
    let jobs = object(&fixture, &["jobs"])?;
    ensure!(jobs["jobs"].as_array().is_some_and(|jobs| jobs.len() == 2), "{jobs}");
    let history = object(&fixture, &["history"])?;
    ensure!(history.to_string().matches("\"succeeded\"").count() == 2, "{history}");
    let snapshots = object(&fixture, &["snapshots", "tank"])?;
    ensure!(snapshots.to_string().contains("\"s0\""), "{snapshots}");
    object(&fixture, &["status"])?;
    object(&fixture, &[])?;
    ensure!(ran(&fixture, &["watch", "--json"])?.success()?.stdout.is_empty(), "nothing runs, and something is told");
    Ok(())
}

#[test]
fn names_that_would_steer_a_terminal_are_shown_escaped() -> Result<()> {
    let fixture = Service::start()?;
    let name = b"a\x1b[2J\xc2\x9b31m\xe2\x80\xae\nb\xff";
    let file = fixture.join("stream");
    std::fs::write(&file, Stream::new(1).subvol(name).mkfile("f").end().bytes())?;
    let path = file.to_str().context("a path")?;
    ran(&fixture, &["receive", "tank", path])?.success()?;
    let shown = ran(&fixture, &["snapshots", "tank"])?.success()?;
    ensure!(!steers(&shown.out()), "{:?}", shown.out());
    ensure!(shown.out().contains("\\u{1b}[2J") && shown.out().contains("\\xff"), "{:?}", shown.out());
    let json = ran(&fixture, &["snapshots", "tank", "--json"])?.success()?;
    ensure!(!steers(&json.out()), "{:?}", json.out());
    serde_json::from_slice::<serde_json::Value>(&json.stdout)?;

    // The second one fails, and the sentence has the name in it.
    let failed = ran(&fixture, &["receive", "tank", path])?;
    ensure!(failed.code() == 1, "{failed:?}");
    ensure!(!steers(&failed.err()) && !steers(&failed.out()), "{:?}", failed.err());
    ensure!(failed.err().contains("\\u{1b}[2J") || failed.err().contains("\\x1b[2J"), "{:?}", failed.err());
    Ok(())
}
