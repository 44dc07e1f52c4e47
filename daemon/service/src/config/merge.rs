//! Merges the maker's and the administrator's file as TOML, before the values are parsed.
//!
//! ```text
//! maker's text         -> tree, spans from 0             \
//!                                                          -> one tree -> File -> Config
//! administrator's text -> tree, spans behind the maker's /
//! ```
//!
//! A span says which file a value is from, so a mistake of the parser has its file, line and column, also in a table
//! that has keys of both files. A key that is added to a table needs nothing here.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// The lists of tables, and the key by which a table of one file is that of the other.
pub(crate) const LISTS: [(&str, &str); 5] =
    [("volume", "name"), ("backup", "name"), ("destination", "name"), ("import", "drive"), ("notify", "name")];
/// The older names of keys: the table, the older name, the name.
pub(crate) const OLDER_NAMES: [(&str, &str, &str); 1] = [("backup", "drives", "to")];

/// Limit of letters of a mistake.
const LONGEST_MISTAKE: usize = 500;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The maker of the system.
    Maker,
    /// The administrator.
    Administrator,
}

/// A mistake in a file, and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) file: PathBuf,
    /// Counted from 1.
    pub(crate) line: usize,
    /// Counted from 1, in characters.
    pub(crate) column: usize,
    pub(crate) what: String,
}

/// The texts of the two files.
#[derive(Debug)]
pub(crate) struct Layers {
    maker: Layer,
    administrator: Layer,
}

/// The text of one file behind blanks, so that the spans of the files do not overlap.
#[derive(Debug)]
struct Layer {
    file: PathBuf,
    padded: String,
    start: usize,
}

impl Layers {
    /// The texts; empty for a file that does not exist.
    pub(crate) fn new(maker: (&Path, &str), administrator: (&Path, &str)) -> Self {
        let start = maker.1.len().saturating_add(1);
        Self { maker: Layer::new(maker, 0), administrator: Layer::new(administrator, start) }
    }

    /// The tree of the maker's file alone.
    ///
    /// # Errors
    /// It is not TOML, or a table is there twice.
    pub(crate) fn maker(&self) -> Result<Spanned<DeTable<'_>>, Mistake> {
        self.tree(&self.maker)
    }

    /// The tree of both files. A key of the administrator replaces the maker's.
    ///
    /// # Errors
    /// One of the files is not TOML, or a table is twice in one file.
    pub(crate) fn merged(&self) -> Result<Spanned<DeTable<'_>>, Mistake> {
        let mut merged = self.tree(&self.maker)?;
        let tree = self.tree(&self.administrator)?;
        let span = merged.span().start..tree.span().end;
        for (key, value) in tree.into_inner() {
            self.add(merged.get_mut(), key, value)?;
        }
        Ok(Spanned::new(span, merged.into_inner()))
    }

    /// Which file a value with this span is from.
    pub(crate) fn origin(&self, span: &Range<usize>) -> Origin {
        if span.start < self.administrator.start { Origin::Maker } else { Origin::Administrator }
    }

    /// The mistake at this place of the tree.
    pub(crate) fn mistake(&self, at: usize, what: impl Into<String>) -> Mistake {
        match self.origin(&(at..at)) {
            Origin::Maker => self.maker.mistake(at, what.into()),
            Origin::Administrator => self.administrator.mistake(at, what.into()),
        }
    }

    /// The mistake that the parser of the tree found.
    pub(crate) fn refused(&self, error: &toml::de::Error) -> Mistake {
        let at = error.span().map_or(0, |span| span.start);
        let what = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        // It may contain the value.
        let short = what.chars().take(LONGEST_MISTAKE).collect::<String>();
        self.mistake(at, if short == what { what } else { format!("{short} …") })
    }

    fn tree<'l>(&self, layer: &'l Layer) -> Result<Spanned<DeTable<'l>>, Mistake> {
        let mut tree = DeTable::parse(&layer.padded).map_err(|error| self.refused(&error))?;
        for (list, key) in LISTS {
            let Some(entries) = list_mut(tree.get_mut(), list) else { continue };
            self.rename(list, entries)?;
            self.refuse_twice(list, key, entries)?;
        }
        Ok(tree)
    }

    /// Gives keys with an older name their name.
    fn rename(&self, list: &str, entries: &mut DeArray<'_>) -> Result<(), Mistake> {
        for (_, older, name) in OLDER_NAMES.into_iter().filter(|(of, ..)| *of == list) {
            for entry in entries.iter_mut() {
                let DeValue::Table(table) = entry.get_mut() else { continue };
                let Some((key, value)) = table.remove_entry(older) else { continue };
                let span = key.span();
                if table.contains_key(name) {
                    let what = format!("`{older}` is the older name of `{name}`, and both are set; remove one of them");
                    return Err(self.mistake(span.start, what));
                }
                table.insert(Spanned::new(span, name.into()), value);
            }
        }
        Ok(())
    }

    /// Refuses two tables of one file with the same name.
    fn refuse_twice(&self, list: &str, key: &str, entries: &DeArray<'_>) -> Result<(), Mistake> {
        for (index, entry) in entries.iter().enumerate() {
            let Some(name) = name(entry, key) else { continue };
            if entries.iter().take(index).any(|other| self::name(other, key) == Some(name)) {
                let at = entry.get_ref().get(key).map_or(0, |name| name.span().start);
                let what = match list {
                    "import" => format!("the drive \"{name}\" has an import already"),
                    list => format!("the {list} \"{name}\" is configured twice"),
                };
                return Err(self.mistake(at, what));
            }
        }
        Ok(())
    }

    fn add<'l>(
        &self,
        merged: &mut DeTable<'l>,
        key: Spanned<Cow<'l, str>>,
        value: Spanned<DeValue<'l>>,
    ) -> Result<(), Mistake> {
        let list = LISTS.into_iter().find(|(list, _)| *list == key.get_ref().as_ref());
        let span = value.span();
        let before = merged.remove(key.get_ref().as_ref());
        let value = match (before.map(Spanned::into_inner), value.into_inner(), list) {
            (Some(DeValue::Array(before)), DeValue::Array(new), Some((_, name))) => {
                if new.is_empty() && !before.is_empty() {
                    let list = key.get_ref();
                    let what = format!(
                        "an empty list removes nothing; for each {list} of the maker's file that you do not want, write a \
                         [[{list}]] with its {name} and enabled = false"
                    );
                    return Err(self.mistake(span.start, what));
                }
                DeValue::Array(merged_list(before, new, name))
            }
            (None, DeValue::Array(new), Some((_, name))) => DeValue::Array(merged_list(DeArray::default(), new, name)),
            (Some(DeValue::Table(before)), DeValue::Table(new), None) => DeValue::Table(over(before, new)),
            (_, new, _) => new,
        };
        merged.insert(key, Spanned::new(span, value));
        Ok(())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, what } = self;
        write!(f, "{}:{line}:{column}: {what}", file.display())
    }
}

impl Layer {
    fn new((file, text): (&Path, &str), start: usize) -> Self {
        // A byte order mark counts only at the beginning.
        let text = text.strip_prefix('\u{feff}').map_or_else(|| text.into(), |rest| format!("   {rest}"));
        Self { file: file.to_owned(), padded: format!("{}{text}", " ".repeat(start)), start }
    }

    fn mistake(&self, at: usize, what: String) -> Mistake {
        let before = self.padded.get(self.start..at.max(self.start)).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
        Mistake { file: self.file.clone(), line, column, what }
    }
}

/// The tables of both lists: the maker's order, then what only the administrator has.
fn merged_list<'l>(mut before: DeArray<'l>, new: DeArray<'l>, key: &str) -> DeArray<'l> {
    for entry in new {
        let span = entry.span();
        let same = before.iter_mut().find(|other| {
            let wanted = name(&entry, key);
            wanted.is_some() && name(other, key) == wanted
        });
        match (same, entry.into_inner()) {
            (Some(same), DeValue::Table(new)) => {
                let old = std::mem::replace(same.get_mut(), DeValue::Boolean(false));
                let table = if let DeValue::Table(old) = old { over(old, new) } else { new };
                *same = Spanned::new(span, DeValue::Table(table));
            }
            // It removes what the maker does not have any more.
            (None, DeValue::Table(new)) if is_removal(&new, key) => {}
            (_, other) => before.push(Spanned::new(span, other)),
        }
    }
    before
}

/// The first table with the keys of the second in place of its own.
fn over<'l>(mut before: DeTable<'l>, new: DeTable<'l>) -> DeTable<'l> {
    for (key, value) in new {
        before.remove(key.get_ref().as_ref());
        before.insert(key, value);
    }
    before
}

/// Whether a table says nothing but `enabled = false`.
fn is_removal(table: &DeTable<'_>, key: &str) -> bool {
    table.len() == 2
        && table.contains_key(key)
        && table.get("enabled").is_some_and(|enabled| enabled.get_ref().as_bool() == Some(false))
}

fn list_mut<'t, 'l>(tree: &'t mut DeTable<'l>, list: &str) -> Option<&'t mut DeArray<'l>> {
    match tree.get_mut(list)?.get_mut() {
        DeValue::Array(entries) => Some(entries),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => None,
    }
}

fn name<'e>(entry: &'e Spanned<DeValue<'_>>, key: &str) -> Option<&'e str> {
    entry.get_ref().get(key).and_then(|name| name.get_ref().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(maker: &str, administrator: &str) -> Result<String, String> {
        let layers = Layers::new((Path::new("/m"), maker), (Path::new("/a"), administrator));
        let tree = layers.merged().map_err(|mistake| mistake.to_string())?;
        Ok(shown(&DeValue::Table(tree.into_inner())))
    }

    /// A tree in one line.
    fn shown(value: &DeValue<'_>) -> String {
        match value {
            DeValue::Array(all) => {
                format!("[{}]", all.iter().map(|one| shown(one.get_ref())).collect::<Vec<_>>().join(", "))
            }
            DeValue::Table(table) => {
                let pair = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                    format!("{}={}", key.get_ref(), shown(value.get_ref()))
                };
                format!("{{{}}}", table.iter().map(pair).collect::<Vec<_>>().join(" "))
            }
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) => number.to_string(),
            other @ (DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_)) => format!("{other:?}"),
        }
    }

    #[test]
    fn tables_of_one_name_are_merged_key_by_key() {
        let maker = "[[backup]]\nname = \"a\"\nsource = \"/a\"\nto = [\"x\"]\n[[backup]]\nname = \"b\"\n";
        let administrator = "[[backup]]\nname = \"a\"\ndrives = [\"y\", \"z\"]\n[[backup]]\nname = \"c\"\n";
        assert_eq!(
            merged(maker, administrator).expect("merged"),
            "{backup=[{name=a source=/a to=[y, z]}, {name=b}, {name=c}]}"
        );
    }

    #[test]
    fn tables_are_merged_and_values_replaced() {
        let text = merged("max_jobs = 1\n[worker]\nnice = 5\nio_class = \"idle\"\n", "[worker]\nnice = 7\n");
        assert_eq!(text.expect("merged"), "{max_jobs=1 worker={io_class=idle nice=7}}");
        assert_eq!(merged("worker = 5\n", "[worker]\nnice = 7\n").expect("merged"), "{worker={nice=7}}");
    }

    #[test]
    fn a_removal_of_what_the_maker_does_not_have_is_dropped() {
        let removal = "[[volume]]\nname = \"a\"\nenabled = false\n";
        assert_eq!(merged("", removal).expect("merged"), "{volume=[]}");
        let text = merged("[[volume]]\nname = \"a\"\npath = \"/a\"\n", removal).expect("merged");
        assert!(text.contains("enabled") && text.contains("path=/a"), "{text}");
    }

    #[test]
    fn an_empty_list_that_would_remove_nothing_is_a_mistake() {
        let text = merged("[[volume]]\nname = \"a\"\n", "\nvolume = []\n").expect_err("refused");
        assert!(text.starts_with("/a:2:10: an empty list removes nothing; for each volume of"), "{text}");
        assert_eq!(merged("", "volume = []").expect("merged"), "{volume=[]}");
    }

    #[test]
    fn a_mistake_has_the_place_in_its_file() {
        let at = |maker: &str, administrator: &str| merged(maker, administrator).expect_err("refused");
        assert!(at("a = 1\nb = \n", "").starts_with("/m:2:"), "{}", at("a = 1\nb = \n", ""));
        assert!(at("a = 1", "c = 1\n  b = \n").starts_with("/a:2:"), "{}", at("a = 1", "c = 1\n  b = \n"));
        let twice = "[[backup]]\nname = \"a\"\n[[backup]]\nname = \"a\"\n";
        assert_eq!(at(twice, ""), "/m:4:8: the backup \"a\" is configured twice");
        assert_eq!(at("x = 1", twice), "/a:4:8: the backup \"a\" is configured twice");
        let both = "\u{feff}[[backup]]\nname = \"a\"\nto = []\ndrives = []\n";
        assert!(at("x = 1", both).starts_with("/a:4:1: `drives` is the older name of `to`"), "{}", at("x = 1", both));
    }
}
