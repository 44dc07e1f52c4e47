//! The image, its disk, and what its kernel has.

use std::fs;

use anyhow::{Result, ensure};

use super::metadata::Metadata;
use super::{files, layer, name};

#[test]
fn the_disk_of_the_image_lies_beside_its_recipe() -> Result<()> {
    let image = Metadata::read(&layer().join("recipes-core/images/butterdock-image.bb"))?;
    let disk = image.path.with_file_name(image.get("WKS_FILE"));
    let text = fs::read_to_string(&disk)?;
    for folder in ["wic", "scripts/lib/wic"] {
        ensure!(!layer().join(folder).exists(), "{folder} is an error in this series");
    }
    let mut mounted = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("part ")) {
        let mut words = line.split_whitespace().skip(1);
        mounted.push(words.next().unwrap_or_default().to_owned());
        let source = words.skip_while(|word| *word != "--source").nth(1).unwrap_or_default();
        // Plugins are named as Python modules are since the series before.
        ensure!(!source.contains('-'), "{source}");
    }
    ensure!(mounted == ["/boot", "/", "/var"], "{mounted:?}");
    ensure!(
        image.get("IMAGE_FSTYPES").contains("'efi', 'wic'"),
        "the disk is made where it cannot boot, or not at all"
    );
    ensure!(text.lines().any(|line| line.starts_with("bootloader --ptable gpt")), "no table of partitions");
    Ok(())
}

#[test]
fn the_root_of_the_image_is_read_only_and_systemd_s() -> Result<()> {
    let image = Metadata::read(&layer().join("recipes-core/images/butterdock-image.bb"))?;
    ensure!(image.get("IMAGE_FEATURES").split(' ').any(|one| one == "read-only-rootfs"), "the root is writable");
    let wanted = image.get("REQUIRED_DISTRO_FEATURES");
    for feature in ["systemd", "butterdock"] {
        ensure!(wanted.split(' ').any(|one| one == feature), "{feature} is not required");
    }
    ensure!(image.get("IMAGE_INSTALL").contains("'polkit'"), "polkit is not installed");
    ensure!(image.get("TEST_SUITES").split(' ').any(|one| one == "butterdock"), "the cases are not run");
    Ok(())
}

#[test]
fn kas_files_have_one_series_and_version() -> Result<()> {
    let all = files(&layer().join("kas"))?;
    ensure!(all.len() >= 5, "{all:?}");
    let mut series = false;
    for path in all {
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains("header:\n  version: 18\n"), "{}", path.display());
        series |= name(&path) == "common.yml" && text.contains("branch: wrynose\n");
        for line in text.lines().filter_map(|line| line.trim().strip_prefix("- ")) {
            ensure!(super::shipped(line).exists(), "{}: {line} is missing", path.display());
        }
    }
    ensure!(series, "common.yml is of another series");
    Ok(())
}
