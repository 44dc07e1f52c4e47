//! Several subvolumes in one input.

use std::fs;

use anyhow::{Result, ensure};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::wire::Stream;
use butterdock_tests::{TIMEOUT, run};

use crate::fixture::{Fixture, full_stream, printed, refused};

#[test]
fn concatenated_streams_are_received_one_after_the_other() -> Result<()> {
    let fixture = Fixture::new()?;
    let all = [full_stream("a", 1).bytes(), full_stream("b", 2).bytes(), full_stream("c", 3).bytes()].concat();
    let file = fixture.keep("all", &all)?;
    let finished = run(fixture.command()?.arg("-f").arg(file).arg(fixture.volume.path()), TIMEOUT)?;
    printed(&finished, "", "At subvol a\nAt subvol b\nAt subvol c\n")?;
    fixture.holds(&["a", "b", "c"])
}

#[test]
fn a_parent_and_its_child_come_in_one_input() -> Result<()> {
    let fixture = Fixture::new()?;
    let file = fixture.keep("all", &[fs::read(&fixture.full)?, fs::read(&fixture.child)?].concat())?;
    let finished = run(fixture.command()?.arg("-f").arg(file).arg(fixture.volume.path()), TIMEOUT)?;
    printed(&finished, "At snapshot child\n", "At subvol full\n")?;
    let text = fs::read_to_string(fixture.volume.join("child/file"))?;
    ensure!(text.starts_with("contechanged"), "{text}");
    fixture.has("full")
}

#[test]
fn a_broken_last_stream_leaves_earlier_subvolumes() -> Result<()> {
    let fixture = Fixture::new()?;
    let broken = full_stream("c", 3).cut(12);
    let garbage = Stream::default().raw(b"and something else");
    for (last, word) in [(broken, "c"), (garbage, "stream")] {
        let all = [full_stream("a", 1).bytes(), full_stream("b", 2).bytes(), last.bytes()].concat();
        let file = fixture.keep("all", &all)?;
        let finished = run(fixture.command()?.arg("-f").arg(file).arg(fixture.volume.path()), TIMEOUT)?;
        refused(&finished, word)?;
        fixture.holds(&["a", "b"])?;
        for name in ["a", "b"] {
            fixture.has(name)?;
            ensure!(snapshot::show(&fixture.volume.join(name))?.read_only, "{name} can be written");
            snapshot::delete(&fixture.volume.join(name))?;
        }
    }
    Ok(())
}

#[test]
fn with_e_only_the_first_of_concatenated_streams_is_received() -> Result<()> {
    let fixture = Fixture::new()?;
    let file = fixture.keep("all", &[full_stream("a", 1).bytes(), full_stream("b", 2).bytes()].concat())?;
    run(fixture.command()?.arg("-e").arg("-f").arg(file).arg(fixture.volume.path()), TIMEOUT)?.success()?;
    fixture.holds(&["a"])
}

/// `btrfs send -e`: one header, one END, and every SUBVOL or SNAPSHOT ends the subvolume before it.
#[test]
fn subvolumes_sent_together_are_all_received() -> Result<()> {
    let fixture = Fixture::new()?;
    let source = fixture.sandbox.plain_volume("source")?;
    let mut snapshots = Vec::new();
    for name in ["x", "y", "z"] {
        snapshot::create(&source.join(format!("live-{name}")))?;
        fs::write(source.join(format!("live-{name}/file")), format!("content of {name}"))?;
        snapshot::freeze(&source.join(format!("live-{name}")), &source.join(name))?;
        snapshots.push(source.join(name));
    }
    let file = fixture.sandbox.join("together");
    snapshot::send_together(Proto::Two, &snapshots, &file)?;
    for options in [&["-q"][..], &["-q", "-e"]] {
        run(fixture.command()?.args(options).arg("-f").arg(&file).arg(fixture.volume.path()), TIMEOUT)?.success()?;
        fixture.holds(&["x", "y", "z"])?;
        for name in ["x", "y", "z"] {
            fixture.has(name)?;
            snapshot::delete(&fixture.volume.join(name))?;
        }
    }
    Ok(())
}

#[test]
fn as_is_refused_where_there_are_several() -> Result<()> {
    let fixture = Fixture::new()?;
    let file = fixture.keep("all", &[full_stream("a", 1).bytes(), full_stream("b", 2).bytes()].concat())?;
    let finished = run(fixture.command()?.args(["--as", "one", "-f"]).arg(file).arg(fixture.volume.path()), TIMEOUT)?;
    refused(&finished, "one")?;
    // The first one was whole before the second began.
    fixture.holds(&["one"])
}
