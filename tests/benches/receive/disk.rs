//! A btrfs volume in a file: in memory where there is room, and gone when dropped.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// Size of a volume's image.
const IMAGE: u64 = 5 << 30;

/// What must stay free beside the image for its folder to be taken.
const SPARE: u64 = 1 << 30;

/// A mounted loop volume.
#[derive(Debug)]
pub(crate) struct Volume {
    folder: TempDir,
    options: String,
    mounted: bool,
}

impl Volume {
    /// Makes and mounts a volume of its own.
    ///
    /// The image is allocated in full: a run must not pay for pages of the backing memory that the next one finds there.
    pub(crate) fn make(name: &str, options: String) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("butterdock-bench-{name}-")).tempdir_in(place()?)?;
        let mut volume = Self { folder, options, mounted: false };
        let image = volume.image();
        std::fs::create_dir(volume.point())?;
        run("fallocate", [OsStr::new("-l"), OsStr::new(&IMAGE.to_string()), image.as_os_str()])?;
        volume.mount()?;
        Ok(volume)
    }

    /// Makes its filesystem anew: every run begins with the same one, and no run waits for the kernel's cleaner, which
    /// deletes subvolumes when it likes.
    pub(crate) fn renew(&mut self) -> Result<()> {
        run("umount", [self.point().as_os_str()])?;
        self.mounted = false;
        self.mount()
    }

    fn mount(&mut self) -> Result<()> {
        let (image, point) = (self.image(), self.point());
        run("mkfs.btrfs", [OsStr::new("-q"), OsStr::new("-K"), OsStr::new("-f"), image.as_os_str()])?;
        let loops = format!("loop,{}", self.options);
        run("mount", [OsStr::new("-o"), OsStr::new(&loops), image.as_os_str(), point.as_os_str()])?;
        self.mounted = true;
        Ok(())
    }

    /// Where it is mounted.
    pub(crate) fn point(&self) -> PathBuf {
        self.folder.path().join("volume")
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// One sentence for the table.
    pub(crate) fn describe(&self) -> String {
        let backing = if self.folder.path().starts_with("/dev/shm") { "in memory" } else { "on disk" };
        format!("loop volume {backing}, {} GiB, mounted with {}", IMAGE >> 30, self.options)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if self.mounted {
            let point = self.point();
            if let Err(error) = run("umount", [point.as_os_str()]) {
                crate::complain(&format!("{} stays mounted: {error:#}", point.display()));
            }
        }
    }
}

/// Runs a tool to its end and hands back what it printed.
pub(crate) fn run<W: AsRef<OsStr>>(tool: impl AsRef<OsStr>, words: impl IntoIterator<Item = W>) -> Result<String> {
    let tool = tool.as_ref();
    let output = Command::new(tool)
        .args(words)
        .output()
        .with_context(|| format!("{} does not start: is it installed?", tool.display()))?;
    ensure!(output.status.success(), "{} failed: {}", tool.display(), String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Memory where it has room, else the disk.
fn place() -> Result<&'static Path> {
    for folder in ["/dev/shm", "/var/tmp"].map(Path::new) {
        let Ok(facts) = nix::sys::statvfs::statvfs(folder) else {
            continue;
        };
        if facts.blocks_available() * facts.fragment_size() >= IMAGE + SPARE {
            return Ok(folder);
        }
    }
    anyhow::bail!("neither /dev/shm nor /var/tmp has {} GiB free for a volume", (IMAGE + SPARE) >> 30)
}
