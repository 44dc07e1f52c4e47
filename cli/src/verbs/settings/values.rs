//! Values of settings: on the command line, as JSON and on the bus.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use zbus::{OwnedVariant, Variant};

use crate::failure::Failure;
use crate::render::escaped;

/// Keys whose value is a list: `to=Blue,Red` is one.
const LISTS: [&str; 2] = ["to", "drives"];

/// `KEY=VALUE` on the command line.
#[derive(Debug)]
pub(super) struct Assignments {
    /// The values of `KEY=VALUE`.
    pub(super) values: BTreeMap<String, Value>,
    /// The keys of `KEY=`.
    pub(super) reset: Vec<String>,
}

impl Assignments {
    pub(super) fn read(words: &[String]) -> Result<Self, Failure> {
        let (mut values, mut reset) = (BTreeMap::new(), Vec::new());
        for word in words {
            match word.split_once('=') {
                Some((key, "")) if !key.is_empty() => reset.push(key.to_owned()),
                Some((key, value)) if !key.is_empty() => drop(values.insert(key.to_owned(), typed(key, value)?)),
                _ => {
                    let text = format!("\"{}\" is not KEY=VALUE", escaped(word));
                    return Err(Failure::usage(text, "butterdock.toml(5) has the keys"));
                }
            }
        }
        Ok(Self { values, reset })
    }

    /// The values alone, of something new.
    pub(super) fn without_reset(words: &[String]) -> Result<BTreeMap<String, Value>, Failure> {
        let Self { values, reset } = Self::read(words)?;
        match reset.first() {
            Some(key) => Err(Failure::usage(format!("{} has no value", escaped(key)), "write KEY=VALUE")),
            None => Ok(values),
        }
    }
}

/// A value as the configuration has it: text that begins as JSON is JSON.
pub(super) fn typed(key: &str, text: &str) -> Result<Value, Failure> {
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

pub(super) fn json_table(table: &HashMap<String, OwnedVariant>) -> BTreeMap<String, Value> {
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
pub(super) fn variant(value: &Value) -> Variant<'static> {
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
        let Assignments { values, reset } = Assignments::read(&words).expect("read");
        assert_eq!((values.len(), reset), (1, vec!["protect".to_owned()]));
        for word in ["protect", "=x", ""] {
            assert!(Assignments::read(&[word.to_owned()]).is_err(), "{word}");
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
