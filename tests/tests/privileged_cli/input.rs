//! Where the stream comes from and how it is read: stdin, `-f`, `-e`, `-E`, and the other switches.

use std::fs::{self, File};
use std::io::{Read as _, Write as _, pipe};
use std::os::unix::fs::FileTypeExt as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::wire::Stream;
use butterdock_tests::{Layout, Receiver, TIMEOUT, run, start, trees};

use crate::fixture::{Fixture, full_stream, printed, refused};

#[test]
fn a_stream_comes_by_stdin() -> Result<()> {
    let fixture = Fixture::new()?;
    let finished = run(fixture.command()?.arg(fixture.volume.path()).stdin(File::open(&fixture.full)?), TIMEOUT)?;
    printed(&finished, "", "At subvol full\n")?;
    fixture.has("full")
}

#[test]
fn a_stream_comes_by_a_pipe_from_the_sender() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.receive_full(&[])?.success()?;
    let mut sender = std::process::Command::new("btrfs")
        .args(["-q", "send"])
        .arg(fixture.volume.join("full"))
        .stdout(Stdio::piped())
        .spawn()?;
    // The sender reads the filesystem that is received into.
    fs::create_dir(fixture.volume.join("into"))?;
    let pipe = sender.stdout.take().context("the sender's pipe")?;
    let finished = run(fixture.command()?.arg(fixture.volume.join("into")).stdin(pipe), TIMEOUT)?;
    ensure!(sender.wait()?.success(), "the sender failed");
    printed(&finished, "", "At subvol full\n")?;
    fixture.has("into/full")
}

/// The sender takes part in the commits of the filesystem, and waits while its pipe is full.
#[test]
fn large_streams_pass_a_pipe_from_the_same_filesystem() -> Result<()> {
    let fixture = Fixture::new()?;
    let source = fixture.volume.join("source");
    snapshot::create(&source)?;
    for number in 0..28_u8 {
        let block: Vec<u8> =
            (0..64_u32 << 10).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 ^ number).collect();
        let mut file = File::create(source.join(number.to_string()))?;
        for _ in 0..128 {
            file.write_all(&block)?;
        }
    }
    snapshot::set_read_only(&source, true)?;
    fs::create_dir(fixture.volume.join("into"))?;
    let mut sender =
        std::process::Command::new("btrfs").args(["-q", "send"]).arg(&source).stdout(Stdio::piped()).spawn()?;
    let pipe = sender.stdout.take().context("the sender's pipe")?;
    let finished = run(fixture.command()?.arg(fixture.volume.join("into")).stdin(pipe), TIMEOUT)?;
    ensure!(sender.wait()?.success(), "the sender failed");
    printed(&finished, "", "At subvol source\n")?;
    for number in 0..28 {
        let name = number.to_string();
        ensure!(fs::read(source.join(&name))? == fs::read(fixture.volume.join("into/source").join(&name))?, "{name}");
    }
    Ok(())
}

#[test]
fn options_may_stand_after_the_operand() -> Result<()> {
    let fixture = Fixture::new()?;
    let finished = run(fixture.command()?.arg(fixture.volume.path()).arg("-q").arg("-f").arg(&fixture.full), TIMEOUT)?;
    printed(&finished, "", "")?;
    fixture.has("full")
}

#[test]
fn a_missing_file_is_an_error_that_names_it() -> Result<()> {
    let fixture = Fixture::new()?;
    let missing = fixture.sandbox.join("no such stream");
    let finished = run(fixture.command()?.arg("-f").arg(&missing).arg(fixture.volume.path()), TIMEOUT)?;
    refused(&finished, "no such stream")?;
    fixture.holds(&[])
}

#[test]
fn an_empty_stdin_is_an_error() -> Result<()> {
    let fixture = Fixture::new()?;
    refused(&fixture.receive(&[fixture.volume.path()])?, "empty")?;
    fixture.holds(&[])
}

/// Data after END in a pipe belongs to another reader.
#[test]
fn terminate_on_end_reads_nothing_after_end() -> Result<()> {
    let fixture = Fixture::new()?;
    let (mut reader, mut writer) = pipe()?;
    let large = Stream::new(1).subvol("first");
    let large = (0..40).fold(large.mkfile("f"), |stream, block| stream.write("f", block * 16_384, [7; 16_384])).end();
    let after = [full_stream("second", 2).bytes(), b"and the end"].concat();
    let all = [large.bytes(), &after].concat();
    let feeder = std::thread::spawn(move || writer.write_all(&all));
    let mut command = fixture.command()?;
    let running = start(command.arg("-e").arg(fixture.volume.path()).stdin(reader.try_clone()?))?;
    // The command keeps its copy of the pipe until it is dropped.
    drop(command);
    running.finish(TIMEOUT)?.success()?;
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest)?;
    ensure!(feeder.join().is_ok_and(|fed| fed.is_ok()), "the pipe broke");
    ensure!(rest == after, "{} bytes are left of {}", rest.len(), after.len());
    fixture.holds(&["first"])
}

#[test]
fn with_e_an_open_pipe_does_not_block() -> Result<()> {
    let fixture = Fixture::new()?;
    let mut running = start(fixture.command()?.arg("-e").arg(fixture.volume.path()).stdin(Stdio::piped()))?;
    let mut input = running.input()?;
    input.write_all(&fs::read(&fixture.full)?)?;
    input.flush()?;
    running.finish(TIMEOUT)?.success()?;
    drop(input);
    fixture.has("full")
}

#[test]
fn max_errors_continues_but_publishes_nothing() -> Result<()> {
    let fixture = Fixture::new()?;
    let stream = Stream::new(1).subvol("sub").unlink("one").unlink("two").mkfile("f").unlink("three").end();
    let file = fixture.keep("errors", stream.bytes())?;
    for (allowed, most) in [("1", 1), ("2", 2), ("0", 3)] {
        let finished =
            run(fixture.command()?.args(["-E", allowed, "-f"]).arg(&file).arg(fixture.volume.path()), TIMEOUT)?;
        let errors = finished.errors().len();
        ensure!(finished.code() != 0, "-E {allowed}: succeeded");
        ensure!((1..=most + 1).contains(&errors), "-E {allowed}: {errors} errors: {}", finished.err());
        fixture.holds(&[])?;
    }
    let long =
        run(fixture.command()?.args(["--max-errors", "0", "-f"]).arg(&file).arg(fixture.volume.path()), TIMEOUT)?;
    ensure!(long.code() != 0 && long.err().contains("3 errors"), "did not continue: {}", long.err());
    Ok(())
}

#[test]
fn switches_of_the_standard_receiver_are_accepted() -> Result<()> {
    let fixture = Fixture::new()?;
    let root = fixture.volume.path().display().to_string();
    for options in
        [vec!["-C"], vec!["--chroot"], vec!["-m", &root], vec!["-e"], vec!["-E", "3"], vec!["--max-errors=2"]]
    {
        fixture.receive_full(&options)?.success()?;
        fixture.has("full")?;
        snapshot::delete(&fixture.volume.join("full"))?;
    }
    Ok(())
}

#[test]
fn as_gives_another_name() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.receive_full(&["--as", "other name"])?.success()?;
    fixture.has("other name")?;
    for bad in ["", "..", "a/b", ".butterdock-x"] {
        let finished = fixture.receive_full(&["--as", bad])?;
        ensure!(finished.code() != 0 && finished.errors().len() == 1, "{bad:?}: {}", finished.err());
    }
    fixture.holds(&["other name"])
}

#[test]
fn threads_verify_and_force_decompress_give_the_same_tree() -> Result<()> {
    let fixture = Fixture::new()?;
    let source = fixture.sandbox.volume("source", &Layout::mounted("compress=zstd"))?;
    let live = source.join("live");
    snapshot::create(&live)?;
    trees::build(&live)?;
    snapshot::freeze(&live, &source.join("s0"))?;
    let stream = fixture.sandbox.join("stream");
    snapshot::send(Proto::TwoCompressed, None, &source.join("s0"), &stream)?;
    let tree = Tree::read(&source.join("s0"))?;
    for options in [
        &["--writer-threads", "1"][..],
        &["--writer-threads", "7"],
        &["--verify"],
        &["--force-decompress"],
        &["--force-decompress", "--verify"],
    ] {
        run(Receiver::Ours.command()?.args(options).arg("-f").arg(&stream).arg(fixture.volume.path()), TIMEOUT)?
            .success()?;
        let copy = fixture.volume.join("s0");
        same(&format!("{options:?}"), &tree, &Tree::read(&copy)?, Rules::SOURCE)?;
        snapshot::delete(&copy)?;
    }
    Ok(())
}

#[test]
fn a_fifo_is_a_file_to_read_from() -> Result<()> {
    let fixture = Fixture::new()?;
    let fifo = fixture.sandbox.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    ensure!(fs::metadata(&fifo)?.file_type().is_fifo(), "no fifo");
    let running = start(fixture.command()?.arg("-f").arg(&fifo).arg(fixture.volume.path()))?;
    fs::write(&fifo, fs::read(&fixture.full)?)?;
    running.finish(TIMEOUT)?.success()?;
    fixture.has("full")
}
