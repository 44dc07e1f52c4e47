//! The comments of a file that is edited: what stays where a key or a table was, and where new ones go.

use toml_edit::{Decor, DocumentMut, Item, Table};

use super::edit::Entry;

/// What is written above a key or an element, if it has a comment.
pub(super) fn above(decor: &Decor) -> String {
    let text = decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
    if text.contains('#') { text.to_owned() } else { String::new() }
}

/// Adds what was above a key that is removed to what is above the next one.
pub(super) fn put_above(decor: &mut Decor, text: &str) {
    if !text.is_empty() {
        let own = decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
        decor.set_prefix(format!("{text}{own}"));
    }
}

/// The comments around an element of a list, each behind its line's end.
pub(super) fn lines(decor: &Decor) -> String {
    let text = |raw: Option<&toml_edit::RawString>| raw.and_then(|raw| raw.as_str()).unwrap_or_default().to_owned();
    let all = format!("{}{}", text(decor.prefix()), text(decor.suffix()));
    if all.contains('#') { all.trim_end().to_owned() } else { String::new() }
}

/// The end of a line and the blanks before an element.
pub(super) fn indent(decor: &Decor) -> String {
    let text = decor.prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
    let blanks = text.rsplit('\n').next().unwrap_or_default();
    format!("\n{}", if blanks.trim().is_empty() { blanks } else { "    " })
}

/// Makes a new table the last of the file, behind the comments at its end.
pub(super) fn place_last(document: &mut DocumentMut, table: &mut Table) {
    let mut positions = Vec::new();
    collect(document.as_table(), &mut positions);
    let last = positions.into_iter().max();
    let mut before = document.trailing().as_str().unwrap_or_default().to_owned();
    document.set_trailing("");
    let is_first = last.is_none() && document.as_table().is_empty() && before.trim().is_empty();
    if !is_first {
        if !before.is_empty() && !before.ends_with('\n') {
            before.push('\n');
        }
        if !before.ends_with("\n\n") {
            before.push('\n');
        }
    }
    table.decor_mut().set_prefix(before);
    table.set_position(Some(last.unwrap_or(0).saturating_add(1)));
}

/// Takes the first comment of a file that has no key before its tables: it comes above a new key there.
pub(super) fn take_head(document: &mut DocumentMut) -> Option<String> {
    if !document.as_table().get_values().is_empty() {
        return None;
    }
    let text = next_text(document, None);
    let (head, rest) = text.split_at(text.find("\n\n")?.saturating_add(2));
    set_next_text(document, None, &format!("\n{rest}"));
    Some(head.to_owned())
}

/// Keeps comments of removed keys behind the table that had them.
pub(super) fn keep_behind(document: &mut DocumentMut, Entry { list, key, name }: Entry<'_>, left: &str) {
    let tables = document.get(list).and_then(Item::as_array_of_tables);
    let table = tables.into_iter().flatten().find(|table| table.get(key).and_then(Item::as_str) == Some(name));
    let position = table.and_then(Table::position);
    keep_after(document, position, left);
}

/// Keeps comments behind the table at this position; none is the root.
pub(super) fn keep_after(document: &mut DocumentMut, position: Option<isize>, left: &str) {
    if !left.is_empty() {
        let text = next_text(document, position);
        set_next_text(document, position, &format!("{left}{text}"));
    }
}

/// Keeps the comments above a removed table that do not touch it.
pub(super) fn keep_of_table(document: &mut DocumentMut, removed: &Table) {
    let text = above(removed.decor());
    let detached = text.rfind("\n\n").map_or(0, |at| at.saturating_add(2));
    let (detached, _) = text.split_at(detached);
    if detached.contains('#') {
        keep_after(document, removed.position(), detached);
    }
}

/// What is written above the next table, or at the end of the file.
fn next_text(document: &DocumentMut, position: Option<isize>) -> String {
    let mut positions = Vec::new();
    collect(document.as_table(), &mut positions);
    let next = next(&positions, position).and_then(|next| find(document.as_table(), next));
    let text = match next {
        Some(table) => table.decor().prefix().and_then(|prefix| prefix.as_str()),
        None => document.trailing().as_str(),
    };
    text.unwrap_or_default().to_owned()
}

fn set_next_text(document: &mut DocumentMut, position: Option<isize>, text: &str) {
    let mut positions = Vec::new();
    collect(document.as_table(), &mut positions);
    let next = next(&positions, position);
    match next.and_then(|next| find_mut(document.as_table_mut(), next)) {
        Some(table) => table.decor_mut().set_prefix(text),
        None => document.set_trailing(text),
    }
}

fn next(positions: &[isize], position: Option<isize>) -> Option<isize> {
    positions.iter().copied().filter(|&other| position.is_none_or(|position| other > position)).min()
}

/// The positions of all tables with a header.
fn collect(table: &Table, positions: &mut Vec<isize>) {
    for (_, item) in table {
        let tables: Vec<&Table> = match item {
            Item::Table(table) => vec![table],
            Item::ArrayOfTables(tables) => tables.iter().collect(),
            Item::None | Item::Value(_) => Vec::new(),
        };
        for table in tables {
            if has_header(table) {
                positions.extend(table.position());
            }
            collect(table, positions);
        }
    }
}

fn has_header(table: &Table) -> bool {
    !table.is_dotted() && !table.is_implicit()
}

fn find(table: &Table, position: isize) -> Option<&Table> {
    table.iter().find_map(|(_, item)| {
        let tables: Vec<&Table> = match item {
            Item::Table(table) => vec![table],
            Item::ArrayOfTables(tables) => tables.iter().collect(),
            Item::None | Item::Value(_) => Vec::new(),
        };
        tables.into_iter().find_map(|table| {
            if has_header(table) && table.position() == Some(position) { Some(table) } else { find(table, position) }
        })
    })
}

fn find_mut(table: &mut Table, position: isize) -> Option<&mut Table> {
    table.iter_mut().find_map(|(_, item)| {
        let tables: Vec<&mut Table> = match item {
            Item::Table(table) => vec![table],
            Item::ArrayOfTables(tables) => tables.iter_mut().collect(),
            Item::None | Item::Value(_) => Vec::new(),
        };
        tables.into_iter().find_map(|table| {
            if has_header(table) && table.position() == Some(position) {
                Some(table)
            } else {
                find_mut(table, position)
            }
        })
    })
}
