//! The values of keys that no file sets: those of the example configuration, which has every key.

use toml::de::DeTable;

use super::value::{Table, Value, parsed_table};
use crate::config::{BackupRule, LISTS};

/// It is installed as documentation; tests compare it with the parser.
const EXAMPLE: &str = include_str!("../../../data/butterdock.toml");
/// Keys whose value in the example is only an example.
const SAMPLES: [&str; 29] = [
    "backup.folder",
    "backup.name",
    "backup.overdue",
    "backup.snapshots",
    "backup.source",
    "backup.to",
    "destination.kind",
    "destination.max_rate",
    "destination.name",
    "destination.path",
    "destination.uuid",
    "destination.verify_every",
    "import.drive",
    "import.folder",
    "notify.ca",
    "notify.credential",
    "notify.events",
    "notify.from",
    "notify.kind",
    "notify.name",
    "notify.port",
    "notify.security",
    "notify.server",
    "notify.to",
    "notify.user",
    "volume.name",
    "volume.path",
    "volume.uuid",
    "worker.writer_threads",
];

/// Every key with its default; a list has one table, with those of its tables.
pub(super) fn defaults() -> Table {
    let mut all = example();
    for (name, value) in &mut all {
        let keep = |table: &mut Table| table.retain(|key, _| !SAMPLES.contains(&format!("{name}.{key}").as_str()));
        match value {
            Value::Table(table) => keep(table),
            Value::List(tables) => {
                for table in tables {
                    if let Value::Table(table) = table {
                        keep(table);
                    }
                }
            }
            Value::Text(_) | Value::Number(_) | Value::Boolean(_) => {}
        }
    }
    for (list, _) in LISTS {
        all.entry(list.to_owned()).or_insert_with(|| Value::List(vec![Value::Table(Table::new())]));
    }
    all
}

/// The defaults of a backup that depend on its other keys.
pub(super) fn of_backup(rule: &BackupRule) -> [(&'static str, Value); 2] {
    let text = |path: &std::path::Path| Value::Text(path.to_string_lossy().into_owned());
    [("snapshots", text(&rule.snapshots)), ("folder", text(&rule.folder))]
}

/// The example with every key set.
fn example() -> Table {
    let set = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
    let text = EXAMPLE.lines().map(set).collect::<Vec<_>>().join("\n");
    DeTable::parse(&text).map(|table| parsed_table(table.get_ref())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigText, ConfigTexts};

    fn config(text: &str) -> Config {
        let file = |path: &str, text: &str| ConfigText { path: path.into(), text: Some(text.to_owned()) };
        ConfigTexts { maker: Some(file("/m", text)), administrator: file("/a", "") }.config().expect("good")
    }

    #[test]
    fn each_default_of_the_example_is_the_one_of_the_service() {
        let needed = |list: &str| match list {
            "backup" => "name = \"home\"\nsource = \"/home\"\nto = [\"blue\"]\n",
            "volume" => "name = \"tank\"\npath = \"/tank\"\n",
            "import" => "drive = \"red\"\n",
            "destination" => {
                "name = \"red\"\nkind = \"volume\"\npath = \"/red\"\nuuid = \"0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\"\n"
            }
            "notify" => "name = \"me\"\nkind = \"ntfy\"\nurl = \"https://ntfy.sh/x\"\n",
            list => panic!("what a [[{list}]] needs"),
        };
        let mut count = 0;
        for (name, value) in defaults() {
            let (head, table) = match &value {
                Value::Table(table) => (format!("[{name}]\n"), table.clone()),
                Value::List(tables) => match tables.first() {
                    Some(Value::Table(table)) => (format!("[[{name}]]\n{}", needed(&name)), table.clone()),
                    other => panic!("{name}: {other:?}"),
                },
                value @ (Value::Text(_) | Value::Number(_) | Value::Boolean(_)) => {
                    (String::new(), Table::from([(name.clone(), value.clone())]))
                }
            };
            for (key, value) in table {
                let set = format!("{head}{key} = {}\n", value.toml());
                assert_eq!(config(&set), config(&head), "{name}.{key}: not the default; is it one of SAMPLES?");
                count += 1;
            }
        }
        assert!(count > 20, "{count}");
    }

    #[test]
    fn samples_are_keys_of_the_example() {
        let all = example();
        for sample in SAMPLES {
            let (table, key) = sample.split_once('.').expect("in a table");
            let table = match &all[table] {
                Value::List(tables) => tables.first().expect("one").clone(),
                table @ (Value::Text(_) | Value::Number(_) | Value::Boolean(_) | Value::Table(_)) => table.clone(),
            };
            assert!(matches!(&table, Value::Table(table) if table.contains_key(key)), "{sample}");
        }
    }
}
