//! Random valid streams through both receivers: combined, joined or deferred commands must give the same tree as plain
//! order.

use std::fs;

use anyhow::{Context as _, Result};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::wire::RandomStream;
use butterdock_tests::{Receiver, Sandbox, TIMEOUT, rounds, run, snapshot};

/// The seeds from `first` on, more of them with `FULL=1`; `BUTTERDOCK_SEED` asks for one alone, `BUTTERDOCK_SEEDS` for so many.
fn seeds(first: u64) -> Result<Vec<u64>> {
    if let Ok(asked) = std::env::var("BUTTERDOCK_SEED") {
        return Ok(vec![asked.parse().context("BUTTERDOCK_SEED")?]);
    }
    let count = match std::env::var("BUTTERDOCK_SEEDS") {
        Ok(asked) => asked.parse().context("BUTTERDOCK_SEEDS")?,
        Err(_) => rounds(12, 40),
    };
    Ok((first..first + count).collect())
}

fn alike(steps: usize, first: u64) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let (ours, standard) = (sandbox.plain_volume("ours")?, sandbox.plain_volume("standard")?);
    let file = sandbox.join("stream");
    for seed in seeds(first)? {
        let (full, child) = RandomStream::pair("full", "child", seed, steps);
        for (name, stream) in [("full", full), ("child", child)] {
            fs::write(&file, stream)?;
            for (receiver, volume) in [(Receiver::Ours, &ours), (Receiver::Standard, &standard)] {
                run(receiver.command()?.arg("-f").arg(&file).arg(volume.path()), TIMEOUT)?
                    .success()
                    .with_context(|| format!("seed {seed}, {steps} steps, {name}, {receiver:?}"))?;
            }
            let (mut one, mut other) = (Tree::read(&standard.join(name))?, Tree::read(&ours.join(name))?);
            forget_chance(&mut one, &mut other);
            same(&format!("seed {seed}, {steps} steps"), &one, &other, Rules { flags: true, ..Rules::COPIES })?;
        }
        for volume in [&ours, &standard] {
            snapshot::delete(&volume.join("child"))?;
            snapshot::delete(&volume.join("full"))?;
        }
    }
    Ok(())
}

/// Two runs of one receiver differ too in this: the kernel (6.18) finds the property of a directory that it reads from disk only
/// where the directory's items lie in one leaf, else nothing is handed down; and how a file is flagged when its data does not
/// shrink depends on when it was written out.
fn forget_chance(one: &mut Tree, other: &mut Tree) {
    const COMPRESSED_OR_NOT: u32 = 0x404;
    for (path, entry) in &mut one.entries {
        let Some(there) = other.entries.get_mut(path) else { continue };
        entry.flags &= !COMPRESSED_OR_NOT;
        there.flags &= !COMPRESSED_OR_NOT;
        let property = &b"btrfs.compression"[..];
        if entry.xattrs.contains_key(property) != there.xattrs.contains_key(property) {
            entry.xattrs.remove(property);
            there.xattrs.remove(property);
        }
    }
}

#[test]
fn short_random_streams_give_the_tree_of_plain_order() -> Result<()> {
    alike(40, 0)
}

#[test]
fn long_random_streams_give_the_tree_of_plain_order() -> Result<()> {
    alike(600, 10_000)
}
