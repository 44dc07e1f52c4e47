//! The verbs about settings: `settings`, and those that change it.

mod changes;
mod filesystem;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

use crate::args::settings::{Settings, SettingsChange};
use crate::failure::Failure;
use crate::render::{Output, Table, escaped};
use crate::service::Service;

pub(crate) use changes::{change_backup, change_destination, change_volume};

#[derive(Serialize)]
struct SettingsObject<'a> {
    revision: &'a str,
    file: &'a str,
    writable: bool,
    read_only: &'a [String],
    values: &'a BTreeMap<String, Value>,
    origins: &'a BTreeMap<String, Value>,
}

/// Shows or changes the settings.
pub(crate) async fn run(service: &Service, out: Output, wanted: &Settings) -> Result<ExitCode, Failure> {
    match &wanted.change {
        None => show(service, out).await,
        Some(SettingsChange::Set { values, revision }) => {
            changes::set_defaults(service, out, values, revision.clone()).await
        }
    }
}

/// Shows the settings of both files.
async fn show(service: &Service, out: Output) -> Result<ExitCode, Failure> {
    let (settings, revision) = service.manager().await?.get_settings(HashMap::new()).await?;
    let (values, origins) = (values::json_table(&settings.values), values::json_table(&settings.origins));
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
            "`butterdock backup set`, `volume set`, `destination set` and `settings set` change it".to_owned()
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
