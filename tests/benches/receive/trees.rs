//! The trees that are sent in full.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::random::{Contents, Random};

/// What a tree came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    files: u64,
    folders: u64,
    symlinks: u64,
    bytes: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} files, {} folders, {} symlinks, {} MB",
            self.files,
            self.folders,
            self.symlinks,
            self.bytes / 1_000_000
        )
    }
}

/// So many small files as a system or a source tree has them, a folder for every fifteen, one symlink for twenty.
pub(crate) fn small_files(root: &Path, count: usize, random: &mut Random) -> Result<Totals> {
    let contents = Contents::new(random);
    let mut totals = Totals::default();
    let mut folders = vec![root.to_owned()];
    for number in 0..count {
        if number % 15 == 0 {
            // Five folders or so in every folder: seven levels.
            let above = pick(&folders, random.below(folders.len().div_ceil(3)).max(folders.len() / 6))?;
            let folder = above.join(format!("folder-{number:06}"));
            fs::create_dir(&folder)?;
            folders.push(folder);
            totals.folders += 1;
        }
        let folder = pick(&folders, folders.len() - 1)?;
        let path = folder.join(format!("file-{number:06}.{}", pick(&["c", "h", "txt", "o"], number % 4)?));
        let len = small_len(random);
        let content = if random.percent(10) { contents.noise(random, len) } else { contents.text(random, len) };
        write_new(&path, content)?;
        dress(&path, random)?;
        totals.files += 1;
        totals.bytes += u64::try_from(content.len())?;
        if number % 20 == 0 {
            let target = format!("../folder-{:06}/file-{number:06}.c", number / 2);
            symlink(target, folder.join(format!("link-{number:06}")))?;
            totals.symlinks += 1;
        }
    }
    Ok(totals)
}

/// A few large files: mostly text, every eighth MiB noise.
pub(crate) fn large_files(root: &Path, count: usize, len: usize, random: &mut Random) -> Result<Totals> {
    const PIECE: usize = 1 << 20;
    let contents = Contents::new(random);
    let mut totals = Totals::default();
    for number in 0..count {
        let mut file = File::create_new(root.join(format!("large-{number}")))?;
        for piece in 0..len / PIECE {
            let content = if piece % 8 == 7 { contents.noise(random, PIECE) } else { contents.text(random, PIECE) };
            file.write_all(content)?;
        }
        totals.files += 1;
        totals.bytes += u64::try_from(len)?;
    }
    Ok(totals)
}

/// Mostly 0 to 16 KiB, half of them towards the small end; a few up to 200 KiB.
fn small_len(random: &mut Random) -> usize {
    match random.below(100) {
        0..3 => 16_384 + random.below(184_000),
        3..50 => {
            let end = 1 << (6 + random.below(9));
            random.below(end)
        }
        _ => random.below(16_384),
    }
}

/// Modes and owners as a home folder has them.
fn dress(path: &Path, random: &mut Random) -> Result<()> {
    if random.percent(12) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    if random.percent(30) {
        chown(path, Some(1000), Some(1000))?;
    }
    Ok(())
}

pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = File::create_new(path).with_context(|| path.display().to_string())?;
    Ok(file.write_all(content)?)
}

pub(crate) fn pick<T>(list: &[T], at: usize) -> Result<&T> {
    list.get(at).context("a list is shorter than expected")
}
