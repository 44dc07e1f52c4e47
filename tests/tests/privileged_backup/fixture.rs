//! A machine with a source, and a drive.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::{Ended, Layout, Sandbox, Volume, WorkerProcess, all_names, butterdockd, snapshot};
use serde_json::{Value, json};

/// Two volumes. On the one are the source and a folder for snapshots beside it.
pub(crate) struct Fixture {
    // Fields are dropped in this order, and the sandbox must outlast what is in it.
    /// The folder for snapshots.
    pub(crate) folder: PathBuf,
    pub(crate) source: Volume,
    pub(crate) drive: Volume,
    pub(crate) sandbox: Sandbox,
    /// What the daemon would remember: what the source and the drive share.
    shared: Mutex<Vec<Value>>,
}

/// `home`
pub(crate) const NAME: &str = "686f6d65";

impl Fixture {
    /// With a little in the source.
    pub(crate) fn new() -> Result<Self> {
        Self::sized(1024, 1024)
    }

    /// With volumes of so many mebibytes.
    pub(crate) fn sized(source: u64, drive: u64) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let source = sandbox.volume("source", &Layout::sized(source, ""))?;
        let drive = sandbox.volume("drive", &Layout::sized(drive, ""))?;
        snapshot::create(&source.join("live"))?;
        let folder = source.join("snapshots");
        fs::create_dir(&folder)?;
        fs::create_dir(drive.join("backups"))?;
        let fixture = Self { folder, source, drive, sandbox, shared: Mutex::default() };
        fs::write(fixture.live("file"), vec![b'x'; 3 << 20])?;
        Ok(fixture)
    }

    /// A path in the source.
    pub(crate) fn live(&self, name: &str) -> PathBuf {
        self.source.join("live").join(name)
    }

    /// The folder for snapshots.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// The destination.
    pub(crate) fn destination(&self) -> PathBuf {
        self.drive.join("backups")
    }

    /// Begins a backup.
    pub(crate) fn begin(&self, order: &Value) -> Result<WorkerProcess> {
        let mut order = order.clone();
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (order["backup"]["own"], order["backup"]["shared"]) = (json!(shared.len()), json!(shared));
        let source = File::open(self.live(""))?;
        let folder = File::open(self.folder())?;
        let destination = File::open(self.destination())?;
        WorkerProcess::new(&butterdockd()?, &order, &[source.as_fd(), folder.as_fd(), destination.as_fd()])
    }

    /// Backs up; the reports.
    pub(crate) fn back_up(&self) -> Result<Ended> {
        self.run(&order())
    }

    /// Backs up and keeps what the reports say of the drive.
    pub(crate) fn run(&self, order: &Value) -> Result<Ended> {
        let ended = self.begin(order)?.finish()?.success()?;
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        for told in events(&ended, "pinned") {
            let nested = told["learned"]["nested"].as_array().cloned().unwrap_or_default();
            shared.extend(nested.into_iter().chain([told["learned"]["shared"].clone()]));
        }
        drop(shared);
        Ok(ended)
    }

    /// Prunes beside the source, as after a backup with this task.
    pub(crate) fn prune(&self, task: &Value) -> Result<Ended> {
        let folder = File::open(self.folder())?;
        WorkerProcess::new(&butterdockd()?, &json!({"prune": task}), &[folder.as_fd()])?.finish()?.success()
    }

    /// The names in the folder and on the drive, hidden ones with them, but for the directory of records.
    pub(crate) fn names(&self) -> Result<(Vec<String>, Vec<String>)> {
        Ok((all_names(&self.folder())?, all_names(&self.destination())?))
    }

    /// That the newest on the drive is what the source is now.
    pub(crate) fn is_restorable(&self) -> Result<()> {
        let (mine, theirs) = self.names()?;
        let newest = theirs.last().context("nothing on the drive")?;
        ensure!(mine.last() == Some(newest), "{mine:?} {theirs:?}");
        let there = Tree::read(&self.destination().join(newest))?;
        same("drive and snapshot", &Tree::read(&self.folder().join(newest))?, &there, Rules::SOURCE_OF_INCREMENT)
    }
}

/// An order that keeps nearly everything.
pub(crate) fn order() -> Value {
    with(json!({}))
}

/// The same with other fields.
pub(crate) fn with(fields: Value) -> Value {
    let mut task = json!({
        "name": NAME,
        "keep": {"last": 100, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0},
        "protect": 0,
        "pins": [],
        "machine": "0b".repeat(16),
        "writer_threads": null,
        "dry_run": false,
    });
    if let (Some(task), Value::Object(fields)) = (task.as_object_mut(), fields) {
        task.extend(fields);
    }
    json!({"backup": task})
}

/// The 22nd of November 2026.
pub(crate) const START: i64 = 1_795_378_500;

/// Wall time, in seconds since 1970. A snapshot beside the source is pruned only if its name is within 10 minutes of its
/// creation.
pub(crate) fn now() -> Result<i64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs())?)
}

/// The order with this wall time, in seconds since 1970: names of snapshots have seconds, and no test waits for one.
pub(crate) fn at(mut order: Value, wall: i64) -> Result<Value> {
    let text = fs::read_to_string("/proc/uptime")?;
    let boot: u64 = text.split('.').next().context("seconds")?.parse()?;
    order["backup"]["time"]["given"] = json!({"wall": wall, "boot": boot});
    Ok(order)
}

/// The reports of one kind.
pub(crate) fn events<'e>(ended: &'e Ended, kind: &str) -> Vec<&'e Value> {
    ended.said("backup").into_iter().filter_map(|told| told.get(kind)).collect()
}

/// Whether it was an increment.
pub(crate) fn incremental(ended: &Ended) -> Result<bool> {
    let published = ended.said("published");
    let [published] = published.as_slice() else { anyhow::bail!("{:?}", ended.reports) };
    published["incremental"].as_bool().context("yes or no")
}

/// Bytes of the stream that came.
pub(crate) fn bytes(ended: &Ended) -> Result<u64> {
    ended.said("ended").first().and_then(|end| end["counts"]["bytes"].as_u64()).context("counts")
}
