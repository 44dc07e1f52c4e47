//! Makes a btrfs filesystem on a device.

use std::path::Path;
use std::process::{Command, Stdio};

use super::block_device::BlockDevice;
use super::error::{Error, Result};
use super::sentence::{Part, Sentence};
use super::superblock::Superblock;
use super::{node, power};

/// Where systems have the tool.
const TOOLS: [&str; 4] = ["/usr/sbin/mkfs.btrfs", "/sbin/mkfs.btrfs", "/usr/bin/mkfs.btrfs", "/bin/mkfs.btrfs"];

/// As [`super::Devices::format`] has it.
pub(super) fn format(device: &BlockDevice, label: &str) -> Result<Superblock> {
    // Open until the end: the tool uses the name, which is this disk's while it is open.
    let same = node::open_same(device)?;
    drop(power::claim(&device.node, Some(device.devnum))?);
    make(&device.node, label)?;
    let made = node::superblock(&device.node, device.devnum)?;
    drop(same);
    Ok(made)
}

/// The tool itself refuses a device that is in use.
fn make(node: &Path, label: &str) -> Result<()> {
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
    let said = super::text::shown(said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default());
    Err(Error::refused(Sentence::of(&[
        Part::Text("mkfs.btrfs failed ("),
        Part::Status(done.status),
        Part::Text("): "),
        Part::Hidden(&said, "the journal of butterdockd says why"),
    ])))
}
