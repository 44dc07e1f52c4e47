//! The files that `make install` installs and the files in the recipe's packages, and the names in both.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::authority::ACTIONS;
use butterdock_dbus::names::BUS_NAME;
use butterdock_tests::shipped;

use super::metadata::Metadata;
use super::{layer, recipe};

const UNIT: &str = "butterdockd.service";

/// The folders of bitbake.conf with a merged /usr.
const FOLDERS: [(&str, &str); 8] = [
    ("${bindir}", "/usr/bin"),
    ("${sbindir}", "/usr/sbin"),
    ("${libexecdir}", "/usr/libexec"),
    ("${datadir}", "/usr/share"),
    ("${docdir}", "/usr/share/doc"),
    ("${mandir}", "/usr/share/man"),
    ("${nonarch_libdir}", "/usr/lib"),
    ("${systemd_system_unitdir}", "/usr/lib/systemd/system"),
];

/// Each package with the folders that it has by default, in the order in which bitbake assigns files to them.
const PACKAGES: [(&str, &str); 9] = [
    ("-dev", ""),
    ("-doc", "${docdir} ${mandir}"),
    ("-bash-completion", "${datadir}/bash-completion"),
    ("-cli", ""),
    ("-net", ""),
    ("-cockpit", ""),
    ("-zsh-completion", ""),
    ("-fish-completion", ""),
    ("", "${bindir}/ ${sbindir}/"),
];

/// Files whose package matters.
const EXPECTED: [(&str, &str); 16] = [
    ("/usr/sbin/butterdockd", ""),
    ("/usr/bin/butterdock", "-cli"),
    ("/usr/lib/systemd/system/butterdock-metrics.service", "-cli"),
    ("/usr/lib/systemd/system/butterdock-metrics.timer", "-cli"),
    ("/usr/share/cockpit/butterdock/index.html", "-cockpit"),
    ("/usr/lib/systemd/system/butterdockd.service", ""),
    ("/usr/libexec/butterdock-net", "-net"),
    ("/usr/lib/systemd/system/butterdock-net.socket", "-net"),
    ("/usr/lib/systemd/system/butterdock-net@.service", "-net"),
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
        let (package, _) = at.with_context(|| format!("no package has {place}"))?;
        packed.insert(place, *package);
    }
    for (place, package) in EXPECTED {
        ensure!(packed.get(place) == Some(&package), "{place} is in {:?}", packed.get(place));
    }
    Ok(())
}

/// The files that `make install` installs in /usr; the recipe moves the one in /etc to the documentation.
fn installed() -> Result<Vec<String>> {
    let list = shipped("daemon/data/manifest");
    let text = fs::read_to_string(&list).with_context(|| format!("{}, what is installed", list.display()))?;
    // The recipe does not install the desktop's package.
    let is_packed = |line: &&str| !line.is_empty() && !line.ends_with(" butterdock-desktop");
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter(is_packed);
    let places = lines.filter_map(|line| line.split_whitespace().nth(1));
    let (configured, places): (Vec<_>, Vec<_>) =
        places.map(str::to_owned).partition(|place| place.starts_with("/etc/"));
    ensure!(configured == ["/etc/butterdock/butterdock.toml"], "the recipe handles only one of {configured:?}");
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
        ensure!(cases.lines().any(|one| one == line), "the runtime cases have no {line}");
    }
    Ok(())
}

#[test]
fn the_polkit_rule_excludes_administrative_actions() -> Result<()> {
    let rules = fs::read_to_string(shipped("dbus/data/50-butterdock.rules"))?;
    let quoted: Vec<&str> = rules.split('"').filter(|word| word.starts_with(BUS_NAME)).collect();
    ensure!(!quoted.is_empty(), "no action");
    for id in &quoted {
        ensure!(ACTIONS.iter().any(|row| row.action.id() == *id), "{id} is not an action");
    }
    for word in ["enrol", "format", "forget", "manage", "restore", "receive-anywhere", "cancel-others"] {
        ensure!(!quoted.contains(&format!("{BUS_NAME}.{word}").as_str()), "the group must not have {word}");
    }
    Ok(())
}

#[test]
fn the_group_of_the_polkit_rule_is_added() -> Result<()> {
    let rules = fs::read_to_string(shipped("dbus/data/50-butterdock.rules"))?;
    ensure!(rules.contains("isInGroup(\"butterdock\")"), "another group");
    let made = fs::read_to_string(shipped("daemon/data/butterdock.sysusers"))?;
    ensure!(made.lines().any(|line| line == "g butterdock -"), "sysusers.d does not add the group: {made}");
    ensure!(recipe()?.get("GROUPADD_PARAM:${PN}") == "--system butterdock", "the recipe does not add the group");
    Ok(())
}

#[test]
fn a_products_configuration_is_a_separate_recipe() -> Result<()> {
    let recipe = recipe()?;
    ensure!(
        recipe.get("RDEPENDS:${PN}").split(' ').any(|name| name == "butterdock-conf"),
        "the recipe does not depend on it"
    );
    ensure!(!recipe.get("SRC_URI").contains("butterdock.toml"), "the configuration is in the product's recipe");
    let conf = layer().join("recipes-core/butterdock/butterdock-conf/butterdock.toml");
    // A product replaces it; until then it must be valid and set nothing.
    let table: toml::Table = fs::read_to_string(conf)?.parse()?;
    ensure!(table.is_empty(), "{table:?}");
    Ok(())
}
