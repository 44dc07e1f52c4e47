//! What is installed against what the recipe packs, and the names in both.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::authority::ACTIONS;
use butterdock_dbus::names::BUS_NAME;
use butterdock_tests::service::shipped;

use super::metadata::Metadata;
use super::{layer, recipe};

const UNIT: &str = "butterdockd.service";

/// Where bitbake.conf has the folders, with a merged /usr.
const FOLDERS: [(&str, &str); 7] = [
    ("${bindir}", "/usr/bin"),
    ("${sbindir}", "/usr/sbin"),
    ("${datadir}", "/usr/share"),
    ("${docdir}", "/usr/share/doc"),
    ("${mandir}", "/usr/share/man"),
    ("${nonarch_libdir}", "/usr/lib"),
    ("${systemd_system_unitdir}", "/usr/lib/systemd/system"),
];

/// In the order in which they take files: the package, and what it takes without the recipe saying so.
const PACKAGES: [(&str, &str); 7] = [
    ("-dev", ""),
    ("-doc", "${docdir} ${mandir}"),
    ("-bash-completion", "${datadir}/bash-completion"),
    ("-cli", ""),
    ("-zsh-completion", ""),
    ("-fish-completion", ""),
    ("", "${bindir}/ ${sbindir}/"),
];

/// What must not be in a package by accident.
const EXPECTED: [(&str, &str); 10] = [
    ("/usr/sbin/butterdockd", ""),
    ("/usr/bin/butterdock", "-cli"),
    ("/usr/lib/systemd/system/butterdockd.service", ""),
    ("/usr/share/dbus-1/system.d/org.butterdock.Butterdock1.conf", ""),
    ("/usr/share/dbus-1/interfaces/org.butterdock.Butterdock1.Manager.xml", "-dev"),
    ("/usr/lib/sysusers.d/butterdock.conf", ""),
    ("/usr/lib/tmpfiles.d/butterdock.conf", ""),
    ("/usr/share/polkit-1/actions/org.butterdock.Butterdock1.policy", ""),
    ("/usr/share/man/man8/butterdockd.8", "-doc"),
    ("/usr/share/zsh/site-functions/_butterdock", "-zsh-completion"),
];

#[test]
fn every_installed_file_is_in_one_package() -> Result<()> {
    let recipe = recipe()?;
    let mut packed = BTreeMap::new();
    for place in installed()? {
        let at = PACKAGES.iter().find(|(package, usual)| takes(&recipe, package, usual, &place));
        let (package, _) = at.with_context(|| format!("{place} is in no package"))?;
        packed.insert(place, *package);
    }
    for (place, package) in EXPECTED {
        ensure!(packed.get(place) == Some(&package), "{place} is in {:?}", packed.get(place));
    }
    Ok(())
}

/// What `make install` leaves in /usr; the recipe turns what it leaves in /etc into documentation.
fn installed() -> Result<Vec<String>> {
    let list = shipped("daemon/data/manifest");
    let text = fs::read_to_string(&list).with_context(|| format!("{}, what is installed", list.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let places = lines.filter_map(|line| line.split_whitespace().nth(1));
    let (configured, places): (Vec<_>, Vec<_>) =
        places.map(str::to_owned).partition(|place| place.starts_with("/etc/"));
    ensure!(configured == ["/etc/butterdock/butterdock.toml"], "the recipe would lose some of {configured:?}");
    ensure!(places.len() > 10, "only {} files are installed", places.len());
    Ok(places)
}

fn takes(recipe: &Metadata, package: &str, usual: &str, place: &str) -> bool {
    let patterns = format!("{usual} {}", recipe.get(&format!("FILES:${{PN}}{package}")));
    patterns.split_whitespace().any(|pattern| {
        let mut pattern = pattern.to_owned();
        for (variable, folder) in FOLDERS {
            pattern = pattern.replace(variable, folder);
        }
        place == pattern || place.starts_with(&format!("{}/", pattern.trim_end_matches('/')))
    })
}

#[test]
fn unit_and_bus_name_the_shipped_files() -> Result<()> {
    let enabled = recipe()?.get("SYSTEMD_SERVICE:${PN}");
    ensure!(enabled == format!("{UNIT} butterdock-udev-trigger.service"), "{enabled}");
    let unit = fs::read_to_string(shipped("daemon/data").join(UNIT))?;
    ensure!(unit.lines().any(|line| line == format!("BusName={BUS_NAME}")), "{UNIT} has another bus name");
    let cases = fs::read_to_string(layer().join("lib/oeqa/runtime/cases/butterdock.py"))?;
    for line in [format!("NAME = \"{BUS_NAME}\""), format!("UNIT = \"{UNIT}\"")] {
        ensure!(cases.lines().any(|one| one == line), "the cases do not say {line}");
    }
    Ok(())
}

#[test]
fn the_polkit_rule_excludes_administrative_actions() -> Result<()> {
    let rules = fs::read_to_string(shipped("dbus/data/50-butterdock.rules"))?;
    let quoted: Vec<&str> = rules.split('"').filter(|word| word.starts_with(BUS_NAME)).collect();
    ensure!(!quoted.is_empty(), "no action");
    for id in &quoted {
        ensure!(ACTIONS.iter().any(|row| row.action.id() == *id), "{id} is no action");
    }
    for word in ["enrol", "format", "forget", "manage", "restore", "receive-anywhere", "cancel-others"] {
        ensure!(!quoted.contains(&format!("{BUS_NAME}.{word}").as_str()), "{word} is not for everybody in the group");
    }
    Ok(())
}

#[test]
fn the_group_of_the_rules_is_made() -> Result<()> {
    let rules = fs::read_to_string(shipped("dbus/data/50-butterdock.rules"))?;
    ensure!(rules.contains("isInGroup(\"butterdock\")"), "another group");
    let made = fs::read_to_string(shipped("daemon/data/butterdock.sysusers"))?;
    ensure!(made.lines().any(|line| line == "g butterdock -"), "the group is not made: {made}");
    ensure!(recipe()?.get("GROUPADD_PARAM:${PN}") == "--system butterdock", "the group is not made with an image");
    Ok(())
}

#[test]
fn the_product_s_configuration_is_a_recipe_of_its_own() -> Result<()> {
    let recipe = recipe()?;
    ensure!(recipe.get("RDEPENDS:${PN}").split(' ').any(|name| name == "butterdock-conf"), "nothing wants it");
    ensure!(!recipe.get("SRC_URI").contains("butterdock.toml"), "the configuration is in the product's recipe");
    let conf = layer().join("recipes-core/butterdock/butterdock-conf/butterdock.toml");
    // It is the maker's: it must be read as it is, and set nothing that a product did not ask for.
    let table: toml::Table = fs::read_to_string(conf)?.parse()?;
    ensure!(table.is_empty(), "{table:?}");
    Ok(())
}
