//! `butterdock metrics` with a real service, checked with Debian's promtool and read by its `node_exporter`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::spawn;

use anyhow::{Context as _, Result, anyhow, ensure};
use butterdock_dbus::path;
use butterdock_tests::{
    Disk, Finished, Running, Scenario, TIMEOUT, butterdock, elsewhere, no_options, run, start, wait_until,
};

/// With a quote, a backslash, a line feed and an umlaut. mkfs.btrfs refuses it; the kernel sets it.
const LABEL: &str = "Blä\"u\\e\nbutterdock_up 7";

/// A program of Debian's packages prometheus and prometheus-node-exporter; `tests/demo/needs test` has downloaded them.
fn program(name: &str) -> Result<PathBuf> {
    let target = butterdock()?.ancestors().nth(2).context("a target folder")?.to_owned();
    let downloaded = target.join("prometheus").join(name);
    if downloaded.exists() {
        return Ok(downloaded);
    }
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places).map(|place| place.join(name)).find(|place| place.exists());
    found.with_context(|| format!("there is no {name}: run `tests/demo/needs test`"))
}

fn metrics(scenario: &Scenario, words: &[&str]) -> Result<Finished> {
    let mut command = Command::new(butterdock()?);
    command.arg("metrics").args(words);
    command.env("BUTTERDOCK_BUS_ADDRESS", scenario.fixture.bus.address()).stdin(Stdio::null());
    run(&mut command, TIMEOUT)
}

/// The samples: the value of each name with its labels.
fn samples(text: &str) -> Result<BTreeMap<&str, f64>> {
    let lines = text.lines().filter(|line| line.starts_with("butterdock_"));
    lines
        .map(|line| line.rsplit_once(' ').context("a value").and_then(|(name, value)| Ok((name, value.parse()?))))
        .collect()
}

fn set_label(mounted: &Path, label: &str) -> Result<()> {
    let script = "import fcntl, os, sys\n\
                  fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x41009432, sys.argv[2].encode().ljust(256, b'\\0'))";
    run(Command::new("/usr/bin/python3").args(["-c", script]).arg(mounted).arg(label), TIMEOUT)?.success().map(drop)
}

/// `node_exporter` with this directory, and its answer. In the network of the machine: that of a test with a drive has no loopback.
fn exported(folder: &Path) -> Result<String> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let _exporter: Running = start(
        Command::new(program("prometheus-node-exporter")?)
            .args(["--collector.disable-defaults", "--collector.textfile", "--web.disable-exporter-metrics"])
            .arg(format!("--collector.textfile.directory={}", folder.display()))
            .arg(format!("--web.listen-address={address}")),
    )?;
    wait_until("node_exporter listens", || Ok(TcpStream::connect(address).is_ok()))?;
    let mut connection = TcpStream::connect(address)?;
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn metrics_pass_promtool_and_node_exporter() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let (ready, is_ready) = channel();
    let exporter = spawn({
        let folder = folder.to_owned();
        move || is_ready.recv().context("the test failed").and_then(|()| exported(&folder))
    });
    let mut scenario = Scenario::begin()?;
    scenario.job("Backup", &no_options())?;
    let blue = scenario.fixture.one("enrolled", |is| is.enrolled)?;
    let blue = path::destination_id(&blue.path).context("an id")?;
    let other = scenario.fixture.image("b", "Other")?;
    elsewhere(&other, |mounted| set_label(mounted, LABEL))?;
    let _other = Disk::attach(&other)?;
    let other = scenario.fixture.one("the other drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
    scenario.fixture.enrol(&other)?;

    let file = folder.join("butterdock.prom");
    let words = ["--output", file.to_str().context("a path")?];
    metrics(&scenario, &words)?.success()?;
    ensure!(fs::metadata(&file)?.permissions().mode() & 0o7777 == 0o644, "others cannot read it");
    let checked =
        run(Command::new(program("promtool")?).args(["check", "metrics"]).stdin(File::open(&file)?), TIMEOUT)?;
    ensure!(checked.code() == 0 && checked.out().is_empty() && checked.err().is_empty(), "{checked:?}");

    let text = fs::read_to_string(&file)?;
    let ours = samples(&text)?;
    let of_home = |name: &str| {
        let name = format!("butterdock_backup_{name}{{backup=\"home\",destination=\"{blue}\"}}");
        ours.get(name.as_str()).copied().with_context(|| format!("no {name}: {text}"))
    };
    ensure!(of_home("last_sent_bytes")? > 1000.0 && of_home("last_success_timestamp_seconds")? > 1.7e9, "{text}");
    let took = of_home("last_duration_seconds")?;
    ensure!(took > 0.0 && took < 600.0, "{text}");
    ensure!(ours.get("butterdock_jobs_ended_total{kind=\"backup\",result=\"succeeded\"}") == Some(&1.0), "{text}");

    ready.send(())?;
    let read = exporter.join().map_err(|_panic| anyhow!("it panicked"))??;
    ensure!(read.contains("node_textfile_scrape_error 0\n"), "{read}");
    let theirs = samples(&read)?;
    // node_exporter sorts the labels.
    let infos = theirs.keys().filter(|name| name.starts_with("butterdock_destination_info{"));
    // The service escapes control characters; the quotes and backslashes are escaped here.
    let label = LABEL.replace('\n', "\\u{a}").replace('\\', "\\\\").replace('"', "\\\"");
    ensure!(infos.clone().count() == 2 && infos.clone().any(|info| info.contains(&label)), "{read}");
    let plain = |all: &BTreeMap<&str, f64>| -> Vec<String> {
        all.iter().filter(|(name, _)| !name.contains("_info{")).map(|sample| format!("{sample:?}")).collect()
    };
    ensure!(plain(&theirs) == plain(&ours), "{read}\n{text}");

    // The numbers stay when the service starts again.
    scenario.fixture.stop()?;
    let down = metrics(&scenario, &words)?;
    ensure!(down.code() == 69 && fs::read_to_string(&file)?.ends_with("\nbutterdock_up 0\n"), "{down:?}");
    // What is attached at the start counts as plugged in: no backup may begin that makes other numbers.
    let text = fs::read_to_string(&scenario.fixture.configuration)?;
    fs::write(&scenario.fixture.configuration, text.replace("\"on-plug\"", "\"manual\""))?;
    scenario.fixture.start()?;
    let after = metrics(&scenario, &[])?.success()?.out();
    let after = samples(&after)?;
    for (name, value) in ours.iter().filter(|(name, _)| name.contains("_last_") || name.contains("_total")) {
        ensure!(after.get(name) == Some(value), "{name} was {value}: {after:?}");
    }
    Ok(())
}
