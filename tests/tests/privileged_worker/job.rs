//! The work of a worker, and its reports.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::wire::Stream;
use butterdock_tests::{Ended, Layout, Receiver, Sandbox, TIMEOUT, WorkerProcess, butterdockd, receive, run, trees};
use rustix::fs::{Mode, OFlags, open};
use serde_json::json;

use crate::fixture::{inner_volume, names, through_worker, unfinished};

#[test]
fn a_stream_arrives_through_a_worker_as_it_does_directly() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = sandbox.volume("source", &Layout::sized(2048, "compress=zstd"))?;
    let live = source.join("live");
    snapshot::create(&live)?;
    trees::build(&live)?;
    snapshot::freeze(&live, &source.join("s0"))?;
    let stream = sandbox.join("stream");
    snapshot::send(Proto::TwoCompressed, None, &source.join("s0"), &stream)?;
    let (ours, direct) = (sandbox.plain_volume("ours")?, sandbox.plain_volume("direct")?);
    let ended = through_worker(&stream, ours.path())?.success()?;
    Receiver::Ours.receive(&stream, direct.path())?;
    same("worker and direct", &Tree::read(&direct.join("s0"))?, &Tree::read(&ours.join("s0"))?, Rules::COPIES)?;

    let shown = snapshot::show(&ours.join("s0"))?;
    ensure!(shown.read_only && shown.received_uuid == snapshot::show(&source.join("s0"))?.uuid, "{shown:?}");
    let published = ended.said("published");
    let [published] = published.as_slice() else { anyhow::bail!("published: {published:?}") };
    ensure!(published["name"] == "7330" && published["incremental"] == false, "{published}");
    ensure!(published["end"].as_u64() == Some(fs::metadata(&stream)?.len()), "{published}");
    ensure!(published["received_uuid"] == json!(shown.received_uuid.replace('-', "")), "{published}");
    let confined = ended.said("confined");
    ensure!(confined == [&json!({"landlock": true, "lacking": null})], "this kernel lacks something: {confined:?}");
    Ok(())
}

#[test]
fn a_parent_outside_the_mounted_subvolume_is_found_from_within() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = sandbox.plain_volume("source")?;
    let live = source.join("live");
    snapshot::create(&live)?;
    trees::build(&live)?;
    snapshot::freeze(&live, &source.join("s0"))?;
    trees::change(&live)?;
    snapshot::freeze(&live, &source.join("s1"))?;
    let (full, increment) = (sandbox.join("full"), sandbox.join("increment"));
    snapshot::send(Proto::Two, None, &source.join("s0"), &full)?;
    snapshot::send(Proto::Two, Some(&source.join("s0")), &source.join("s1"), &increment)?;
    let ours = inner_volume(&sandbox, |volume| Receiver::Standard.receive(&full, volume.path()))?;
    let ended = through_worker(&increment, ours.path())?.success()?;
    ensure!(ended.said("published").first().is_some_and(|told| told["incremental"] == true), "{:?}", ended.reports);
    let (source, ours) = (Tree::read(&source.join("s1"))?, Tree::read(&ours.join("s1"))?);
    same("incremental", &source, &ours, Rules::SOURCE_OF_INCREMENT)
}

#[test]
fn several_streams_in_one_input_are_reported_separately() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let ours = sandbox.plain_volume("ours")?;
    let one = unfinished("one").end();
    let both = [one.bytes(), unfinished("two").end().bytes(), b"nonsense"].concat();
    fs::write(sandbox.join("stream"), &both)?;
    let ended = through_worker(&sandbox.join("stream"), ours.path())?;
    let ends: Vec<_> = ended.said("published").iter().filter_map(|told| told["end"].as_u64()).collect();
    ensure!(ends == [one.bytes().len() as u64, both.len() as u64 - 8], "{ends:?}");
    let error = ended.error()?.context("nonsense is an error")?;
    ensure!(error["message"].as_str().is_some_and(|text| text.contains("\"one\" \"two\"")), "{error}");
    ensure!(ended.status.code() == Some(0), "{:?}", ended.status);
    Ok(())
}

#[test]
fn a_failure_is_reported_without_names() -> Result<()> {
    const MARKER: &str = "marker-of-a-secret";
    let sandbox = Sandbox::new()?;
    let ours = sandbox.plain_volume(MARKER)?;
    let twice = Stream::new(1).subvol(MARKER).mkdir(MARKER).mkfile(format!("{MARKER}/{MARKER}")).rmdir(MARKER).end();
    let parentless = Stream::new(1).snapshot(MARKER, [7; 16], 9).end();
    for (stream, kind) in [(twice, "Failed"), (parentless, "ParentMissing")] {
        fs::write(sandbox.join("stream"), stream.bytes())?;
        let ended = through_worker(&sandbox.join("stream"), ours.path())?;
        let error = ended.error()?.context("it must fail")?;
        ensure!(error["kind"] == kind, "{error}");
        ensure!(error["message"].as_str().is_some_and(|text| text.contains(MARKER)), "{error}");
        ensure!(error["command"].is_u64() && error["byte"].is_u64(), "{error}");
        ensure!(error["hidden"] == false, "{error}");
        // Words of closed sets and numbers; the daemon makes its own sentence of them.
        ensure!(error["cause"].is_null() && error["unconfirmed"] == false, "{error}");
        ensure!(error["file"].is_null() && error["files"].is_null() && error["space"].is_null(), "{error}");
        let keys: Vec<&str> = error.as_object().context("an object")?.keys().map(String::as_str).collect();
        let expected =
            ["byte", "cause", "command", "file", "files", "hidden", "kind", "message", "space", "unconfirmed"];
        ensure!(keys == expected, "the daemon would believe more: {keys:?}");
    }
    ensure!(names(ours.path())?.is_empty(), "{:?}", names(ours.path())?);
    Ok(())
}

#[test]
fn a_wrong_descriptor_is_an_error_and_no_crash() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let ours = sandbox.plain_volume("ours")?;
    let opened = |path: &std::path::Path, flags| open(path, flags | OFlags::CLOEXEC, Mode::empty());
    let folder = opened(ours.path(), OFlags::RDONLY)?;
    let folder_path = opened(ours.path(), OFlags::PATH)?;
    let file = sandbox.join("stream");
    fs::write(&file, unfinished("sub").end().bytes())?;
    let (stream, path, written) =
        (opened(&file, OFlags::RDONLY)?, opened(&file, OFlags::PATH)?, opened(&file, OFlags::WRONLY)?);
    let memory = opened(sandbox.path(), OFlags::RDONLY)?;
    let socket = UnixStream::pair()?.0;
    let cases: [&[BorrowedFd<'_>]; 10] = [
        &[],
        &[stream.as_fd()],
        &[folder.as_fd(), folder.as_fd()],
        &[path.as_fd(), folder.as_fd()],
        &[written.as_fd(), folder.as_fd()],
        &[stream.as_fd(), folder_path.as_fd()],
        &[stream.as_fd(), stream.as_fd()],
        &[stream.as_fd(), memory.as_fd()],
        &[stream.as_fd(), socket.as_fd()],
        &[stream.as_fd(), folder.as_fd(), folder.as_fd(), folder.as_fd(), folder.as_fd(), folder.as_fd()],
    ];
    for (number, descriptors) in cases.iter().enumerate() {
        let ended = WorkerProcess::new(&butterdockd()?, &receive(), descriptors)?.finish()?;
        let error = ended.error()?.with_context(|| format!("case {number} must fail"))?;
        ensure!(error["kind"] == "Failed" && ended.status.code() == Some(0), "{number}: {error} {:?}", ended.status);
    }
    ensure!(names(ours.path())?.is_empty(), "{:?}", names(ours.path())?);
    Ok(())
}

#[test]
fn an_invalid_order_ends_with_76() -> Result<()> {
    let long = "x".repeat(70_000);
    for order in ["hello", "{}", long.as_str(), "{\"order\":\"cancel\"}"] {
        let Ended { reports, status } = WorkerProcess::with_order(&butterdockd()?, order.as_bytes(), &[])?.finish()?;
        ensure!(status.code() == Some(76) && reports.is_empty(), "{order}: {status:?} {reports:?}");
    }
    Ok(())
}

#[test]
fn a_worker_started_by_hand_names_the_daemon() -> Result<()> {
    for input in [Stdio::null(), Stdio::piped()] {
        let finished = run(Command::new(butterdockd()?).arg("worker").stdin(input), TIMEOUT)?;
        ensure!(finished.code() == 64, "{}", finished.code());
        let errors = finished.errors();
        ensure!(errors.len() == 1 && errors[0].contains("started by the service"), "{}", finished.err());
    }
    Ok(())
}

#[test]
fn progress_is_sent_up_to_four_times_per_second() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let ours = sandbox.plain_volume("ours")?;
    let (reader, mut input) = std::io::pipe()?;
    let directory = File::open(ours.path())?;
    let mut worker = WorkerProcess::new(&butterdockd()?, &receive(), &[reader.as_fd(), directory.as_fd()])?;
    input.write_all(unfinished("sub").bytes())?;
    worker.wait_for("progress")?;
    let silent = std::time::Instant::now();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (silent, began) = (silent.elapsed(), std::time::Instant::now());
    let mut stream = unfinished("sub");
    let head = stream.bytes().len();
    for number in 0..100 {
        let before = stream.bytes().len();
        stream = stream.write("d/f", number * 100, [b'y'; 100]);
        input.write_all(stream.bytes().get(before..).unwrap_or_default())?;
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    input.write_all(stream.clone().end().bytes().get(stream.bytes().len()..).unwrap_or_default())?;
    drop(input);
    let ended = worker.finish()?.success()?;
    let allowed = began.elapsed().as_millis() / 250 + 2;
    let told = ended.said("progress");
    ensure!((2..=allowed).contains(&(told.len() as u128)), "{} reports, {allowed} are allowed", told.len());
    let bytes: Vec<u64> = told.iter().filter_map(|told| told["counts"]["bytes"].as_u64()).collect();
    // While no data comes, the worker reports only how long it has waited, once a second.
    let waits = bytes.iter().take_while(|&&bytes| bytes == head as u64).count();
    ensure!(waits as u64 <= silent.as_secs() + 1, "told again while nothing came: {bytes:?}");
    ensure!(bytes.is_sorted(), "{bytes:?}");
    Ok(())
}
