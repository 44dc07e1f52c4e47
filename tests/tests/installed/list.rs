//! The manifest, and a test installation.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Finished, TIMEOUT, run, shipped};

/// A line of the manifest.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) mode: u32,
    pub(crate) place: String,
    pub(crate) source: String,
}

/// The manifest's lines.
pub(crate) fn manifest() -> Result<Vec<Line>> {
    let text = fs::read_to_string(shipped("daemon/data/manifest"))?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        // A fourth word names the package.
        let [mode, place, source] = words[..words.len().min(3)] else { anyhow::bail!("not three words: {line}") };
        Ok(Line { mode: u32::from_str_radix(mode, 8)?, place: place.to_owned(), source: source.to_owned() })
    };
    lines.map(read).collect()
}

/// A folder to install into, and files in place of the built programs.
#[derive(Debug)]
pub(crate) struct Installation {
    folder: tempfile::TempDir,
}

impl Installation {
    /// An empty folder.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for line in manifest()? {
            if let Some(built) = line.source.strip_prefix("BUILT/") {
                write(&folder.path().join("built").join(built), &format!("plays {built}\n"))?;
            }
        }
        Ok(Self { folder })
    }

    pub(crate) fn built(&self) -> PathBuf {
        self.folder.path().join("built")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Runs `make install` with these additional variables.
    pub(crate) fn install(&self, more: &[&str]) -> Result<Finished> {
        let mut make = Command::new("make");
        make.arg("--no-print-directory").arg("-C").arg(shipped("")).arg("install").args(more);
        make.arg(format!("DESTDIR={}", self.root().display())).arg(format!("BUILT={}", self.built().display()));
        run(&mut make, TIMEOUT)
    }

    /// Every installed file, by its path on the target, with its mode.
    pub(crate) fn files(&self) -> Result<BTreeMap<String, u32>> {
        let (root, mut files, mut folders) = (self.root(), BTreeMap::new(), vec![self.root()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let facts = entry.metadata()?;
                if facts.is_dir() {
                    folders.push(entry.path());
                } else {
                    ensure!(facts.is_file(), "{} is not a file", entry.path().display());
                    let path = entry.path();
                    let place = path.strip_prefix(&root)?.to_str().context("UTF-8")?;
                    files.insert(format!("/{place}"), facts.permissions().mode() & 0o7777);
                }
            }
        }
        Ok(files)
    }

    pub(crate) fn read(&self, place: &str) -> Result<String> {
        let path = self.root().join(place.trim_start_matches('/'));
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

/// Writes a file, with the folders above it.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().context("a folder")?)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}
