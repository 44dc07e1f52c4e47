//! The tree that is sent twice: before a change, and as an increment after it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::random::{Contents, Random};
use crate::trees::{pick, write_new};

/// A tree that is changed between two snapshots.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    folders: Vec<PathBuf>,
    files: Vec<PathBuf>,
    large: Vec<PathBuf>,
    contents: Contents,
}

impl Tree {
    const FOLDERS: usize = 1_500;
    const FILES: usize = 24_000;
    const LARGE: usize = 12;
    const LARGE_LEN: usize = 8 << 20;

    /// The tree before the change.
    pub(crate) fn for_increment(root: &Path, random: &mut Random) -> Result<Self> {
        let mut tree = Self {
            root: root.to_owned(),
            folders: Vec::new(),
            files: Vec::new(),
            large: Vec::new(),
            contents: Contents::new(random),
        };
        for number in 0..Self::FOLDERS {
            let folder = root.join(format!("set-{:02}", number % 30)).join(format!("folder-{number:04}"));
            fs::create_dir_all(&folder)?;
            tree.folders.push(folder);
        }
        for number in 0..Self::FILES {
            let path = pick(&tree.folders, number % Self::FOLDERS)?.join(format!("file-{number:05}"));
            write_new(&path, tree.contents.text(random, 4096 + number * 7919 % 12_000))?;
            tree.files.push(path);
        }
        for number in 0..Self::LARGE {
            let path = root.join(format!("large-{number:02}"));
            write_new(&path, tree.contents.text(random, Self::LARGE_LEN))?;
            tree.large.push(path);
        }
        Ok(tree)
    }

    /// Renames, reflinks, small writes, removals, and some files that are new.
    pub(crate) fn change(&mut self, random: &mut Random) -> Result<()> {
        let copies = self.root.join("copies");
        fs::create_dir(&copies)?;
        for (number, path) in self.files.clone().into_iter().enumerate() {
            match number % 12 {
                0..3 => fs::rename(
                    &path,
                    pick(&self.folders, random.below(Self::FOLDERS))?.join(format!("moved-{number:05}")),
                )?,
                3..6 => reflink(&path, &copies.join(format!("copy-{number:05}")))?,
                6 => append(&path, self.contents.text(random, 3000))?,
                7 if number % 24 == 7 => fs::remove_file(&path)?,
                8 if number % 24 == 8 => {
                    let len = 1 + random.below(12_000);
                    write_new(&path.with_extension("new"), self.contents.text(random, len))?;
                }
                _ => {}
            }
        }
        for (number, path) in self.large.iter().enumerate() {
            shuffle(path, &copies.join(format!("shuffled-{number:02}")), random)?;
        }
        // Last: the paths above are those of the first snapshot.
        for number in (0..Self::FOLDERS).step_by(7) {
            let folder = pick(&self.folders, number)?;
            fs::rename(
                folder,
                self.root.join(format!("set-{:02}", random.below(30))).join(format!("renamed-{number:04}")),
            )?;
        }
        Ok(())
    }
}

fn append(path: &Path, content: &[u8]) -> Result<()> {
    Ok(File::options().append(true).open(path)?.write_all(content)?)
}

fn reflink(from: &Path, to: &Path) -> Result<()> {
    rustix::fs::ioctl_ficlone(File::create_new(to)?, File::open(from)?).context("FICLONE")
}

/// A file of 128 KiB pieces of another, reflinked in another order.
fn shuffle(from: &Path, to: &Path, random: &mut Random) -> Result<()> {
    const PIECE: usize = 128 << 10;
    let (source, copy) = (File::open(from)?, File::create_new(to)?);
    for place in 0..Tree::LARGE_LEN / PIECE {
        let mut from = u64::try_from(random.below(Tree::LARGE_LEN / PIECE) * PIECE)?;
        let mut to = u64::try_from(place * PIECE)?;
        // btrfs makes it a reflink, since both ends are aligned.
        rustix::fs::copy_file_range(&source, Some(&mut from), &copy, Some(&mut to), PIECE)?;
    }
    Ok(())
}
