//! Changes the text of a settings file: only what a change names; comments, order and format of the rest stay.
//!
//! * A value that is already as wanted stays as it is written; another one takes its place, with the comment behind it.
//! * A new key comes last in its table, a new table last in the file.
//! * A removed key leaves the comment above it. A removed table takes along what is written in it, and the comment that
//!   touches its first line.

use toml_edit::{
    Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table as TomlTable, TableLike, TomlError, Value as Toml,
};

use super::comments;
use super::value::{Table, Value};
use crate::config::OLDER_NAMES;

/// A change of one table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'c> {
    /// The keys with their new values.
    pub(super) set: &'c Table,
    /// The keys that are removed.
    pub(super) reset: &'c [String],
}

/// One table of a list: `[[list]]` whose `key` is `name`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'e> {
    pub(super) list: &'e str,
    pub(super) key: &'e str,
    pub(super) name: &'e str,
}

/// The text with the changed table; a new one if it has none of this name.
///
/// # Errors
/// It is not TOML.
pub(super) fn set_entry(text: &str, entry: Entry<'_>, change: Change<'_>) -> Result<String, TomlError> {
    let mut document = text.parse::<DocumentMut>()?;
    let Entry { list, key, name } = entry;
    if let Some(table) = find(&mut document, entry) {
        apply(table, list, change);
        let left = change.reset.iter().filter_map(|reset| remove_key(table, list, reset)).collect::<String>();
        comments::keep_behind(&mut document, entry, &left);
        return Ok(document.to_string());
    }
    match document.get_mut(list) {
        Some(Item::Value(Toml::Array(tables))) => {
            let mut table = InlineTable::new();
            table.insert(key, Toml::from(name));
            apply(&mut table, list, change);
            tables.push(table);
        }
        _ => {
            let mut table = TomlTable::new();
            table.insert(key, Item::Value(Toml::from(name)));
            apply(&mut table, list, change);
            comments::place_last(&mut document, &mut table);
            let tables = document.entry(list).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
            if !tables.is_array_of_tables() {
                *tables = Item::ArrayOfTables(ArrayOfTables::new());
            }
            if let Some(tables) = tables.as_array_of_tables_mut() {
                tables.push(table);
            }
        }
    }
    Ok(document.to_string())
}

/// The text with another name of the table.
///
/// # Errors
/// It is not TOML.
pub(super) fn rename_entry(text: &str, entry: Entry<'_>, name: &str) -> Result<String, TomlError> {
    let mut document = text.parse::<DocumentMut>()?;
    if let Some(table) = find(&mut document, entry) {
        set_key(table, entry.list, entry.key, &Value::Text(name.to_owned()));
    }
    Ok(document.to_string())
}

/// The text without the table. With `disabled`, the table stays, with nothing but its name and `enabled = false`.
///
/// # Errors
/// It is not TOML.
pub(super) fn remove_entry(text: &str, entry: Entry<'_>, disabled: bool) -> Result<String, TomlError> {
    let mut document = text.parse::<DocumentMut>()?;
    let Entry { list, key, name } = entry;
    let is_it = |table: &dyn TableLike| table.get(key).and_then(Item::as_str) == Some(name);
    if let Some(tables) = document.get_mut(list).and_then(Item::as_array_of_tables_mut) {
        let index = tables.iter().position(|table| is_it(table));
        let removed = index.map(|index| tables.remove(index));
        if tables.is_empty() {
            document.remove(list);
        }
        removed.iter().for_each(|removed| comments::keep_of_table(&mut document, removed));
    } else if let Some(tables) = document.get_mut(list).and_then(Item::as_array_mut) {
        tables.retain(|table| !table.as_inline_table().is_some_and(|table| is_it(table)));
    }
    let text = document.to_string();
    if !disabled {
        return Ok(text);
    }
    let set = Table::from([("enabled".to_owned(), Value::Boolean(false))]);
    set_entry(&text, entry, Change { set: &set, reset: &[] })
}

/// The text with other values outside of the lists. A table is changed key by key; `table.key` removes a key in a table.
///
/// # Errors
/// It is not TOML.
pub(super) fn set_defaults(text: &str, change: Change<'_>) -> Result<String, TomlError> {
    let mut document = text.parse::<DocumentMut>()?;
    for (key, value) in change.set {
        match value {
            Value::Table(set) => set_table(&mut document, key, set),
            Value::Text(_) | Value::Number(_) | Value::Boolean(_) | Value::List(_) => {
                let head = comments::take_head(&mut document);
                set_key(document.as_table_mut(), "", key, value);
                if let (Some(head), Some(mut key)) = (head, document.as_table_mut().key_mut(key)) {
                    key.leaf_decor_mut().set_prefix(head);
                }
            }
        }
    }
    for reset in change.reset {
        if let Some((table, key)) = reset.split_once('.') {
            let position = document.get(table).and_then(Item::as_table).and_then(TomlTable::position);
            let Some(table) = document.get_mut(table).and_then(Item::as_table_like_mut) else { continue };
            let left = remove_key(table, "", key).unwrap_or_default();
            comments::keep_after(&mut document, position, &left);
        } else if document.get(reset).is_some_and(Item::is_value) {
            let left = remove_key(document.as_table_mut(), "", reset).unwrap_or_default();
            comments::keep_after(&mut document, None, &left);
        }
    }
    Ok(document.to_string())
}

fn set_table(document: &mut DocumentMut, key: &str, set: &Table) {
    if document.get_mut(key).and_then(Item::as_table_like_mut).is_none() {
        let mut table = TomlTable::new();
        comments::place_last(document, &mut table);
        document.insert(key, Item::Table(table));
    }
    if let Some(table) = document.get_mut(key).and_then(Item::as_table_like_mut) {
        set.iter().for_each(|(key, value)| set_key(table, "", key, value));
    }
}

fn find<'d>(document: &'d mut DocumentMut, Entry { list, key, name }: Entry<'_>) -> Option<&'d mut dyn TableLike> {
    let is_it = |table: &dyn TableLike| table.get(key).and_then(Item::as_str) == Some(name);
    match document.get_mut(list)? {
        Item::ArrayOfTables(tables) => {
            tables.iter_mut().find(|table| is_it(*table)).map(|table| table as &mut dyn TableLike)
        }
        Item::Value(Toml::Array(tables)) => {
            let mut tables = tables.iter_mut().filter_map(Toml::as_inline_table_mut);
            tables.find(|table| is_it(*table)).map(|table| table as &mut dyn TableLike)
        }
        Item::None | Item::Value(_) | Item::Table(_) => None,
    }
}

fn apply(table: &mut dyn TableLike, list: &str, change: Change<'_>) {
    change.set.iter().for_each(|(key, value)| set_key(table, list, key, value));
}

fn set_key(table: &mut dyn TableLike, list: &str, key: &str, value: &Value) {
    let key = present(table, list, key);
    match table.get_mut(key) {
        Some(item) => replace(item, value),
        None => {
            table.insert(key, Item::Value(value.toml()));
        }
    }
}

/// The older name of the key, where the table has it by that.
fn present<'k>(table: &dyn TableLike, list: &str, key: &'k str) -> &'k str {
    let older =
        OLDER_NAMES.into_iter().find(|(of, older, name)| *of == list && *name == key && table.contains_key(older));
    older.map_or(key, |(_, older, _)| older)
}

/// Removes a key. What was written above it is above the next key then; the answer, if it was the last one.
fn remove_key(table: &mut dyn TableLike, list: &str, key: &str) -> Option<String> {
    let key = present(table, list, key);
    let above = table.key(key).map(|key| comments::above(key.leaf_decor()))?;
    let behind = table.iter().skip_while(|(other, _)| *other != key).skip(1);
    let next = behind.filter(|(_, item)| item.is_value()).map(|(next, _)| next.to_owned()).next();
    table.remove(key);
    match next.and_then(|next| table.key_mut(&next)) {
        Some(mut next) => {
            comments::put_above(next.leaf_decor_mut(), &above);
            None
        }
        None => Some(above),
    }
}

fn replace(item: &mut Item, value: &Value) {
    if Value::edited(item).as_ref() == Some(value) {
        return;
    }
    if let (Value::Table(set), Some(table)) = (value, item.as_table_like_mut()) {
        let old = table.iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>();
        old.iter().filter(|key| !set.contains_key(*key)).for_each(|key| drop(table.remove(key)));
        set.iter().for_each(|(key, value)| set_key(table, "", key, value));
        return;
    }
    match (&mut *item, value) {
        (Item::Value(Toml::Array(old)), Value::List(new)) => refill(old, new),
        (Item::Value(old), value) => {
            let decor = old.decor().clone();
            *old = value.toml();
            *old.decor_mut() = decor;
        }
        (item, value) => *item = Item::Value(value.toml()),
    }
}

/// Puts other elements into a list. One over several lines stays so, and its elements keep their comments.
fn refill(list: &mut Array, new: &[Value]) {
    let is_in_lines = list.to_string().trim().contains('\n');
    let decor = list.decor().clone();
    if !is_in_lines {
        *list = new.iter().map(Value::toml).collect();
        *list.decor_mut() = decor;
        return;
    }
    let mut old = list.iter().cloned().collect::<Vec<_>>();
    let indent = old.first().map_or("\n    ".to_owned(), |first| comments::indent(first.decor()));
    list.clear();
    for value in new {
        let kept = old.iter().position(|old| Value::edited(&Item::Value(old.clone())).as_ref() == Some(value));
        let element = match kept {
            Some(index) => old.remove(index),
            None => value.toml().decorated(indent.as_str(), ""),
        };
        list.push_formatted(element);
    }
    // Comments of removed elements.
    let left = old.iter().map(|old| comments::lines(old.decor())).collect::<String>();
    let mut behind = list.trailing().as_str().unwrap_or_default().to_owned();
    if !behind.starts_with('\n') {
        behind.insert(0, '\n');
    }
    list.set_trailing(format!("{left}{behind}"));
    list.set_trailing_comma(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Entry<'_> = Entry { list: "backup", key: "name", name: "home" };

    fn set(pairs: &[(&str, Value)]) -> Table {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn changed(file: &str, pairs: &[(&str, Value)], reset: &[&str]) -> String {
        let reset = reset.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
        set_entry(file, HOME, Change { set: &set(pairs), reset: &reset }).expect("TOML")
    }

    #[test]
    fn a_changed_value_keeps_the_comments_around_it() {
        let file = "# top\n\n[[backup]] # h\nname = \"home\"\n# why\nschedule   =  \"manual\"  # by hand\nto = [\"a\"]\n# end\n";
        assert_eq!(changed(file, &[("schedule", text("manual"))], &[]), file);
        assert_eq!(changed(file, &[("schedule", text("x"))], &[]), file.replace("\"manual\"", "\"x\""));
        let more = changed(file, &[("protect", text("2d"))], &[]);
        assert_eq!(more, file.replace("to = [\"a\"]\n", "to = [\"a\"]\nprotect = \"2d\"\n"));
    }

    #[test]
    fn a_renamed_table_keeps_its_place_and_comments() {
        let file = "[[backup]] # h\nname = \"home\" # n\nto = []\n\n[[backup]]\nname = \"etc\"\n";
        let renamed = rename_entry(file, HOME, "daheim").expect("TOML");
        assert_eq!(renamed, file.replace("\"home\"", "\"daheim\""));
    }

    #[test]
    fn a_new_table_comes_last_in_the_file() {
        let file = "# top\n[queue]\nmax = 5\n# last\n";
        let expected = format!("{file}\n[[backup]]\nname = \"home\"\nsource = \"/home\"\n");
        assert_eq!(changed(file, &[("source", text("/home"))], &[]), expected);
        assert_eq!(changed("", &[], &[]), "[[backup]]\nname = \"home\"\n");
        assert_eq!(changed("# all\n#a = 1\n", &[], &[]), "# all\n#a = 1\n\n[[backup]]\nname = \"home\"\n");
        let other = "[[backup]]\nname = \"etc\"\n\n[queue]\nmax = 5\n";
        assert_eq!(changed(other, &[], &[]), format!("{other}\n[[backup]]\nname = \"home\"\n"));
        assert_eq!(changed("backup = []\n", &[], &[]), "backup = [{ name = \"home\" }]\n");
    }

    #[test]
    fn a_removed_key_leaves_the_comment_above_it() {
        let file =
            "[[backup]]\nname = \"home\"\n# why\nschedule = \"manual\" # hand\nto = [\"a\"]\n\n# q\n[queue]\nmax = 1\n";
        let expected = "[[backup]]\nname = \"home\"\n# why\nto = [\"a\"]\n\n# q\n[queue]\nmax = 1\n";
        assert_eq!(changed(file, &[], &["schedule"]), expected);
        let expected = "[[backup]]\nname = \"home\"\n# why\nschedule = \"manual\" # hand\n\n# q\n[queue]\nmax = 1\n";
        assert_eq!(changed(file, &[], &["to"]), expected);
        let last = "[[backup]]\nname = \"home\"\n# why\nto = []\n";
        assert_eq!(changed(last, &[], &["to"]), "[[backup]]\nname = \"home\"\n# why\n");
    }

    #[test]
    fn a_key_with_its_older_name_is_the_same_key() {
        let file = "[[backup]]\nname = \"home\"\ndrives = [\"a\"] # x\n";
        let to = |name: &str| ("to", Value::List(vec![text(name)]));
        assert_eq!(changed(file, &[to("b")], &[]), file.replace("\"a\"", "\"b\""));
        assert_eq!(changed(file, &[], &["to"]), "[[backup]]\nname = \"home\"\n");
    }

    #[test]
    fn a_list_over_lines_keeps_its_comments() {
        let file = "[[backup]]\nname = \"home\"\nto = [\n  \"a\", # first\n  # second\n  \"b\",\n]\n";
        let to = Value::List(["b", "c"].map(text).to_vec());
        let after = changed(file, &[("to", to)], &[]);
        assert!(after.contains("# second\n  \"b\",\n  \"c\",") && after.contains("# first"), "{after}");
        let document = after.parse::<DocumentMut>().expect("TOML");
        assert_eq!(document["backup"][0]["to"].as_array().expect("a list").len(), 2);
    }

    #[test]
    fn a_nested_table_is_one_value_in_each_of_its_forms() {
        for form in [
            "keep = { last = 3, daily = 7 } # k\n",
            "keep.last = 3\nkeep.daily = 7\n",
            "[backup.keep]\nlast = 3\ndaily = 7\n",
        ] {
            let file = format!("[[backup]]\nname = \"home\"\n{form}");
            let keep = Value::Table(set(&[("daily", Value::Number(9))]));
            let after = changed(&file, &[("keep", keep.clone())], &[]);
            let document = after.parse::<DocumentMut>().expect("TOML");
            assert_eq!(Value::edited(&document["backup"][0]["keep"]), Some(keep), "{after}");
            let after = changed(&file, &[], &["keep"]);
            assert!(!after.contains("keep"), "{after}");
        }
    }

    #[test]
    fn a_removed_table_leaves_the_comments_of_others() {
        let file = "# top\n\n# of home\n[[backup]]\nname = \"home\"\n[backup.keep]\nlast = 1\n\n# etc\n[[backup]]\nname = \"etc\"\n# end\n";
        let after = remove_entry(file, HOME, false).expect("TOML");
        assert_eq!(after, "# top\n\n\n# etc\n[[backup]]\nname = \"etc\"\n# end\n");
        let only = "# top\n\n[[backup]]\nname = \"home\"\n# end\n";
        assert_eq!(remove_entry(only, HOME, false).expect("TOML"), "# top\n\n# end\n");
        let off = remove_entry(only, HOME, true).expect("TOML");
        assert_eq!(off, "# top\n\n# end\n\n[[backup]]\nname = \"home\"\nenabled = false\n");
        let inline = "backup = [{ name = \"home\" }, { name = \"etc\" }]\n";
        assert!(remove_entry(inline, HOME, false).expect("TOML").contains("{ name = \"etc\" }]"));
    }

    #[test]
    fn defaults_are_changed_key_by_key() {
        let file = "# top\n\n[worker] # w\nnice = 5 # n\nio_class = \"idle\"\n";
        let worker = Value::Table(set(&[("nice", Value::Number(7)), ("io_priority", Value::Number(3))]));
        let all = set(&[
            ("max_jobs", Value::Number(2)),
            ("worker", worker),
            ("queue", Value::Table(set(&[("max", Value::Number(5))]))),
        ]);
        let after = set_defaults(file, Change { set: &all, reset: &["worker.io_class".to_owned()] }).expect("TOML");
        assert_eq!(after, "# top\n\nmax_jobs = 2\n\n[worker] # w\nnice = 7 # n\nio_priority = 3\n\n[queue]\nmax = 5\n");
        let reset = ["max_jobs".to_owned(), "zzz".to_owned(), "worker.zzz".to_owned()];
        let after = set_defaults(&after, Change { set: &Table::new(), reset: &reset }).expect("TOML");
        assert!(!after.contains("max_jobs") && after.starts_with("# top"), "{after}");
    }
}
