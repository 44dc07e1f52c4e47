//! The methods about settings of the manager, and their values on the bus.

use std::collections::HashMap;
use std::sync::Arc;

use butterdock_dbus::names::interface::MANAGER;
use butterdock_dbus::{Error, Options, Problem, ProblemParams, RemoveOptions, SetOptions, Settings};
use butterdock_service::settings::{self, SettingChange, SettingList, SettingWarning, SettingsChanged, Table, Value};
use zbus::message::Header;
use zbus::wire::{Array, Dict, Signature};
use zbus::{OwnedVariant, Type as _, Variant};

use super::authority::Question;
use super::mapping::ForCaller as _;
use super::server::{BusServer, bus_failed};

/// `GetSettings`.
pub(super) async fn get(server: &BusServer, header: &Header<'_>) -> Result<(Settings, String), Error> {
    server.authority.allow(header, &Question::new(MANAGER, "GetSettings")).await?;
    let read = server.service.settings().await.for_caller()?;
    let settings::Settings { values, origins, read_only, file, is_writable, revision } = read;
    let file = file.to_string_lossy().into_owned();
    let (values, origins) = (to_bus(values)?, to_bus(origins)?);
    Ok((Settings { values, origins, read_only, file, writable: is_writable }, revision))
}

/// `SetBackup` and the like.
pub(super) async fn set(
    server: &Arc<BusServer>,
    call: (&'static str, &Header<'_>),
    (list, name): (SettingList, String),
    values: &Options,
    options: &Options,
) -> Result<(String, Vec<Problem>), Error> {
    let SetOptions { revision, reset, create, rename_from } = SetOptions::from_options(options)?;
    let set = from_bus(values)?;
    change(server, call, SettingChange::Set { list, name, set, reset, create, rename_from }, revision).await
}

/// `RemoveBackup` and the like.
pub(super) async fn remove(
    server: &Arc<BusServer>,
    call: (&'static str, &Header<'_>),
    (list, name): (SettingList, String),
    options: &Options,
) -> Result<String, Error> {
    let RemoveOptions { revision } = RemoveOptions::from_options(options)?;
    change(server, call, SettingChange::Remove { list, name }, revision).await.map(|(revision, _)| revision)
}

/// `SetDefaults`.
pub(super) async fn set_defaults(
    server: &Arc<BusServer>,
    header: &Header<'_>,
    values: &Options,
    options: &Options,
) -> Result<String, Error> {
    let SetOptions { revision, reset, create, rename_from } = SetOptions::from_options(options)?;
    if create.is_some() || rename_from.is_some() {
        let text = "SetDefaults has no option \"create\" and no \"rename_from\": it changes no list";
        return Err(Error::InvalidArgs(text.to_owned()));
    }
    let set = from_bus(values)?;
    let change = change(server, ("SetDefaults", header), SettingChange::Defaults { set, reset }, revision);
    change.await.map(|(revision, _)| revision)
}

async fn change(
    server: &Arc<BusServer>,
    (method, header): (&'static str, &Header<'_>),
    change: SettingChange,
    revision: Option<String>,
) -> Result<(String, Vec<Problem>), Error> {
    let caller = server.authority.allow(header, &Question::new(MANAGER, method)).await?;
    let what = subject(&change);
    let changed = server.service.change_settings(change, revision).await;
    let SettingsChanged { revision, warnings } = changed.for_caller()?;
    tracing::info!("user {} changed the settings: {method} {what}", caller.uid);
    // A client that has the answer finds the new destinations, backups and volumes.
    server.publish_drives().await;
    server.publish_backups().await;
    server.publish_volumes().await.map_err(|error| bus_failed(&error))?;
    Ok((revision, warnings.into_iter().map(problem).collect()))
}

/// The values of a call.
///
/// # Errors
/// `InvalidArgs` names the key whose type TOML does not have.
fn from_bus(values: &Options) -> Result<Table, Error> {
    values.iter().map(|(key, value)| Ok((key.clone(), value_from(key, value)?))).collect()
}

fn subject(change: &SettingChange) -> String {
    let quoted = |list: &SettingList, name: &str| format!("{list:?} {name:?}");
    match change {
        SettingChange::Set { list, name, rename_from: Some(from), .. } => {
            format!("{}, which was {from:?}", quoted(list, name))
        }
        SettingChange::Set { list, name, .. } | SettingChange::Remove { list, name } => quoted(list, name),
        SettingChange::Defaults { set, .. } => set.keys().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(" "),
    }
}

fn problem(warning: SettingWarning) -> Problem {
    let SettingWarning { code, name, english } = warning;
    let backup = Some(name).filter(|_| code != "volume-unusable");
    Problem { code: code.to_owned(), params: ProblemParams { backup, ..ProblemParams::default() }, english }
}

fn value_from(key: &str, value: &Variant<'_>) -> Result<Value, Error> {
    let refused = || {
        let key = key.escape_debug();
        Error::InvalidArgs(format!("the value of {key} has the type {}, which no setting has", value.value_signature()))
    };
    Ok(match value {
        Variant::Bool(is) => Value::Boolean(*is),
        Variant::Str(text) => Value::Text(text.as_str().to_owned()),
        Variant::U8(number) => Value::Number(i64::from(*number)),
        Variant::I16(number) => Value::Number(i64::from(*number)),
        Variant::U16(number) => Value::Number(i64::from(*number)),
        Variant::I32(number) => Value::Number(i64::from(*number)),
        Variant::U32(number) => Value::Number(i64::from(*number)),
        Variant::I64(number) => Value::Number(*number),
        Variant::U64(number) => Value::Number(i64::try_from(*number).map_err(|_large| refused())?),
        Variant::Variant(inner) => value_from(key, inner)?,
        Variant::Array(all) => {
            Value::List(all.inner().iter().map(|one| value_from(key, one)).collect::<Result<_, _>>()?)
        }
        Variant::Dict(all) => {
            let pair = |(key, value): (&Variant<'_>, &Variant<'_>)| {
                let key = <&str>::try_from(key).map_err(|_number| refused())?;
                Ok::<_, Error>((key.to_owned(), value_from(key, value)?))
            };
            Value::Table(all.iter().map(pair).collect::<Result<_, _>>()?)
        }
        Variant::F64(_) | Variant::Signature(_) | Variant::ObjectPath(_) | Variant::Structure(_) | Variant::Fd(_) => {
            return Err(refused());
        }
    })
}

fn to_bus(table: Table) -> Result<HashMap<String, OwnedVariant>, Error> {
    let pair = |(key, value)| Ok((key, variant(value)?.try_into_owned()?));
    table.into_iter().map(pair).collect::<zbus::wire::Result<_>>().map_err(Error::Bus)
}

fn variant(value: Value) -> zbus::wire::Result<Variant<'static>> {
    Ok(match value {
        Value::Text(text) => Variant::from(text),
        Value::Number(number) => Variant::from(number),
        Value::Boolean(is) => Variant::from(is),
        Value::Table(table) => Variant::Dict(dictionary(table)?),
        Value::List(all) => {
            let all = all.into_iter().map(variant).collect::<zbus::wire::Result<Vec<_>>>()?;
            let first = all.first().map_or(<&str>::SIGNATURE, Variant::value_signature).clone();
            if all.iter().all(|one| *one.value_signature() == first) {
                let mut array = Array::new(&first);
                all.into_iter().try_for_each(|one| array.append(one))?;
                Variant::Array(array)
            } else {
                let mut array = Array::new(&Signature::Variant);
                all.into_iter().try_for_each(|one| array.append(Variant::Variant(Box::new(one))))?;
                Variant::Array(array)
            }
        }
    })
}

fn dictionary(table: Table) -> zbus::wire::Result<Dict<'static, 'static>> {
    let mut dictionary = Dict::new(<&str>::SIGNATURE, &Signature::Variant);
    for (key, value) in table {
        dictionary.append(Variant::from(key), Variant::Variant(Box::new(variant(value)?)))?;
    }
    Ok(dictionary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_on_the_bus() {
        let text = |text: &str| Value::Text(text.to_owned());
        let keep = Value::Table(Table::from([("daily".to_owned(), Value::Number(7))]));
        let table = Table::from([
            ("to".to_owned(), Value::List(vec![text("Blue"), text("Red")])),
            ("enabled".to_owned(), Value::Boolean(false)),
            ("empty".to_owned(), Value::List(Vec::new())),
            ("match".to_owned(), Value::List(vec![keep.clone(), keep.clone()])),
            ("keep".to_owned(), keep),
            ("mixed".to_owned(), Value::List(vec![Value::Number(-1), text("x")])),
        ]);
        let sent = to_bus(table.clone()).expect("values");
        let signature = |key: &str| sent[key].value_signature().to_string();
        assert_eq!(["to", "empty", "match", "keep", "mixed"].map(signature), ["as", "as", "aa{sv}", "a{sv}", "av"]);
        assert_eq!(from_bus(&sent), Ok(table));
    }

    #[test]
    fn types_that_toml_does_not_have_are_refused() {
        let owned = |value: Variant<'static>| value.try_into_owned().expect("owned");
        for value in [Variant::from(1.5), Variant::from(u64::MAX), Variant::from((1_u8, 2_u8))] {
            let refused = from_bus(&Options::from([("nice".to_owned(), owned(value))])).expect_err("refused");
            assert!(refused.to_string().contains("the value of nice has the type"), "{refused}");
        }
        let by_number = Variant::from(HashMap::from([(1_u32, "a")]));
        assert!(from_bus(&Options::from([("a".to_owned(), owned(by_number))])).is_err());
    }
}
