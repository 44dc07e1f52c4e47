//! What is printed: `-q`, `-v`, `--json`, `--progress`, and nothing else.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::trees::Content;
use butterdock_tests::wire::Stream;
use butterdock_tests::{TIMEOUT, run, start};
use serde_json::Value;

use crate::fixture::{Fixture, printed, refused};

#[test]
fn output_goes_to_the_streams_of_the_standard_receiver() -> Result<()> {
    let fixture = Fixture::new()?;
    printed(&fixture.receive_full(&[])?, "", "At subvol full\n")?;
    let finished = run(fixture.command()?.arg("-f").arg(&fixture.child).arg(fixture.volume.path()), TIMEOUT)?;
    printed(&finished, "At snapshot child\n", "")
}

#[test]
fn quiet_prints_nothing_on_success_and_one_line_on_failure() -> Result<()> {
    let fixture = Fixture::new()?;
    printed(&fixture.receive_full(&["-q"])?, "", "")?;
    let finished =
        run(fixture.command()?.args(["--quiet", "-f"]).arg(&fixture.child).arg(fixture.volume.path()), TIMEOUT)?;
    printed(&finished, "", "")?;
    let again = fixture.receive_full(&["-q"])?;
    ensure!(again.err().lines().count() == 1, "{:?}", again.err());
    refused(&again, "exist")
}

#[test]
fn verbose_prints_more_and_is_accepted_twice() -> Result<()> {
    let fixture = Fixture::new()?;
    let finished = fixture.receive_full(&["-vv"])?.success()?;
    ensure!(finished.err().contains("At subvol full"), "{:?}", finished.err());
    ensure!(finished.err().contains("file") && finished.err().lines().count() > 2, "{:?}", finished.err());
    let finished =
        run(fixture.command()?.arg("-vf").arg(&fixture.child).arg(fixture.volume.path()), TIMEOUT)?.success()?;
    ensure!(!finished.err().is_empty() || finished.out().lines().count() > 1, "says nothing more");
    fixture.holds(&["child", "full"])
}

#[test]
fn json_is_one_object_a_line_and_ends_with_the_result() -> Result<()> {
    let fixture = Fixture::new()?;
    let finished = fixture.receive_full(&["--json"])?.success()?;
    ensure!(finished.err().is_empty(), "stderr {:?}", finished.err());
    let result = last_object(&finished.out())?;
    ensure!(result["type"] == "result" && result["success"] == true, "{result}");
    for field in ["encoded_writes", "fallbacks", "clones", "bytes", "seconds"] {
        ensure!(result[field].is_number(), "no {field} in {result}");
    }
    ensure!(result["bytes"] == fs::metadata(&fixture.full)?.len(), "{result}");

    let finished = fixture.receive_full(&["--json"])?;
    refused(&finished, "exist")?;
    let result = last_object(&finished.out())?;
    ensure!(result["type"] == "result" && result["success"] == false, "{result}");
    Ok(())
}

fn last_object(text: &str) -> Result<Value> {
    let mut last = Value::Null;
    for line in text.lines() {
        last = serde_json::from_str(line).with_context(|| line.to_owned())?;
        ensure!(last.is_object(), "no object: {line}");
    }
    Ok(last)
}

#[test]
fn progress_is_limited_and_never_goes_back() -> Result<()> {
    let fixture = Fixture::new()?;
    let mut running = start(fixture.command()?.arg("--json").arg(fixture.volume.path()).stdin(Stdio::piped()))?;
    let mut input = running.input()?;
    let mut stream = Stream::new(1).subvol("slow").mkfile("f");
    let began = Instant::now();
    for block in 0..60 {
        let next = stream.write("f", block * 8192, Content::Noise.bytes(8192, block));
        input.write_all(next.bytes())?;
        stream = Stream::default();
        std::thread::sleep(Duration::from_millis(40));
    }
    input.write_all(stream.end().bytes())?;
    drop(input);
    let finished = running.finish(TIMEOUT)?.success()?;
    let seconds = began.elapsed().as_secs_f64();
    let mut bytes = Vec::new();
    for line in finished.out().lines() {
        let object: Value = serde_json::from_str(line)?;
        if object["type"] == "progress" {
            bytes.push(object["bytes"].as_u64().context("bytes")?);
        }
    }
    let most = 4.0 * seconds + 1.0;
    ensure!(bytes.len() >= 3, "only {} lines of progress in {seconds} s", bytes.len());
    ensure!(f64::from(u32::try_from(bytes.len())?) <= most, "{} lines of progress in {seconds} s", bytes.len());
    ensure!(bytes.is_sorted(), "goes back: {bytes:?}");
    Ok(())
}

#[test]
fn no_bar_is_drawn_where_stderr_is_no_terminal() -> Result<()> {
    let fixture = Fixture::new()?;
    printed(&fixture.receive_full(&["--progress", "auto"])?, "", "At subvol full\n")?;
    let finished = run(
        fixture.command()?.args(["--progress=never", "-f"]).arg(&fixture.child).arg(fixture.volume.path()),
        TIMEOUT,
    )?;
    printed(&finished, "At snapshot child\n", "")
}

#[test]
fn a_name_in_an_error_cannot_forge_a_line() -> Result<()> {
    let fixture = Fixture::new()?;
    let stream = Stream::new(1).subvol("sub").unlink("x\nERROR: forged\x1b[2J").end();
    let file = fixture.keep("forged", stream.bytes())?;
    let finished = run(fixture.command()?.arg("-f").arg(file).arg(fixture.volume.path()), TIMEOUT)?;
    refused(&finished, "command 2")?;
    ensure!(!finished.stderr.contains(&0x1b), "a terminal is steered: {:?}", finished.err());
    fixture.holds(&[])
}
