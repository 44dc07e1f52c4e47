//! The image, its disk, and what its kernel has.

use std::fs;

use anyhow::{Result, ensure};

use super::metadata::Metadata;
use super::{files, layer, name};

fn image() -> Result<Metadata> {
    Metadata::read(&layer().join("recipes-core/images/butterdock-image.bb"))
}

fn kas(name: &str) -> Result<String> {
    Ok(fs::read_to_string(layer().join("kas").join(name))?)
}

#[test]
fn the_disk_of_the_image_lies_beside_its_recipe() -> Result<()> {
    let image = image()?;
    for folder in ["wic", "scripts/lib/wic"] {
        ensure!(!layer().join(folder).exists(), "{folder} is an error in this series");
    }
    let text = disk(&image)?;
    for line in text.lines().filter(|line| line.starts_with("part ")) {
        let source = line.split_whitespace().skip_while(|word| *word != "--source").nth(1).unwrap_or_default();
        // wic names its plugins with underscores since the series before.
        ensure!(!source.contains('-'), "{source}");
    }
    ensure!(partitions(&text) == ["/boot", "/", "/var"], "{text}");
    ensure!(
        image.get("IMAGE_FSTYPES").contains("'efi', 'wic'"),
        "the disk is not made for exactly the machines with EFI"
    );
    ensure!(text.lines().any(|line| line.starts_with("bootloader --ptable gpt")), "no GPT");
    Ok(())
}

fn disk(image: &Metadata) -> Result<String> {
    Ok(fs::read_to_string(image.path.with_file_name(image.get("WKS_FILE")))?)
}

/// The mount points of the partitions, in their order on the disk.
fn partitions(disk: &str) -> Vec<&str> {
    disk.lines().filter_map(|line| line.strip_prefix("part ")?.split_whitespace().next()).collect()
}

#[test]
fn the_disk_has_a_serial_console_of_the_machine() -> Result<()> {
    let text = disk(&image()?)?;
    let bootloader = text.lines().find(|line| line.starts_with("bootloader ")).unwrap_or_default();
    // The last one is /dev/console. default-distrovars.inc sets the variable from SERIAL_CONSOLES.
    ensure!(bootloader.ends_with("console=tty0 console=${KERNEL_CONSOLE}\""), "{bootloader}");
    Ok(())
}

#[test]
fn a_kas_machine_builds_the_disk_and_starts_it() -> Result<()> {
    let text = kas("qemux86-64-efi.yml")?;
    for line in ["MACHINE_FEATURES:append = \" efi\"", "QB_DEFAULT_FSTYPE = \"wic\"", "QEMU_USE_OVMF = \"1\""] {
        ensure!(text.lines().any(|one| one.trim() == line), "no {line}");
    }
    ensure!(text.contains("- ovmf\n"), "the firmware is not built");
    Ok(())
}

#[test]
fn etc_is_an_overlay_whose_upper_layer_is_on_var() -> Result<()> {
    let image = image()?;
    ensure!(image.get("IMAGE_FEATURES").contains("'overlayfs-etc' if d.getVar('OVERLAYFS_ETC_DEVICE')"), "no overlay");
    ensure!(image.get("OVERLAYFS_ETC_MOUNT_POINT") == "${localstatedir}", "not on /var");
    ensure!(image.get("OVERLAYFS_ETC_FSTYPE") == "ext4", "not the filesystem of the disk's /var");
    // Otherwise the class remounts the root writable, and leaves it so.
    ensure!(image.get("OVERLAYFS_ETC_CREATE_MOUNT_DIRS") == "0", "the root becomes writable");
    let text = disk(&image)?;
    let number = partitions(&text).iter().position(|mounted| *mounted == "/var").map_or(0, |index| index + 1);
    let device = format!("OVERLAYFS_ETC_DEVICE = \"/dev/vda{number}\"");
    ensure!(kas("qemux86-64-efi.yml")?.lines().any(|line| line.trim() == device), "no {device}");
    Ok(())
}

#[test]
fn testimage_runs_after_the_image_is_built() -> Result<()> {
    // `-c testimage` alone builds no image.
    ensure!(
        kas("testimage.yml")?.lines().any(|line| line.trim() == "TESTIMAGE_AUTO = \"1\""),
        "TESTIMAGE_AUTO is not set"
    );
    for path in files(&layer().join("kas"))? {
        let text = fs::read_to_string(&path)?;
        ensure!(!text.lines().any(|line| line.starts_with("task:")), "{} has a task", path.display());
    }
    Ok(())
}

#[test]
fn the_image_has_no_locales() -> Result<()> {
    let image = image()?;
    let set = image.assignments.iter().find(|one| one.name == "IMAGE_LINGUAS");
    ensure!(set.is_some_and(|one| one.value.trim().is_empty()), "{set:?}");
    Ok(())
}

#[test]
fn the_image_has_a_read_only_root_and_systemd() -> Result<()> {
    let image = image()?;
    ensure!(image.get("IMAGE_FEATURES").split(' ').any(|one| one == "read-only-rootfs"), "the root is writable");
    let wanted = image.get("REQUIRED_DISTRO_FEATURES");
    for feature in ["systemd", "butterdock"] {
        ensure!(wanted.split(' ').any(|one| one == feature), "{feature} is not required");
    }
    ensure!(image.get("TEST_SUITES").split(' ').any(|one| one == "butterdock"), "the runtime cases do not run");
    Ok(())
}

#[test]
fn kas_files_have_one_series_and_version() -> Result<()> {
    let all = files(&layer().join("kas"))?;
    ensure!(all.len() >= 6, "{all:?}");
    let mut series = false;
    for path in all {
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains("header:\n  version: 18\n"), "{}", path.display());
        series |= name(&path) == "common.yml" && text.contains("branch: wrynose\n");
        let included = text.split("\n\n").next().unwrap_or_default();
        for line in included.lines().filter_map(|line| line.trim().strip_prefix("- ")) {
            ensure!(super::shipped(line).exists(), "{}: {line} is missing", path.display());
        }
    }
    ensure!(series, "common.yml is of another series");
    Ok(())
}
