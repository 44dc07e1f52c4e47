//! Changes of the administrator's settings.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use butterdock_dbus::{Problem, RemoveOptions, SetOptions};
use serde::Serialize;
use serde_json::Value;

use super::filesystem;
use super::values::{Assignments, typed, variant};
use crate::args::backup::{AddBackup, BackupChange, SetBackup};
use crate::args::settings::{AddDestination, AddVolume, DestinationChange, RemoveTable, SetTable, VolumeChange};
use crate::failure::Failure;
use crate::render::{Output, escaped, print_error};
use crate::service::Service;

#[derive(Serialize)]
struct Changed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
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

/// A list of the configuration.
#[derive(Debug, Clone, Copy)]
enum List {
    Backup,
    Volume,
    Destination,
}

impl List {
    const fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Volume => "volume",
            Self::Destination => "destination",
        }
    }

    /// What is not lost with a removed table.
    const fn stays(self) -> &'static str {
        match self {
            Self::Backup => "its snapshots stay; `butterdockd check-config` lists those of this machine",
            Self::Volume => "what is in it stays",
            Self::Destination => "its snapshots stay",
        }
    }
}

/// One change of a table.
struct Change<'c> {
    list: List,
    name: &'c str,
    values: BTreeMap<String, Value>,
    options: SetOptions,
    /// What the answer says of the table, and what comes behind that.
    said: (&'static str, &'c str),
}

/// Adds, changes, renames or removes a backup.
pub(crate) async fn change_backup(service: &Service, out: Output, change: &BackupChange) -> Result<ExitCode, Failure> {
    match change {
        BackupChange::Add(wanted) => add_backup(service, out, wanted).await,
        BackupChange::Set(SetBackup { name, values, revision }) => {
            set(service, out, (List::Backup, name), values, revision.clone()).await
        }
        BackupChange::Rename { name, new_name, revision } => {
            let options =
                SetOptions { revision: revision.clone(), rename_from: Some(name.clone()), ..SetOptions::default() };
            let said = ("renamed", "; its snapshots and its history belong to it");
            let values = BTreeMap::new();
            send(service, out, Change { list: List::Backup, name: new_name, values, options, said }).await
        }
        BackupChange::Remove(wanted) => remove(service, out, List::Backup, wanted).await,
    }
}

/// Adds, changes or removes a volume.
pub(crate) async fn change_volume(service: &Service, out: Output, change: &VolumeChange) -> Result<ExitCode, Failure> {
    match change {
        VolumeChange::Add(AddVolume { name, path, uuid }) => {
            let mut values = BTreeMap::from([("path".to_owned(), absolute(path, "the path")?.into())]);
            values.extend(uuid.iter().map(|uuid| ("uuid".to_owned(), uuid.clone().into())));
            add(service, out, (List::Volume, name), values, "").await
        }
        VolumeChange::Set(SetTable { name, values, revision }) => {
            set(service, out, (List::Volume, name), values, revision.clone()).await
        }
        VolumeChange::Remove(wanted) => remove(service, out, List::Volume, wanted).await,
    }
}

/// Adds, changes or removes a destination.
pub(crate) async fn change_destination(
    service: &Service,
    out: Output,
    change: &DestinationChange,
) -> Result<ExitCode, Failure> {
    match change {
        DestinationChange::Add(wanted) => add_destination(service, out, wanted).await,
        DestinationChange::Set(SetTable { name, values, revision }) => {
            set(service, out, (List::Destination, name), values, revision.clone()).await
        }
        DestinationChange::Remove(wanted) => remove(service, out, List::Destination, wanted).await,
    }
}

/// Changes settings outside of the lists.
pub(crate) async fn set_defaults(
    service: &Service,
    out: Output,
    words: &[String],
    revision: Option<String>,
) -> Result<ExitCode, Failure> {
    let Assignments { values, reset } = Assignments::read(words)?;
    let options = SetOptions { revision, reset, ..SetOptions::default() };
    let values = in_tables(values)?;
    let values = values.iter().map(|(key, value)| (key.as_str(), variant(value))).collect();
    let revision = service.manager().await?.set_defaults(values, options.to_options()).await?;
    let changed = Changed { name: None, result: "changed", revision: &revision, warnings: Vec::new() };
    out.answer(&changed, || "the settings are changed\n".to_owned());
    Ok(ExitCode::SUCCESS)
}

/// `table.key` is a key in a table.
fn in_tables(values: BTreeMap<String, Value>) -> Result<BTreeMap<String, Value>, Failure> {
    let mut all = BTreeMap::new();
    for (name, value) in values {
        let Some((table, key)) = name.split_once('.') else {
            all.insert(name, value);
            continue;
        };
        let keys = all.entry(table.to_owned()).or_insert_with(|| Value::Object(serde_json::Map::new()));
        let Value::Object(keys) = keys else {
            let text = format!("{} is set twice: as a whole, and a key in it", escaped(table));
            return Err(Failure::usage(text, "name only one of them"));
        };
        keys.insert(key.to_owned(), value);
    }
    Ok(all)
}

async fn add_backup(service: &Service, out: Output, wanted: &AddBackup) -> Result<ExitCode, Failure> {
    let AddBackup { name, source, more, to, schedule, daily, keep } = wanted;
    let mut values = Assignments::without_reset(more)?;
    values.insert("source".to_owned(), absolute(source, "the source")?.into());
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
    let next = format!("; `butterdock backup {}` runs it now", escaped(name));
    add(service, out, (List::Backup, name), values, &next).await
}

async fn add_destination(service: &Service, out: Output, wanted: &AddDestination) -> Result<ExitCode, Failure> {
    let AddDestination { name, volume, uuid, drive, more } = wanted;
    let mut values = Assignments::without_reset(more)?;
    if let Some(path) = volume {
        let path = absolute(path, "the path")?;
        let uuid = match uuid {
            Some(uuid) => uuid.clone(),
            None => filesystem::uuid_at(Path::new(&path))?,
        };
        let all = [("kind", "volume".to_owned()), ("path", path), ("uuid", uuid)];
        values.extend(all.map(|(key, value)| (key.to_owned(), value.into())));
    }
    if let Some(drive) = drive {
        let all = [("kind", "drive".to_owned()), ("drive", drive.clone())];
        values.extend(all.map(|(key, value)| (key.to_owned(), value.into())));
    }
    let next = format!("; `butterdock backup add NAME SOURCE --to {}` backs up to it", escaped(name));
    add(service, out, (List::Destination, name), values, &next).await
}

fn absolute(path: &Path, what: &str) -> Result<String, Failure> {
    let text = std::path::absolute(path).ok().and_then(|path| path.into_os_string().into_string().ok());
    text.ok_or_else(|| Failure::usage(format!("{what} is no absolute path of UTF-8"), "name its full path"))
}

async fn add(
    service: &Service,
    out: Output,
    (list, name): (List, &str),
    values: BTreeMap<String, Value>,
    next: &str,
) -> Result<ExitCode, Failure> {
    let options = SetOptions { create: Some(true), ..SetOptions::default() };
    send(service, out, Change { list, name, values, options, said: ("added", next) }).await
}

async fn set(
    service: &Service,
    out: Output,
    (list, name): (List, &str),
    words: &[String],
    revision: Option<String>,
) -> Result<ExitCode, Failure> {
    let Assignments { values, reset } = Assignments::read(words)?;
    let options = SetOptions { revision, reset, create: Some(false), rename_from: None };
    send(service, out, Change { list, name, values, options, said: ("changed", "") }).await
}

async fn send(service: &Service, out: Output, change: Change<'_>) -> Result<ExitCode, Failure> {
    let Change { list, name, values, options, said: (result, next) } = change;
    let values = values.iter().map(|(key, value)| (key.as_str(), variant(value))).collect();
    let (manager, options) = (service.manager().await?, options.to_options());
    let (revision, warnings) = match list {
        List::Backup => manager.set_backup(name, values, options).await,
        List::Volume => manager.set_volume(name, values, options).await,
        List::Destination => manager.set_destination(name, values, options).await,
    }?;
    let warning = warnings.iter().map(WarningObject::new).collect();
    let changed = Changed { name: Some(name), result, revision: &revision, warnings: warning };
    let word = list.word();
    out.answer(&changed, || format!("the {word} {} is {result}{next}\n", escaped(name)));
    for warning in warnings.iter().filter(|_| !out.json) {
        print_error(&format!("butterdock: the {word} {}: {}", escaped(name), escaped(&warning.english)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn remove(service: &Service, out: Output, list: List, wanted: &RemoveTable) -> Result<ExitCode, Failure> {
    let RemoveTable { name, revision } = wanted;
    let options = RemoveOptions { revision: revision.clone() };
    let (manager, options) = (service.manager().await?, options.to_options());
    let revision = match list {
        List::Backup => manager.remove_backup(name, options).await,
        List::Volume => manager.remove_volume(name, options).await,
        List::Destination => manager.remove_destination(name, options).await,
    }?;
    let changed = Changed { name: Some(name), result: "removed", revision: &revision, warnings: Vec::new() };
    out.answer(&changed, || format!("the {} {} is removed; {}\n", list.word(), escaped(name), list.stays()));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_of_tables_are_gathered() {
        let words = ["max_jobs=2", "drives.on_finish=keep", "worker.nice=10", "drives.unlock_timeout=30"];
        let read = Assignments::read(&words.map(str::to_owned)).expect("read");
        let expected = json!({
            "max_jobs": 2,
            "drives": { "on_finish": "keep", "unlock_timeout": 30 },
            "worker": { "nice": 10 },
        });
        assert_eq!(json!(in_tables(read.values).expect("tables")), expected);
        let twice = Assignments::read(&["drives=x", "drives.on_finish=keep"].map(str::to_owned)).expect("read");
        assert!(in_tables(twice.values).is_err());
    }
}
