//! The kernel's configuration fragment, and that it is used only on request.

use std::fs;

use anyhow::{Result, ensure};

use super::layer;
use super::metadata::Metadata;

const NEEDED: [&str; 20] = [
    "BTRFS_FS",
    "BTRFS_FS_POSIX_ACL",
    "BLK_DEV_LOOP",
    "SECURITY_LANDLOCK",
    "SECCOMP_FILTER",
    "NET_NS",
    "IPC_NS",
    "UTS_NS",
    "DM_CRYPT",
    "CRYPTO_XTS",
    "CRYPTO_ECB",
    "CRYPTO_XXHASH",
    "CRYPTO_BLAKE2B",
    "CRYPTO_SHA256",
    "OVERLAY_FS",
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
        let on = |value: &str| fragment.lines().any(|line| line == format!("CONFIG_{option}={value}"));
        ensure!(on("y") || on("m"), "{option} is off");
        ensure!(readme.contains(option), "README.md does not name {option}");
    }
    for line in fragment.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        ensure!(line.starts_with("CONFIG_") && (line.ends_with("=y") || line.ends_with("=m")), "{line}");
    }
    Ok(())
}

/// The kernel loads these on request, so no dependency between modules leads to them: parts of aes-xts, and checksums of btrfs.
const LOADED_ON_REQUEST: [(&str, &str); 4] = [
    ("CRYPTO_XTS", "kernel-module-xts"),
    ("CRYPTO_ECB", "kernel-module-ecb"),
    ("CRYPTO_XXHASH", "kernel-module-xxhash-generic"),
    ("CRYPTO_BLAKE2B", "kernel-module-blake2b-generic"),
];

#[test]
fn modules_loaded_on_request_are_recommended() -> Result<()> {
    let group = Metadata::read(&layer().join("recipes-core/packagegroups/packagegroup-butterdock.bb"))?;
    let recommended = group.get("RRECOMMENDS:${PN}");
    for (option, package) in LOADED_ON_REQUEST {
        ensure!(NEEDED.contains(&option), "{option} is not in the fragment");
        ensure!(recommended.split_whitespace().any(|one| one == package), "{package} is not recommended");
    }
    Ok(())
}

#[test]
fn the_layer_alone_does_not_change_the_kernel() -> Result<()> {
    let append = Metadata::read(&layer().join("recipes-kernel/linux/linux-yocto_%.bbappend"))?;
    ensure!(append.assignments.is_empty(), "{:?}", append.assignments);
    let lines: Vec<_> = append.text.lines().filter(|line| !line.starts_with('#')).collect();
    let gate = "require ${@bb.utils.contains('DISTRO_FEATURES', 'butterdock', 'linux-yocto-butterdock.inc', '', d)}";
    ensure!(lines == [gate], "{lines:?}");
    Ok(())
}
