//! Streams to receive, and what must have come of them.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
pub(crate) use butterdock_tests::names;
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::{Finished, Layout, Sandbox, Volume, trees};

/// A snapshot `s0` at the source, and its stream.
pub(crate) struct Source {
    pub(crate) stream: PathBuf,
    pub(crate) tree: Tree,
    // Keeps the snapshot mounted while the tree is compared.
    _volume: Volume,
}

impl Source {
    /// The whole tree, compressed.
    pub(crate) fn of_everything(sandbox: &Sandbox) -> Result<Self> {
        Self::of(sandbox, Proto::TwoCompressed, trees::build)
    }

    /// Whatever `fill` makes.
    pub(crate) fn of(sandbox: &Sandbox, proto: Proto, fill: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let options = if proto == Proto::TwoCompressed { "compress=zstd" } else { "" };
        let volume = sandbox.volume("source", &Layout::sized(2048, options))?;
        let live = volume.join("live");
        snapshot::create(&live)?;
        fill(&live)?;
        snapshot::freeze(&live, &volume.join("s0"))?;
        let stream = sandbox.join("stream");
        snapshot::send(proto, None, &volume.join("s0"), &stream)?;
        Ok(Self { stream, tree: Tree::read(&volume.join("s0"))?, _volume: volume })
    }

    /// That a copy is whole: the source's tree, read-only and marked.
    pub(crate) fn is_whole_at(&self, copy: &Path) -> Result<()> {
        same("the copy", &self.tree, &Tree::read(copy)?, Rules::SOURCE)?;
        let shown = snapshot::show(copy)?;
        ensure!(shown.read_only, "{} can be written", copy.display());
        ensure!(shown.received_uuid != "-", "{} is not marked as received", copy.display());
        Ok(())
    }
}

/// That nothing at all is in a folder.
pub(crate) fn is_empty(folder: &Path) -> Result<()> {
    let (visible, hidden) = names(folder)?;
    ensure!(visible.is_empty() && hidden.is_empty(), "left behind: {visible:?} {hidden:?}");
    Ok(())
}

/// That a run failed with one line that has one of these words.
pub(crate) fn failed_with(finished: &Finished, words: &[&str]) -> Result<()> {
    ensure!(finished.code() == 1, "{} ended with {}", finished.what, finished.code());
    let errors = finished.errors();
    ensure!(errors.len() == 1, "not one error: {}", finished.err());
    let small = finished.err().to_lowercase();
    ensure!(words.iter().any(|word| small.contains(word)), "says none of {words:?}: {small}");
    Ok(())
}
