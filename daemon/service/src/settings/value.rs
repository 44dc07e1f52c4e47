//! Values of settings without their format: what callers pass and get.

use std::collections::BTreeMap;
use std::fmt;

use toml::de::{DeInteger, DeTable, DeValue};
use toml_edit::{Array, InlineTable, Item, Value as Toml};

/// A value of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Number(i64),
    /// True or false.
    Boolean(bool),
    /// A list; of one type, as the configuration wants it.
    List(Vec<Self>),
    /// A table.
    Table(Table),
}

/// Keys and their values.
pub type Table = BTreeMap<String, Value>;

/// Limit of bytes in all keys and texts of one change.
const LONGEST: usize = 64 << 10;
/// Limit of bytes in one key.
const LONGEST_KEY: usize = 64;
/// Limit of values in one change.
const MOST: usize = 1000;
/// Limit of tables and lists in each other.
const DEEPEST: usize = 4;

/// The bounds of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "one change of settings has up to {MOST} values, {} KiB, {DEEPEST} tables or lists in each other, and keys of \
             {LONGEST_KEY} bytes; edit the file for more",
            LONGEST >> 10
        )
    }
}

/// Checks the bounds of a change.
pub(super) fn check_size(change: &Table) -> Result<(), TooLarge> {
    let (mut bytes, mut count) = (0, 0);
    table_size(change, 0, &mut bytes, &mut count)
}

fn table_size(table: &Table, depth: usize, bytes: &mut usize, count: &mut usize) -> Result<(), TooLarge> {
    for (key, value) in table {
        add(bytes, key.len(), LONGEST)?;
        if key.len() > LONGEST_KEY {
            return Err(TooLarge);
        }
        size(value, depth, bytes, count)?;
    }
    Ok(())
}

fn size(value: &Value, depth: usize, bytes: &mut usize, count: &mut usize) -> Result<(), TooLarge> {
    add(count, 1, MOST)?;
    match value {
        Value::Text(text) => add(bytes, text.len(), LONGEST),
        Value::Number(_) | Value::Boolean(_) => Ok(()),
        Value::List(_) | Value::Table(_) if depth >= DEEPEST => Err(TooLarge),
        Value::List(all) => all.iter().try_for_each(|one| size(one, depth.saturating_add(1), bytes, count)),
        Value::Table(table) => table_size(table, depth.saturating_add(1), bytes, count),
    }
}

fn add(sum: &mut usize, more: usize, limit: usize) -> Result<(), TooLarge> {
    *sum = sum.saturating_add(more);
    if *sum > limit { Err(TooLarge) } else { Ok(()) }
}

impl Value {
    /// The value of a file that was parsed.
    pub(super) fn parsed(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => integer(number).map_or_else(|| Self::Text(number.to_string()), Self::Number),
            DeValue::Boolean(is) => Self::Boolean(*is),
            DeValue::Array(all) => Self::List(all.iter().map(|one| Self::parsed(one.get_ref())).collect()),
            DeValue::Table(table) => Self::Table(parsed_table(table)),
            // No key of the configuration is one.
            DeValue::Float(number) => Self::Text(number.to_string()),
            DeValue::Datetime(time) => Self::Text(time.to_string()),
        }
    }

    /// The value in a file that is edited; none for a place without a value.
    pub(super) fn edited(item: &Item) -> Option<Self> {
        match item {
            Item::None => None,
            Item::Value(value) => Some(Self::of(value)),
            Item::Table(table) => {
                let pairs = table.iter().filter_map(|(key, item)| Some((key.to_owned(), Self::edited(item)?)));
                Some(Self::Table(pairs.collect()))
            }
            Item::ArrayOfTables(tables) => {
                let table = |table: &toml_edit::Table| Self::edited(&Item::Table(table.clone()));
                Some(Self::List(tables.iter().filter_map(table).collect()))
            }
        }
    }

    fn of(value: &Toml) -> Self {
        match value {
            Toml::String(text) => Self::Text(text.value().clone()),
            Toml::Integer(number) => Self::Number(*number.value()),
            Toml::Boolean(is) => Self::Boolean(*is.value()),
            Toml::Array(all) => Self::List(all.iter().map(Self::of).collect()),
            Toml::InlineTable(table) => {
                Self::Table(table.iter().map(|(key, value)| (key.to_owned(), Self::of(value))).collect())
            }
            Toml::Float(number) => Self::Text(number.value().to_string()),
            Toml::Datetime(time) => Self::Text(time.value().to_string()),
        }
    }

    /// As TOML, in one line.
    pub(super) fn toml(&self) -> Toml {
        match self {
            Self::Text(text) => Toml::from(text.as_str()),
            Self::Number(number) => Toml::from(*number),
            Self::Boolean(is) => Toml::from(*is),
            Self::List(all) => Toml::Array(all.iter().map(Self::toml).collect::<Array>()),
            Self::Table(table) => {
                let pairs = table.iter().map(|(key, value)| (key.as_str(), value.toml()));
                Toml::InlineTable(pairs.collect::<InlineTable>())
            }
        }
    }
}

/// The values of a table that was parsed.
pub(super) fn parsed_table(table: &DeTable<'_>) -> Table {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), Value::parsed(value.get_ref()))).collect()
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        parsed_table(DeTable::parse(text).expect("TOML").get_ref())
    }

    #[test]
    fn values_are_the_same_parsed_edited_and_written() {
        let text =
            "a = \"x\\n\\\"\"\nb = -1_000\nc = true\nd = [\"y\", \"\"]\ne = { f = 0x10 }\n[g]\nh = [{ i = 1 }]\n";
        let parsed = table(text);
        let document = text.parse::<toml_edit::DocumentMut>().expect("TOML");
        assert_eq!(Value::edited(document.as_item()), Some(Value::Table(parsed.clone())));
        for (key, value) in &parsed {
            assert_eq!(table(&format!("{key} = {}", value.toml()))[key], *value);
        }
        assert_eq!((&parsed["b"], &parsed["a"]), (&Value::Number(-1000), &Value::Text("x\n\"".to_owned())));
    }

    #[test]
    fn a_large_or_deep_change_is_refused() {
        let text = |length| Value::Text("x".repeat(length));
        let one = |value| check_size(&Table::from([("a".to_owned(), value)]));
        assert_eq!(one(text(60 << 10)), Ok(()));
        assert_eq!(one(text(70 << 10)), Err(TooLarge));
        assert_eq!(one(Value::List(vec![Value::Boolean(true); 1000])), Err(TooLarge));
        assert_eq!(check_size(&Table::from([("k".repeat(65), Value::Number(1))])), Err(TooLarge));
        let deep = |depth| (0..depth).fold(Value::Number(1), |inner, _| Value::List(vec![inner]));
        assert_eq!((one(deep(4)), one(deep(5)), one(deep(900))), (Ok(()), Err(TooLarge), Err(TooLarge)));
        assert!(TooLarge.to_string().contains("64 KiB"));
    }
}
