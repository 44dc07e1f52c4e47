//! The settings of both files as one answer, with where each value is from.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::defaults::{self, defaults};
use super::value::{Table, Value};
use super::{Settings, allowed, file};
use crate::config::{Config, ConfigTexts, Layers, Mistake, Origin};

/// The settings of these files.
///
/// # Errors
/// The first mistake in one of the files.
pub(super) fn read(texts: &ConfigTexts) -> Result<Settings, Mistake> {
    let config = texts.config()?;
    let layers = texts.layers();
    let tree = layers.merged()?;
    let (mut values, mut origins) = both(&layers, tree.get_ref());
    for (key, default) in defaults() {
        let (value, origin) = (values.remove(&key), origins.remove(&key));
        let (value, origin) = completed(&key, (value, origin), default, &config);
        values.insert(key.clone(), value);
        origins.insert(key, origin);
    }
    let administrator = &texts.administrator;
    Ok(Settings {
        values,
        origins,
        read_only: allowed::read_only(),
        is_writable: file::is_writable(&administrator.path),
        revision: file::revision(administrator.text.as_deref()),
        file: administrator.path.clone(),
    })
}

/// The values of a table, and where they are from. A table in a list, or at the top, has the origins of its keys.
fn both(layers: &Layers, tree: &DeTable<'_>) -> (Table, Table) {
    let (mut values, mut origins) = (Table::new(), Table::new());
    for (key, value) in tree {
        let key = key.get_ref().to_string();
        let origin = match value.get_ref() {
            DeValue::Table(table) => Value::Table(of_keys(layers, table)),
            DeValue::Array(entries) if entries.iter().all(|entry| entry.get_ref().is_table()) => {
                let table =
                    |entry: &Spanned<DeValue<'_>>| entry.get_ref().as_table().map(|table| of_keys(layers, table));
                Value::List(entries.iter().filter_map(table).map(Value::Table).collect())
            }
            DeValue::Array(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => origin(layers, value),
        };
        values.insert(key.clone(), Value::parsed(value.get_ref()));
        origins.insert(key, origin);
    }
    (values, origins)
}

fn of_keys(layers: &Layers, table: &DeTable<'_>) -> Table {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), origin(layers, value))).collect()
}

fn origin(layers: &Layers, value: &Spanned<DeValue<'_>>) -> Value {
    word(match layers.origin(&value.span()) {
        Origin::Maker => "maker",
        Origin::Administrator => "administrator",
    })
}

fn word(word: &str) -> Value {
    Value::Text(word.to_owned())
}

/// A value of the files with the defaults of its missing keys.
fn completed(key: &str, set: (Option<Value>, Option<Value>), default: Value, config: &Config) -> (Value, Value) {
    match (set, default) {
        ((Some(Value::Table(mut values)), Some(Value::Table(mut origins))), Value::Table(default)) => {
            complete(&mut values, &mut origins, &default);
            (Value::Table(values), Value::Table(origins))
        }
        ((None, _), Value::Table(default)) => {
            let origins = default.keys().map(|key| (key.clone(), word("default"))).collect();
            (Value::Table(default), Value::Table(origins))
        }
        ((values, origins), Value::List(tables)) if crate::config::LISTS.iter().any(|(list, _)| *list == key) => {
            let default = match tables.into_iter().next() {
                Some(Value::Table(default)) => default,
                _ => Table::new(),
            };
            let (Some(Value::List(mut values)), Some(Value::List(mut origins))) = (values, origins) else {
                return (Value::List(Vec::new()), Value::List(Vec::new()));
            };
            for entry in values.iter_mut().zip(&mut origins) {
                let (Value::Table(values), Value::Table(origins)) = entry else { continue };
                complete(values, origins, &default);
                if key == "backup"
                    && let Some(Value::Text(name)) = values.get("name")
                    && let Some(rule) = config.backup(name)
                {
                    let known = defaults::of_backup(rule).map(|(key, value)| (key.to_owned(), value));
                    complete(values, origins, &Table::from(known));
                }
            }
            (Value::List(values), Value::List(origins))
        }
        ((Some(value), Some(origin)), _) => (value, origin),
        (_, default) => (default, word("default")),
    }
}

fn complete(values: &mut Table, origins: &mut Table, defaults: &Table) {
    for (key, default) in defaults {
        if !values.contains_key(key) {
            values.insert(key.clone(), default.clone());
            origins.insert(key.clone(), word("default"));
        }
    }
}
