//! Rules for every recipe, append and include.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::shipped;
use toml::Table;

use super::metadata::Metadata;
use super::{files, layer, name, recipe};

/// Every recipe, append and include.
pub(crate) fn all() -> Result<Vec<Metadata>> {
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
fn every_fetched_file_exists() -> Result<()> {
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
                "{}: none of {places:?} has {address}",
                file.path.display()
            );
            seen += 1;
        }
    }
    ensure!(seen >= 2, "only {seen} files are fetched");
    Ok(())
}

#[test]
fn every_required_file_exists() -> Result<()> {
    for file in all()? {
        for word in file.words("require").into_iter().filter(|word| word.ends_with(".inc")) {
            let place = file.path.with_file_name(word);
            ensure!(place.exists(), "{}: {word} is missing", file.path.display());
        }
    }
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
    ensure!(commit.len() == 40 && commit.bytes().all(|digit| digit.is_ascii_hexdigit()), "{commit} is not a commit");
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
        ensure!(!file.text.contains("COMPATIBLE_"), "{} is restricted to some machines", file.path.display());
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
fn paths_of_c_sources_are_mapped() -> Result<()> {
    // do_package_qa [buildpaths] finds zstd's C sources, which are compiled below CARGO_HOME.
    let map = recipe()?.get("DEBUG_PREFIX_MAP");
    ensure!(map == "-ffile-prefix-map=${CARGO_HOME}=${TARGET_DBGSRC_DIR}", "{map}");
    Ok(())
}

#[test]
fn the_bus_is_the_distributions() -> Result<()> {
    let needed = recipe()?.get("RDEPENDS:${PN}");
    ensure!(needed.split(' ').any(|one| one == "${VIRTUAL-RUNTIME_dbus}"), "{needed}");
    ensure!(!needed.split(' ').any(|one| one.starts_with("dbus")), "{needed}");
    Ok(())
}

#[test]
fn ptest_runs_the_tests_of_the_kernel_calls() -> Result<()> {
    let recipe = recipe()?;
    ensure!(recipe.words("inherit").contains(&"ptest-cargo"), "ptest-cargo is not inherited");
    let flags = recipe.get("CARGO_BUILD_FLAGS:append");
    ensure!(flags == "${CARGO_PACKAGES}", "{flags}");
    let built = recipe.get("CARGO_PACKAGES");
    ensure!(built == "--package butterdockd --package butterdock --package butterdock-net", "{built}");
    let tested = recipe.get("CARGO_PACKAGES:task-compile-ptest-cargo");
    ensure!(tested == "--package butterdock-btrfs", "{tested}");
    // do_package_qa [buildpaths] refuses a test that has the path of its sources in it.
    for path in files(&shipped("daemon/btrfs"))?.iter().filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
    {
        ensure!(!fs::read_to_string(path)?.contains("CARGO_MANIFEST_DIR"), "{} names its folder", path.display());
    }
    let needed = recipe.get("RDEPENDS:${PN}-ptest");
    for tool in ["btrfs-tools", "util-linux-losetup", "util-linux-mount"] {
        ensure!(needed.split_whitespace().any(|one| one == tool), "{tool} is missing");
    }
    Ok(())
}

#[test]
fn packages_of_meta_oe_are_named_only_as_options() -> Result<()> {
    for file in all()?.iter().filter(|file| !file.path.starts_with(layer().join("dynamic-layers"))) {
        for one in file.assignments.iter().filter(|one| !one.name.starts_with("PACKAGECONFIG")) {
            let installs = ["IMAGE_INSTALL", "RDEPENDS", "RRECOMMENDS"].iter().any(|name| one.name.starts_with(name));
            for package in ["polkit", "cryptsetup"] {
                ensure!(
                    !installs || !one.value.contains(package),
                    "{}: {} has {package}",
                    file.path.display(),
                    one.name
                );
            }
        }
    }
    Ok(())
}

#[test]
fn options_of_meta_oe_are_on_only_with_that_layer() -> Result<()> {
    let configuration = Metadata::read(&layer().join("conf/layer.conf"))?;
    ensure!(configuration.get("LAYERSERIES_COMPAT_butterdock") == "wrynose", "another series");
    ensure!(configuration.get("LAYERDEPENDS_butterdock") == "core", "it depends on other layers than the core");
    ensure!(configuration.get("LAYERRECOMMENDS_butterdock") == "openembedded-layer", "meta-oe is not recommended");
    let folder: PathBuf = layer().join("dynamic-layers/openembedded-layer");
    let here = format!("openembedded-layer:{}", "${LAYERDIR}/dynamic-layers/openembedded-layer/");
    ensure!(configuration.get("BBFILES_DYNAMIC").contains(&here), "bitbake does not read the folder");
    let recipe = recipe()?;
    for option in ["polkit", "cryptsetup"] {
        let row = recipe.assignments.iter().find(|one| one.flag.as_deref() == Some(option));
        let row = row.with_context(|| format!("PACKAGECONFIG has no {option}"))?;
        // The class passes the first two fields to Cargo.
        ensure!(row.value == format!(",,,{option}"), "{option}: {}", row.value);
    }
    ensure!(recipe.get("PACKAGECONFIG").is_empty(), "an option is on without meta-oe");
    let appended = files(&folder)?;
    let defaults = Metadata::read(appended.first().context("an append")?)?.get("PACKAGECONFIG");
    ensure!(defaults.contains("cryptsetup") && defaults.contains("'polkit'"), "{defaults}");
    Ok(())
}
