//! One change: from the texts of the files to the new text of the administrator's. Pure, but for links that are resolved.

use toml::de::{DeTable, DeValue};

use super::edit::{self, Change, Entry};
use super::value::{Table, check_size};
use super::{SettingChange, SettingList, allowed};
use crate::config::{Config, ConfigTexts, LARGEST, LISTS};
use crate::types::{Error, ErrorCode};

/// The texts after a change, and their configuration.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) text: String,
    pub(super) config: Config,
}

/// Makes the change. Nothing is written.
///
/// # Errors
/// `NotAllowed`, `NotFound`, `InvalidArgs` with what the parser refuses, or `Failed`: the files have a mistake already.
pub(super) fn changed(texts: &ConfigTexts, change: &SettingChange) -> Result<Changed, Error> {
    check(texts, change)?;
    texts.config().map_err(|mistake| {
        let text = format!("{mistake}; correct the file first (butterdock.toml(5) has every key); nothing was changed");
        Error::new(ErrorCode::Failed, text)
    })?;
    let text = texts.administrator.text.as_deref().unwrap_or_default();
    let edited = match change {
        SettingChange::Set { list, name, set, reset, rename_from: Some(from), create: _ } => {
            can_rename(texts, (*list, from), name)?;
            edit::rename_entry(text, entry(*list, from), name)
                .and_then(|text| edit::set_entry(&text, entry(*list, name), Change { set, reset }))
        }
        SettingChange::Set { list, name, set, reset, create, rename_from: None } => {
            let mut reset = reset.clone();
            match (owner(texts, *list, name), create) {
                (Ok(_), Some(true)) => {
                    let text =
                        format!("there is a {} \"{}\" already; nothing was changed", list.word(), name.escape_debug());
                    return Err(Error::new(ErrorCode::Exists, text));
                }
                (Err(error), Some(false)) => return Err(error),
                // One of the maker's that was removed.
                (Err(_), Some(true) | None) if !set.contains_key("enabled") => reset.push("enabled".to_owned()),
                _ => {}
            }
            edit::set_entry(text, entry(*list, name), Change { set, reset: &reset })
        }
        SettingChange::Remove { list, name } => {
            let by_maker = owner(texts, *list, name)?;
            edit::remove_entry(text, entry(*list, name), by_maker)
        }
        SettingChange::Defaults { set, reset } => edit::set_defaults(text, Change { set, reset }),
    };
    // The parser of the configuration has read it already.
    let text =
        edited.map_err(|error| Error::new(ErrorCode::Failed, format!("cannot edit the file: {}", error.message())))?;
    if u64::try_from(text.len()).is_ok_and(|length| length > LARGEST) {
        return Err(Error::InvalidArgs("the file would be larger than 1 MiB; nothing was changed".to_owned()));
    }
    let config = texts.with(text.clone()).config().map_err(|mistake| {
        Error::InvalidArgs(format!("{mistake}; nothing was changed (the line is that of the file with the change)"))
    })?;
    Ok(Changed { text, config })
}

/// Whether the table `from` of the administrator's file can get this name.
fn can_rename(texts: &ConfigTexts, (list, from): (SettingList, &str), name: &str) -> Result<(), Error> {
    let (word, shown) = (list.word(), from.escape_debug());
    if owner(texts, list, from)? {
        let text = format!(
            "the {word} \"{shown}\" comes from the maker's file (below /usr) and cannot be renamed; nothing was changed"
        );
        return Err(Error::new(ErrorCode::NotAllowed, text));
    }
    let layers = texts.layers();
    let merged = layers.merged().map_err(|mistake| Error::new(ErrorCode::Failed, mistake.to_string()))?;
    if find(merged.get_ref(), word, name).is_some() {
        let text = format!("there is a {word} \"{}\" already; nothing was changed", name.escape_debug());
        return Err(Error::new(ErrorCode::Exists, text));
    }
    Ok(())
}

fn entry(list: SettingList, name: &str) -> Entry<'_> {
    Entry { list: list.word(), key: "name", name }
}

fn check(texts: &ConfigTexts, change: &SettingChange) -> Result<(), Error> {
    let (table, set, reset) = match change {
        SettingChange::Set { list, name, set, reset, create, rename_from } => {
            if rename_from.is_some() && (*list != SettingList::Backup || create.is_some()) {
                let text =
                    "`rename_from` is an option for backups, and not together with `create`; nothing was changed";
                return Err(Error::InvalidArgs(text.to_owned()));
            }
            if set.contains_key("name") || reset.iter().any(|key| key == "name") {
                let text = "the name of a table is an argument of its own; nothing was changed";
                return Err(Error::InvalidArgs(text.to_owned()));
            }
            if name.len() > 1024 {
                return Err(Error::InvalidArgs("the name is longer than 1024 bytes; nothing was changed".to_owned()));
            }
            (list.word(), set, reset)
        }
        SettingChange::Remove { .. } => return Ok(()),
        SettingChange::Defaults { set, reset } => {
            let is_of = |key: &str, list: &str| key.split('.').next() == Some(list);
            let named = |list: &str| set.keys().chain(reset).any(|key| is_of(key, list));
            // `allowed` refuses [[notify]], and says why.
            if let Some((list, _)) = LISTS.into_iter().find(|(list, _)| *list != "notify" && named(list)) {
                let text = format!("[[{list}]] is a list, not one of the defaults; nothing was changed");
                return Err(Error::InvalidArgs(text));
            }
            ("", set, reset)
        }
    };
    check_size(set).map_err(|error| Error::InvalidArgs(format!("{error}; nothing was changed")))?;
    let keys = reset.iter().map(|key| (key.clone(), super::Value::Boolean(true))).collect::<Table>();
    check_size(&keys).map_err(|error| Error::InvalidArgs(format!("{error}; nothing was changed")))?;
    allowed::check(table, set, reset.iter()).map_err(|allowed::NotAllowed { key, why }| {
        let file = texts.administrator.path.display();
        let text =
            format!("{key} can only be changed in {file}, because {why}; nothing was changed. Edit the file as root");
        Error::new(ErrorCode::NotAllowed, text)
    })
}

/// Whether the maker's file has the table.
///
/// # Errors
/// `NotFound`: neither file has it, or it is removed already.
fn owner(texts: &ConfigTexts, list: SettingList, name: &str) -> Result<bool, Error> {
    let word = list.word();
    let failed = |mistake| Error::new(ErrorCode::Failed, format!("{mistake}"));
    let layers = texts.layers();
    let merged = layers.merged().map_err(failed)?;
    let by_maker = find(layers.maker().map_err(failed)?.get_ref(), word, name).is_some();
    let table = find(merged.get_ref(), word, name);
    let is_off = |table: &DeTable<'_>| table.get("enabled").and_then(|is| is.get_ref().as_bool()) == Some(false);
    if table.is_none_or(|table| by_maker && is_off(table)) {
        return Err(Error::new(
            ErrorCode::NotFound,
            format!("no {word} \"{}\" is configured; nothing was changed", name.escape_debug()),
        ));
    }
    Ok(by_maker)
}

fn find<'t, 'l>(tree: &'t DeTable<'l>, list: &str, name: &str) -> Option<&'t DeTable<'l>> {
    let DeValue::Array(tables) = tree.get(list)?.get_ref() else { return None };
    let mut tables = tables.iter().filter_map(|table| table.get_ref().as_table());
    tables.find(|table| table.get("name").and_then(|is| is.get_ref().as_str()) == Some(name))
}
