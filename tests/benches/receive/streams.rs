//! The streams, made once by `btrfs send` and kept between runs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cases::Case;
use crate::disk::{self, Volume};
use crate::increment::Tree;
use crate::random::Random;
use crate::trees;

/// Part of the folder's name: another number makes new streams. Count it up when the trees change.
const EDITION: u32 = 1;

/// How the source is mounted.
const SOURCE_MOUNT: &str = "nodiscard,compress=zstd";

/// A folder of streams.
#[derive(Debug)]
pub(crate) struct Streams {
    folder: PathBuf,
}

impl Streams {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.path(name).is_file())
    }

    /// Sends a read-only subvolume into a file that gets its name when it is whole.
    fn send(&self, name: &str, subvolume: &Path, how: &[&OsStr]) -> Result<()> {
        let partial = self.path(&format!("{name}.partial"));
        let mut words: Vec<&OsStr> = vec!["send".as_ref(), "-q".as_ref()];
        words.extend(how);
        words.extend(["-f".as_ref(), partial.as_os_str(), subvolume.as_os_str()]);
        disk::run("btrfs", words)?;
        std::fs::rename(&partial, self.path(name)).context("the stream cannot be renamed")
    }
}

/// Makes what the cases need and the folder does not have.
pub(crate) fn prepare(cases: &[Case], folder: &Path) -> Result<Streams> {
    let streams = Streams { folder: folder.join(format!("streams-{EDITION}")) };
    std::fs::create_dir_all(&streams.folder)?;
    let wanted = |name: &str| cases.iter().any(|case| case.stream() == name) && !streams.path(name).is_file();
    if wanted("small-v2.stream") || wanted("small-v1.stream") {
        small(&streams).context("the small files")?;
    }
    if wanted("large-v2.stream") {
        large(&streams).context("the large files")?;
    }
    let increment = ["increment-base-v2.stream", "increment-v2.stream"];
    if cases.contains(&Case::Increment) && !streams.has(&increment) {
        clones(&streams).context("the increment")?;
    }
    Ok(streams)
}

fn small(streams: &Streams) -> Result<()> {
    crate::say("making the stream of small files …");
    let volume = Volume::make("source", SOURCE_MOUNT.to_owned())?;
    let live = subvolume(&volume)?;
    let totals = trees::small_files(&live, 100_000, &mut Random::new(1))?;
    crate::say(&format!("    {totals}"));
    let sent = freeze(&volume, "small")?;
    streams.send("small-v2.stream", &sent, &compressed())?;
    streams.send("small-v1.stream", &sent, &["--proto".as_ref(), "1".as_ref()])
}

fn large(streams: &Streams) -> Result<()> {
    crate::say("making the stream of large files …");
    let volume = Volume::make("source", SOURCE_MOUNT.to_owned())?;
    let live = subvolume(&volume)?;
    let totals = trees::large_files(&live, 5, 320 << 20, &mut Random::new(2))?;
    crate::say(&format!("    {totals}"));
    let sent = freeze(&volume, "large")?;
    streams.send("large-v2.stream", &sent, &compressed())
}

fn clones(streams: &Streams) -> Result<()> {
    crate::say("making the increment …");
    let volume = Volume::make("source", SOURCE_MOUNT.to_owned())?;
    let live = subvolume(&volume)?;
    let mut random = Random::new(3);
    let mut tree = Tree::for_increment(&live, &mut random)?;
    let base = freeze(&volume, "base")?;
    tree.change(&mut random)?;
    let next = freeze(&volume, "next")?;
    streams.send("increment-base-v2.stream", &base, &compressed())?;
    let mut how = compressed();
    how.extend([OsStr::new("-p"), base.as_os_str()]);
    streams.send("increment-v2.stream", &next, &how)
}

fn compressed() -> Vec<&'static OsStr> {
    ["--proto", "2", "--compressed-data"].map(OsStr::new).to_vec()
}

fn subvolume(volume: &Volume) -> Result<PathBuf> {
    let path = volume.point().join("live");
    disk::run("btrfs", ["subvolume".as_ref(), "create".as_ref(), path.as_os_str()])?;
    Ok(path)
}

/// A read-only snapshot of the live subvolume, everything on disk.
fn freeze(volume: &Volume, name: &str) -> Result<PathBuf> {
    let (live, path) = (volume.point().join("live"), volume.point().join(name));
    nix::unistd::sync();
    disk::run(
        "btrfs",
        [OsStr::new("subvolume"), OsStr::new("snapshot"), OsStr::new("-r"), live.as_os_str(), path.as_os_str()],
    )?;
    nix::unistd::sync();
    Ok(path)
}
