//! The verbs about settings: `settings`, and the changes of `backup`.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

use butterdock_dbus::{Problem, RemoveOptions, SetOptions};
use serde::Serialize;
use serde_json::Value;
use zbus::{OwnedVariant, Variant};

use crate::args::{AddBackup, SetBackup};
use crate::failure::Failure;
use crate::render::{Output, Table, escaped, print_error};
use crate::service::Service;

/// Keys whose value is a list: `to=Blue,Red` is one.
const LISTS: [&str; 2] = ["to", "drives"];

#[derive(Serialize)]
struct SettingsObject<'a> {
    revision: &'a str,
    file: &'a str,
    writable: bool,
    read_only: &'a [String],
    values: &'a BTreeMap<String, Value>,
    origins: &'a BTreeMap<String, Value>,
}

/// Shows the settings of both files.
pub(crate) async fn show(service: &Service, out: Output) -> Result<ExitCode, Failure> {
    let (settings, revision) = service.manager().await?.get_settings(HashMap::new()).await?;
    let (values, origins) = (json_table(&settings.values), json_table(&settings.origins));
    let object = SettingsObject {
        revision: &revision,
        file: &settings.file,
        writable: settings.writable,
        read_only: &settings.read_only,
        values: &values,
        origins: &origins,
    };
    out.answer(&object, || {
        let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
        for (key, value) in &values {
            rows(&mut table, key, value, origins.get(key));
        }
        let file = escaped(&settings.file);
        let next = if settings.writable {
            "`butterdock backup set` changes backups".to_owned()
        } else {
            "it is on a read-only filesystem; the maker's file can name another place in [paths] settings".to_owned()
        };
        let fixed = settings.read_only.iter().map(|key| escaped(key)).collect::<Vec<_>>().join(", ");
        format!(
            "{}\nthe administrator's file is {file}, revision {}; {next}\nonly in the files: {fixed}\n",
            table.render(),
            escaped(&revision)
        )
    });
    Ok(ExitCode::SUCCESS)
}

/// The rows of a value at the top: one for each key of a table, and of each table of a list.
fn rows(table: &mut Table, key: &str, value: &Value, origin: Option<&Value>) {
    let mut row = |key: String, value: &Value, origin: Option<&Value>| {
        let from = origin.and_then(Value::as_str).unwrap_or_default();
        table.row([escaped(&key), escaped(&value.to_string()), escaped(from)]);
    };
    match (value, origin) {
        (Value::Object(keys), Some(Value::Object(origins))) => {
            for (name, value) in keys {
                row(format!("{key}.{name}"), value, origins.get(name));
            }
        }
        (Value::Array(entries), Some(Value::Array(origins))) => {
            for (entry, origins) in entries.iter().zip(origins) {
                let name = ["name", "drive"].iter().find_map(|name| entry.get(name)?.as_str()).unwrap_or_default();
                for (inner, value) in entry.as_object().into_iter().flatten().filter(|(inner, _)| *inner != "name") {
                    row(format!("{key} \"{name}\" {inner}"), value, origins.get(inner));
                }
            }
        }
        _ => row(key.to_owned(), value, origin),
    }
}

#[derive(Serialize)]
struct Changed<'a> {
    name: &'a str,
    result: &'static str,
    revision: &'a str,
    warnings: Vec<WarningObject<'a>>,
}

#[derive(Serialize)]
struct WarningObject<'a> {
    code: &'a str,
    message: &'a str,
}

impl<'a> WarningObject<'a> {
    fn new(warning: &'a Problem) -> Self {
        Self { code: &warning.code, message: &warning.english }
    }
}

/// Adds a backup.
pub(crate) async fn add_backup(service: &Service, out: Output, wanted: &AddBackup) -> Result<ExitCode, Failure> {
    let AddBackup { name, source, more, to, schedule, daily, keep } = wanted;
    let (mut values, reset) = assignments(more)?;
    if let Some(key) = reset.first() {
        return Err(Failure::usage(format!("{} has no value", escaped(key)), "write KEY=VALUE"));
    }
    let source = std::path::absolute(source)
        .ok()
        .and_then(|source| source.into_os_string().into_string().ok())
        .ok_or_else(|| Failure::usage("the source is no absolute path of UTF-8".to_owned(), "name its full path"))?;
    values.insert("source".to_owned(), source.into());
    values.insert("to".to_owned(), to.clone().into());
    let times = schedule.iter().cloned().chain(daily.iter().map(|time| format!("daily {time}"))).collect::<Vec<_>>();
    match times.as_slice() {
        [] => {}
        [one] => drop(values.insert("schedule".to_owned(), one.clone().into())),
        several => drop(values.insert("schedule".to_owned(), several.into())),
    }
    if let Some(keep) = keep {
        values.insert("keep".to_owned(), typed("keep", keep)?);
    }
    let options = SetOptions { create: Some(true), ..SetOptions::default() };
    let next = format!("; `butterdock backup {}` runs it now", escaped(name));
    set(service, out, name, (&values, &options), ("added", &next)).await
}

/// Changes settings of a backup.
pub(crate) async fn set_backup(service: &Service, out: Output, wanted: &SetBackup) -> Result<ExitCode, Failure> {
    let SetBackup { name, values, revision } = wanted;
    let (values, reset) = assignments(values)?;
    let options = SetOptions { revision: revision.clone(), reset, create: Some(false), rename_from: None };
    set(service, out, name, (&values, &options), ("changed", "")).await
}

/// Gives a backup another name.
pub(crate) async fn rename_backup(
    service: &Service,
    out: Output,
    (from, name): (&str, &str),
    revision: Option<String>,
) -> Result<ExitCode, Failure> {
    let options = SetOptions { revision, rename_from: Some(from.to_owned()), ..SetOptions::default() };
    set(service, out, name, (&BTreeMap::new(), &options), ("renamed", "; its snapshots and its history belong to it"))
        .await
}

async fn set(
    service: &Service,
    out: Output,
    name: &str,
    (values, options): (&BTreeMap<String, Value>, &SetOptions),
    (result, next): (&'static str, &str),
) -> Result<ExitCode, Failure> {
    let values = values.iter().map(|(key, value)| (key.as_str(), variant(value))).collect();
    let (revision, warnings) = service.manager().await?.set_backup(name, values, options.to_options()).await?;
    let changed =
        Changed { name, result, revision: &revision, warnings: warnings.iter().map(WarningObject::new).collect() };
    out.answer(&changed, || format!("the backup {} is {result}{next}\n", escaped(name)));
    for warning in warnings.iter().filter(|_| !out.json) {
        print_error(&format!("butterdock: the backup {}: {}", escaped(name), escaped(&warning.english)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes a backup.
pub(crate) async fn remove_backup(
    service: &Service,
    out: Output,
    name: &str,
    revision: Option<String>,
) -> Result<ExitCode, Failure> {
    let options = RemoveOptions { revision };
    let revision = service.manager().await?.remove_backup(name, options.to_options()).await?;
    let changed = Changed { name, result: "removed", revision: &revision, warnings: Vec::new() };
    out.answer(&changed, || {
        let next = "its snapshots stay; `butterdockd check-config` lists those of this machine";
        format!("the backup {} is removed; {next}\n", escaped(name))
    });
    Ok(ExitCode::SUCCESS)
}

/// The values of `KEY=VALUE`, and the keys of `KEY=`.
fn assignments(words: &[String]) -> Result<(BTreeMap<String, Value>, Vec<String>), Failure> {
    let (mut values, mut reset) = (BTreeMap::new(), Vec::new());
    for word in words {
        match word.split_once('=') {
            Some((key, "")) if !key.is_empty() => reset.push(key.to_owned()),
            Some((key, value)) if !key.is_empty() => drop(values.insert(key.to_owned(), typed(key, value)?)),
            _ => {
                let text = format!("\"{}\" is not KEY=VALUE", escaped(word));
                return Err(Failure::usage(text, "butterdock.toml(5) has the keys of a backup"));
            }
        }
    }
    Ok((values, reset))
}

/// A value as the configuration has it: text that begins as JSON is JSON.
fn typed(key: &str, text: &str) -> Result<Value, Failure> {
    if text.starts_with(['[', '{', '"']) {
        return serde_json::from_str(text).map_err(|error| {
            Failure::usage(format!("the value of {} is no JSON: {error}", escaped(key)), "quote it for the shell")
        });
    }
    if key == "keep" && text.contains('=') {
        let count = |word: &str| {
            let (period, count) = word.split_once('=')?;
            Some((period.trim().to_owned(), Value::from(count.trim().parse::<i64>().ok()?)))
        };
        let all = text.split(',').map(count).collect::<Option<serde_json::Map<_, _>>>();
        let wrong = || format!("\"{}\" does not say how many snapshots to keep", escaped(text));
        return all.map(Value::Object).ok_or_else(|| Failure::usage(wrong(), "write it like daily=7,weekly=4"));
    }
    if LISTS.contains(&key) || text.contains(',') {
        return Ok(text.split(',').map(|one| Value::from(one.trim())).collect());
    }
    Ok(match (text, text.parse::<i64>()) {
        ("true", _) => true.into(),
        ("false", _) => false.into(),
        (_, Ok(number)) => number.into(),
        (text, Err(_)) => text.into(),
    })
}

fn json_table(table: &HashMap<String, OwnedVariant>) -> BTreeMap<String, Value> {
    table.iter().map(|(key, value)| (key.clone(), json(value))).collect()
}

/// A value of the bus as JSON.
fn json(value: &Variant<'_>) -> Value {
    match value {
        Variant::Bool(is) => (*is).into(),
        Variant::I64(number) => (*number).into(),
        Variant::Str(text) => text.as_str().into(),
        Variant::Variant(inner) => json(inner),
        Variant::Array(all) => all.inner().iter().map(json).collect(),
        Variant::Dict(all) => {
            let pair = |(key, value): (&Variant<'_>, &Variant<'_>)| {
                (<&str>::try_from(key).unwrap_or_default().to_owned(), json(value))
            };
            Value::Object(all.iter().map(pair).collect())
        }
        // Of a later version of the service.
        Variant::U8(_)
        | Variant::I16(_)
        | Variant::U16(_)
        | Variant::I32(_)
        | Variant::U32(_)
        | Variant::U64(_)
        | Variant::F64(_)
        | Variant::Signature(_)
        | Variant::ObjectPath(_)
        | Variant::Structure(_)
        | Variant::Fd(_) => value.to_string().into(),
    }
}

/// A value for the bus: lists are of text, or of any values.
fn variant(value: &Value) -> Variant<'static> {
    match value {
        Value::Null => Variant::from(""),
        Value::Bool(is) => Variant::from(*is),
        Value::Number(number) => number.as_i64().map_or_else(|| Variant::from(number.to_string()), Variant::from),
        Value::String(text) => Variant::from(text.clone()),
        Value::Array(all) if all.iter().all(Value::is_string) => {
            Variant::from(all.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>())
        }
        Value::Array(all) => Variant::from(all.iter().map(variant).collect::<Vec<_>>()),
        Value::Object(table) => {
            let pairs = table.iter().map(|(key, value)| (key.clone(), variant(value)));
            Variant::from(pairs.collect::<BTreeMap<String, Variant<'static>>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_have_the_types_of_the_configuration() {
        let typed = |key, text| typed(key, text).expect("a value");
        assert_eq!(typed("to", "Blue"), json!(["Blue"]));
        assert_eq!(typed("to", "Blue, Red"), json!(["Blue", "Red"]));
        assert_eq!(typed("keep", "daily=7,weekly=4"), json!({ "daily": 7, "weekly": 4 }));
        assert_eq!(typed("keep", "{\"last\": 3}"), json!({ "last": 3 }));
        assert_eq!(typed("schedule", "daily 02:00"), json!("daily 02:00"));
        assert_eq!(typed("schedule", "on-plug,daily 02:00"), json!(["on-plug", "daily 02:00"]));
        assert_eq!((typed("enabled", "false"), typed("x", "7")), (json!(false), json!(7)));
        assert_eq!((typed("folder", "\"7\""), typed("folder", "a=b")), (json!("7"), json!("a=b")));
        for (key, text) in [("keep", "daily=x"), ("keep", "{"), ("x", "[1")] {
            assert!(super::typed(key, text).is_err(), "{key}={text}");
        }
    }

    #[test]
    fn an_empty_value_returns_to_the_default() {
        let words = ["protect=".to_owned(), "schedule=manual".to_owned()];
        let (values, reset) = assignments(&words).expect("read");
        assert_eq!((values.len(), reset), (1, vec!["protect".to_owned()]));
        for word in ["protect", "=x", ""] {
            assert!(assignments(&[word.to_owned()]).is_err(), "{word}");
        }
    }

    #[test]
    fn values_return_from_the_bus() {
        for value in
            [json!(["a", "b"]), json!([]), json!({ "daily": 7 }), json!(true), json!(-1), json!([{ "serial": "x" }])]
        {
            assert_eq!(json(&variant(&value)), value);
        }
    }
}
