//! What holds for every recipe, append and include.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::rig::{PATIENCE, run};
use butterdock_tests::service::shipped;
use toml::Table;

use super::metadata::Metadata;
use super::{files, layer, name, recipe};

/// The licences in use, by their SPDX names, and the checksum of the text that the core layer keeps of some.
const LICENCES: [(&str, Option<&str>); 2] =
    [("Apache-2.0", None), ("MIT", Some("${COMMON_LICENSE_DIR}/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302"))];

fn all() -> Result<Vec<Metadata>> {
    let mut found = Vec::new();
    for path in files(&layer())? {
        if path.extension().is_some_and(|kind| ["bb", "bbappend", "inc"].iter().any(|one| kind == *one)) {
            found.push(Metadata::read(&path)?);
        }
    }
    ensure!(found.len() >= 8, "only {} files", found.len());
    Ok(found)
}

#[test]
fn every_file_that_is_fetched_is_there() -> Result<()> {
    let mut seen = 0;
    for file in all()? {
        let stem = file.path.file_stem().context("a name")?.to_string_lossy().into_owned();
        let recipe = stem.split('_').next().context("a name")?.replace("linux-yocto-butterdock", "linux-yocto");
        let beside = file.path.parent().context("a folder")?;
        for address in file.get("SRC_URI").split_whitespace() {
            let Some(wanted) = address.strip_prefix("file://") else { continue };
            let wanted = wanted.split(';').next().context("a path")?;
            let places = [&recipe, &stem.replace('_', "-"), "files"].map(|folder| beside.join(folder).join(wanted));
            ensure!(
                places.iter().any(|place| place.exists()),
                "{}: {address} is in none of {places:?}",
                file.path.display()
            );
            seen += 1;
        }
    }
    ensure!(seen >= 2, "only {seen} files are fetched");
    Ok(())
}

#[test]
fn every_file_that_is_required_is_there() -> Result<()> {
    for file in all()? {
        for word in file.words("require").into_iter().filter(|word| word.ends_with(".inc")) {
            let place = file.path.with_file_name(word);
            ensure!(place.exists(), "{}: {word} is missing", file.path.display());
        }
    }
    Ok(())
}

#[test]
fn licences_have_their_spdx_names_and_the_checksums_of_their_texts() -> Result<()> {
    for file in all()? {
        let kind = file.path.extension().context("a kind")?;
        let licence = file.get("LICENSE");
        if kind != "bb" {
            ensure!(licence.is_empty(), "{}: a licence of its own", file.path.display());
            continue;
        }
        let row = LICENCES.iter().find(|(name, _)| *name == licence);
        let (_, common) = row.with_context(|| format!("{}: {licence} is no SPDX name", file.path.display()))?;
        for address in file.get("LIC_FILES_CHKSUM").split_whitespace() {
            let text = address.strip_prefix("file://").context("a file")?;
            if text.starts_with("${COMMON_LICENSE_DIR}") {
                ensure!(Some(text) == *common, "{}: {text}", file.path.display());
                continue;
            }
            let (text, sum) = text.split_once(";md5=").context("a checksum")?;
            let said = run(Command::new("md5sum").arg(shipped(text)), PATIENCE)?.success()?;
            ensure!(said.out().starts_with(sum), "{}: {text} has {}", file.path.display(), said.out());
        }
    }
    let workspace: Table = fs::read_to_string(shipped("Cargo.toml"))?.parse()?;
    let package = &workspace["workspace"]["package"];
    ensure!(package["license"].as_str() == Some(&recipe()?.get("LICENSE")), "Cargo.toml has another licence");
    ensure!(recipe()?.get("LIC_FILES_CHKSUM").contains("file://LICENSE;"), "the licence of the source is not checked");
    Ok(())
}

#[test]
fn no_override_is_written_with_an_underscore() -> Result<()> {
    const OF_PACKAGES: [&str; 8] = [
        "FILES",
        "RDEPENDS",
        "RRECOMMENDS",
        "SUMMARY",
        "SYSTEMD_SERVICE",
        "GROUPADD_PARAM",
        "CONFFILES",
        "pkg_postinst",
    ];
    const OPERATORS: [&str; 4] = ["_append", "_prepend", "_remove", "_class-"];
    for file in all()? {
        for line in file.text.lines().filter(|line| !line.starts_with('#')) {
            let word = line.split([' ', '=', '(']).next().unwrap_or_default();
            let old = OPERATORS.iter().any(|operator| word.contains(operator))
                || OF_PACKAGES.iter().any(|variable| word.starts_with(&format!("{variable}_")));
            ensure!(!old || word.starts_with("do_"), "{}: {line}", file.path.display());
        }
    }
    Ok(())
}

#[test]
fn the_recipe_names_version_tag_and_commit() -> Result<()> {
    let workspace: Table = fs::read_to_string(shipped("Cargo.toml"))?.parse()?;
    let version = workspace["workspace"]["package"]["version"].as_str().context("a version")?;
    let recipe = recipe()?;
    ensure!(name(&recipe.path) == format!("butterdock_{version}.bb"), "{}", recipe.path.display());
    ensure!(recipe.get("SRC_URI").contains(";tag=v${PV}"), "no tag");
    let commit = recipe.get("SRCREV");
    ensure!(commit.len() == 40 && commit.bytes().all(|digit| digit.is_ascii_hexdigit()), "{commit} is no commit");
    Ok(())
}

#[test]
fn the_recipe_has_its_classes() -> Result<()> {
    let recipe = recipe()?;
    let inherited = recipe.words("inherit");
    for class in ["cargo", "cargo-update-recipe-crates", "pkgconfig", "systemd", "useradd", "features_check"] {
        ensure!(inherited.contains(&class), "{class} is not inherited");
    }
    for file in all()? {
        ensure!(!file.text.contains("COMPATIBLE_"), "{} parses on some machines only", file.path.display());
        for flags in ["CFLAGS", "LDFLAGS", "INSANE_SKIP"] {
            ensure!(!file.text.contains(flags), "{}: {flags}", file.path.display());
        }
        if file.text.contains("SRC_URI") && file.path.extension().is_some_and(|kind| kind == "bb") {
            ensure!(file.get("CVE_PRODUCT") == "butterdock", "{}: CVE_PRODUCT", file.path.display());
        }
    }
    Ok(())
}

#[test]
fn what_needs_meta_oe_is_said_only_where_it_is() -> Result<()> {
    let configuration = Metadata::read(&layer().join("conf/layer.conf"))?;
    ensure!(configuration.get("LAYERSERIES_COMPAT_butterdock") == "wrynose", "another series");
    ensure!(configuration.get("LAYERDEPENDS_butterdock") == "core", "it depends on more than the core");
    ensure!(configuration.get("LAYERRECOMMENDS_butterdock") == "openembedded-layer", "meta-oe is not recommended");
    let folder: PathBuf = layer().join("dynamic-layers/openembedded-layer");
    let here = format!("openembedded-layer:{}", "${LAYERDIR}/dynamic-layers/openembedded-layer/");
    ensure!(configuration.get("BBFILES_DYNAMIC").contains(&here), "the folder is not read");
    let recipe = recipe()?;
    for option in ["polkit", "cryptsetup"] {
        let row = recipe.assignments.iter().find(|one| one.flag.as_deref() == Some(option));
        let row = row.with_context(|| format!("PACKAGECONFIG has no {option}"))?;
        // The class hands the first two to Cargo as they are.
        ensure!(row.value == format!(",,,{option}"), "{option}: {}", row.value);
    }
    ensure!(recipe.get("PACKAGECONFIG").is_empty(), "an option is on without meta-oe");
    let appended = files(&folder)?;
    let defaults = Metadata::read(appended.first().context("an append")?)?.get("PACKAGECONFIG");
    ensure!(defaults.contains("cryptsetup") && defaults.contains("'polkit'"), "{defaults}");
    Ok(())
}
