//! Makes a new btrfs filesystem with `mkfs.btrfs`.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::device::{Error, Result};
use crate::device::{Part, Sentence};

/// Where systems have it.
const TOOLS: [&str; 4] = ["/usr/sbin/mkfs.btrfs", "/sbin/mkfs.btrfs", "/usr/bin/mkfs.btrfs", "/bin/mkfs.btrfs"];

/// Erases the device and makes a btrfs filesystem on it. The tool itself refuses a device that is in use.
///
/// # Errors
/// The tool is not installed, or would not.
pub(super) fn format(node: &Path, label: &str) -> Result<()> {
    let tool = TOOLS.iter().find(|tool| Path::new(tool).exists());
    let tool = tool.ok_or_else(|| Error::refused("mkfs.btrfs is not installed; install btrfs-progs"))?;
    let mut command = Command::new(tool);
    command.args(["--quiet", "--force", "--label", label, "--"]).arg(node);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C").current_dir("/");
    let done =
        command.stdin(Stdio::null()).output().map_err(Error::system(format!("formatting {}", node.display())))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let said = crate::device::text::shown(said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default());
    Err(Error::refused(Sentence::of(&[
        Part::Text("mkfs.btrfs failed ("),
        Part::Status(done.status),
        Part::Text("): "),
        Part::Hidden(&said, "the journal of butterdockd says why"),
    ])))
}
