//! How soon the daemon answers when it has much to do, and how soon a cancel is in effect.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use butterdock_dbus::JobState;
use butterdock_tests::{Client, Sandbox, Service, Setup, memory};
use serde_json::json;
use uuid::Uuid;

use crate::endless;

const FOLLOWERS: usize = 20;
const QUEUED: usize = 50;
const DRIVES: usize = 40;
const BACKUPS: usize = 200;
const CALLS: usize = 500;
const CANCELS: usize = 20;

/// What was measured; times with the shortest first.
#[derive(Debug)]
pub(crate) struct Calls {
    /// `GetManagedObjects` on an idle service that knows forty drives, which are away, and two hundred backups.
    pub(crate) at_rest: Vec<Duration>,
    /// The same while two jobs run, fifty wait and twenty clients follow everything.
    pub(crate) under_load: Vec<Duration>,
    /// Cancel of a job at work.
    pub(crate) cancel_at_work: Vec<Duration>,
    /// Cancel of a job whose stream is silent.
    pub(crate) cancel_silent: Vec<Duration>,
    /// Of the daemon under load.
    pub(crate) resident_kib: u64,
}

pub(crate) fn run() -> Result<Calls> {
    let sandbox = Sandbox::new()?;
    let settings = drives_and_backups(&sandbox)?;
    let setup = Setup { volumes: &["tank", "pool"], settings: &settings, ..Setup::default() };
    let fixture = Service::in_sandbox(sandbox, &setup)?;
    let client = fixture.client()?;
    let at_rest = objects(&client)?;
    let cancel_at_work = cancels(&client, true)?;
    let cancel_silent = cancels(&client, false)?;

    let running = [client.receive("tank", endless::pipe("a")?)?, client.receive("pool", endless::pipe("b")?)?];
    for job in &running {
        client.until_job(job, "runs", |job| job.bytes_received > 0)?;
    }
    let (silent, _writer) = std::io::pipe()?;
    for number in 0..QUEUED {
        client.receive(if number % 2 == 0 { "tank" } else { "pool" }, &silent)?;
    }
    drop(silent);
    let followers = Followers((0..FOLLOWERS).map(|_| follower(&fixture)).collect::<Result<_>>()?);
    // They come in at their own pace.
    std::thread::sleep(Duration::from_secs(2));
    let under_load = objects(&client)?;
    let resident_kib = memory(fixture.pid())?.resident;
    for job in &running {
        ensure!(client.job(job)?.state == JobState::Running, "a job did not run all the while");
    }
    drop(followers);
    Ok(Calls { at_rest, under_load, cancel_at_work, cancel_silent, resident_kib })
}

/// Records of enrolled drives, which are away; the settings of backups to them.
fn drives_and_backups(sandbox: &Sandbox) -> Result<String> {
    let records = sandbox.join("state/drives");
    std::fs::create_dir_all(&records)?;
    let uuid = |kind: u128, number: usize| Uuid::from_u128((kind << 64) | number as u128).to_string();
    for drive in 0..DRIVES {
        let member = json!({ "device": uuid(1, drive), "serial": format!("WX{drive}"), "size": 2_u64 << 40 });
        let record = json!({
            "version": 2, "id": uuid(2, drive), "label": format!("Drive {drive}"), "filesystem": uuid(3, drive),
            "members": [member], "nonce": uuid(4, drive), "enrolled": 1_700_000_000_000_000_u64,
        });
        std::fs::write(records.join(format!("{}.json", uuid(2, drive))), record.to_string())?;
    }
    let backup = |number: usize| {
        let drive = number % DRIVES;
        format!("[[backup]]\nname = \"backup-{number}\"\nsource = \"/srv/{number}\"\ndrives = [\"Drive {drive}\"]\n")
    };
    Ok((0..BACKUPS).map(backup).collect())
}

/// Clients that follow everything, as long as this lives.
struct Followers(Vec<Child>);

impl Drop for Followers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn follower(fixture: &Service) -> Result<Child> {
    let mut watch = fixture.butterdock(&["watch", "--json"])?;
    Ok(watch.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

fn objects(client: &Client) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for _ in 0..CALLS {
        let start = Instant::now();
        client.objects()?;
        took.push(start.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    took.sort();
    Ok(took)
}

fn cancels(client: &Client, at_work: bool) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    for _ in 0..CANCELS {
        let (silent, _writer) = std::io::pipe()?;
        let job = client.receive("tank", if at_work { endless::pipe("c")? } else { silent })?;
        client.until_job(&job, "runs", |job| job.state == JobState::Running && (!at_work || job.bytes_received > 0))?;
        std::thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        client.cancel(&job)?;
        took.push(start.elapsed());
    }
    took.sort();
    Ok(took)
}
