//! Changes of the administrator's settings.

use std::collections::BTreeMap;
use std::process::ExitCode;

use butterdock_dbus::{Problem, RemoveOptions, SetOptions};
use serde::Serialize;
use serde_json::Value;

use super::values::{assignments, typed, variant};
use crate::args::backup::{AddBackup, SetBackup};
use crate::failure::Failure;
use crate::render::{Output, escaped, print_error};
use crate::service::Service;

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
