//! The kernel's fragment, and that it is only used on request.

use std::fs;

use anyhow::{Result, ensure};

use super::layer;
use super::metadata::Metadata;

const NEEDED: [&str; 14] = [
    "BTRFS_FS",
    "BTRFS_FS_POSIX_ACL",
    "BLK_DEV_LOOP",
    "SECURITY_LANDLOCK",
    "SECCOMP_FILTER",
    "NET_NS",
    "IPC_NS",
    "UTS_NS",
    "DM_CRYPT",
    "USB_STORAGE",
    "USB_UAS",
    "MEMCG",
    "CGROUP_PIDS",
    "CGROUP_BPF",
];

#[test]
fn the_kernel_fragment_has_the_documented_options() -> Result<()> {
    let fragment = fs::read_to_string(layer().join("recipes-kernel/linux/linux-yocto/butterdock.cfg"))?;
    let readme = fs::read_to_string(layer().join("README.md"))?;
    for option in NEEDED {
        let on = |worth: &str| fragment.lines().any(|line| line == format!("CONFIG_{option}={worth}"));
        ensure!(on("y") || on("m"), "{option} is off");
        ensure!(readme.contains(option), "README.md says nothing of {option}");
    }
    for line in fragment.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        ensure!(line.starts_with("CONFIG_") && (line.ends_with("=y") || line.ends_with("=m")), "{line}");
    }
    Ok(())
}

#[test]
fn who_only_adds_the_layer_keeps_his_kernel() -> Result<()> {
    let append = Metadata::read(&layer().join("recipes-kernel/linux/linux-yocto_%.bbappend"))?;
    ensure!(append.assignments.is_empty(), "{:?}", append.assignments);
    let lines: Vec<_> = append.text.lines().filter(|line| !line.starts_with('#')).collect();
    let gate = "require ${@bb.utils.contains('DISTRO_FEATURES', 'butterdock', 'linux-yocto-butterdock.inc', '', d)}";
    ensure!(lines == [gate], "{lines:?}");
    Ok(())
}
