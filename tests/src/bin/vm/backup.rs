//! Plugged in, backed up, safe.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::lab::{BACKUP, Lab, STEP, say, text};

pub(crate) fn first(lab: &mut Lab) -> Result<()> {
    let blue = lab.blue.clone();
    // A client that is none of ours, and a user who may make backups and nothing else.
    lab.sh("setsid runuser -u ann -- gdbus monitor --system --dest org.butterdock.Butterdock1 >/tmp/seen 2>&1 &")?;
    lab.until("grep -q 'is owned by' /tmp/seen", STEP)?;
    let before = lab.history()?.len();
    lab.machine()?.plug(&blue.at(4 << 20))?;
    let job = lab.backup_after(before, BACKUP)?;
    ensure!(text(&job, "result") == "succeeded", "{job}");
    lab.state("blue", &["safe"], STEP)?;
    lab.sh("pkill -x gdbus; grep -c \"'Progress'\" /tmp/seen && grep -q 'Completed.*succeeded' /tmp/seen")
        .context("no progress was seen on the bus")?;
    lab.sh("! grep -E '/srv/lab|f100|home/' /tmp/seen").context("a signal holds a name of a file")?;
    lab.same_on("blue")?;
    lab.sh("cd /tmp && runuser -u ann -- butterdock backup blue").context("ann may make backups")?;
    lab.sh("! runuser -u ann -- butterdock forget blue").context("ann may nothing else")?;
    lab.sh("butterdock safely-remove blue")?;
    lab.machine()?.pull(&blue.at(4 << 20))
}

pub(crate) fn second(lab: &mut Lab) -> Result<()> {
    let blue = lab.blue.clone();
    lab.sh("cd /srv/lab/home && head -c 300000 /dev/urandom >new && rm d2/f2 && echo more >>text && mv d3 moved")?;
    let before = lab.history()?.len();
    lab.machine()?.plug(&blue)?;
    let job = lab.backup_after(before, BACKUP)?;
    let bytes = job.get("bytes_received").and_then(Value::as_u64).unwrap_or(0);
    ensure!(text(&job, "result") == "succeeded" && bytes > 300_000 && bytes < 2_000_000, "not the change alone: {job}");
    say(&format!("        the change was {bytes} bytes"));
    lab.state("blue", &["safe"], STEP)?;
    lab.same_on("blue")?;
    lab.machine()?.pull(&blue)
}
