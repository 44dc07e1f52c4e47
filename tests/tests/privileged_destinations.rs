//! Destinations with inherited attributes, and mounts that restrict what a stream can create.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::{Layout, Receiver, Sandbox, TIMEOUT, Volume, run, trees};
use serde_json::Value;

struct Source {
    tree: Tree,
    stream: PathBuf,
    _volume: Volume,
}

impl Source {
    fn new(sandbox: &Sandbox, compression: &str) -> Result<Self> {
        let volume = sandbox.volume("source", &Layout::mounted(&format!("compress={compression}")))?;
        snapshot::create(&volume.join("live"))?;
        trees::build_portable(&volume.join("live"))?;
        snapshot::freeze(&volume.join("live"), &volume.join("s0"))?;
        let stream = sandbox.join("stream");
        snapshot::send(Proto::TwoCompressed, None, &volume.join("s0"), &stream)?;
        Ok(Self { tree: Tree::read(&volume.join("s0"))?, stream, _volume: volume })
    }
}

fn shell(line: &str, folder: &Path) -> Result<()> {
    run(Command::new("sh").args(["-e", "-c", line]).current_dir(folder), TIMEOUT)?.success()?;
    Ok(())
}

#[test]
fn inherited_attributes_of_the_destination_are_not_kept() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::new(&sandbox, "zstd")?;
    let ours = sandbox.plain_volume("ours")?;
    let makers = [
        ("set-gid", "chown 0:77 set-gid; chmod 2777 set-gid"),
        ("compressed", "btrfs property set compressed compression zlib"),
        ("nocow", "chattr +C nocow"),
        ("foreign", "chown 1000:1000 foreign; chmod 700 foreign"),
    ];
    for (name, line) in makers {
        let folder = ours.join(name);
        fs::create_dir(&folder)?;
        shell(line, ours.path())?;
        Receiver::Ours.receive(&source.stream, &folder)?;
        same(name, &source.tree, &Tree::read(&folder.join("s0"))?, Rules::SOURCE)?;
    }
    Ok(())
}

#[test]
fn the_umask_does_not_matter() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::new(&sandbox, "zstd")?;
    let ours = sandbox.plain_volume("ours")?;
    for umask in ["000", "077", "777"] {
        let line = format!("umask {umask}; exec \"$0\" \"$@\"");
        let receive = Receiver::Ours.command()?;
        let mut command = Command::new("sh");
        command.args(["-c", &line]).arg(receive.get_program()).args(["receive", "-f"]);
        run(command.arg(&source.stream).arg(ours.path()), TIMEOUT)?.success()?;
        same(umask, &source.tree, &Tree::read(&ours.join("s0"))?, Rules::SOURCE)?;
        snapshot::delete(&ours.join("s0"))?;
    }
    Ok(())
}

/// How many writes had to be decompressed, as `--json` tells.
fn fallbacks(source: &Source, volume: &Volume) -> Result<u64> {
    let finished =
        run(Receiver::Ours.command()?.arg("--json").arg("-f").arg(&source.stream).arg(volume.path()), TIMEOUT)?;
    let out = finished.success()?.out();
    let result: Value = serde_json::from_str(out.lines().last().unwrap_or_default())?;
    result["fallbacks"].as_u64().context("no count of fallbacks")
}

/// Each of these mounts refuses encoded writes, or treats data in its own way.
#[test]
fn the_content_arrives_with_all_mount_options() -> Result<()> {
    for compression in ["zstd", "zlib", "lzo"] {
        let sandbox = Sandbox::new()?;
        let source = Source::new(&sandbox, compression)?;
        for (name, options, refuses) in [
            ("nodatasum", "nodatasum", true),
            ("nodatacow", "nodatacow", true),
            ("forced", "compress-force=zlib", false),
            ("no-inline", "max_inline=0", false),
            ("autodefrag", "autodefrag", false),
            ("flush", "flushoncommit", false),
        ] {
            let ours = sandbox.volume(name, &Layout::mounted(options))?;
            let count = fallbacks(&source, &ours)?;
            ensure!((count > 20) == refuses, "{name}, {compression}: {count} fallbacks");
            let rules = Rules { holes: false, ..Rules::SOURCE };
            same(&format!("{name}, {compression}"), &source.tree, &Tree::read(&ours.join("s0"))?, rules)?;
        }
    }
    Ok(())
}

/// An image kept by `mkfs` in another shape: larger nodes, several copies, other checksums.
#[test]
fn the_content_arrives_on_every_filesystem_layout() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::new(&sandbox, "zstd")?;
    let shapes: [(&str, &[&str]); 4] = [
        ("nodes", &["-n", "64k"]),
        ("copies", &["-d", "dup", "-m", "dup"]),
        ("xxhash", &["--csum", "xxhash"]),
        ("old", &["-O", "^no-holes", "-R", "^free-space-tree"]),
    ];
    for (name, arguments) in shapes {
        let layout = Layout { mkfs: arguments.iter().map(|word| (*word).to_owned()).collect(), ..Layout::default() };
        let ours = sandbox.volume(name, &layout)?;
        Receiver::Ours.receive(&source.stream, ours.path())?;
        same(name, &source.tree, &Tree::read(&ours.join("s0"))?, Rules::SOURCE)?;
    }
    Ok(())
}
