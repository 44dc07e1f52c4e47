//! Forbids import circles between the files of the largest modules.
//!
//! A file and the folder of its parts are one; tests do not count. A file may call a method that another one implements without
//! importing it, so only imports and paths count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::modules::sources;

/// The modules, and their folders.
const MODULES: &[(&str, &str)] = &[("bus", "src/bus"), ("drives", "service/src/drives"), ("jobs", "service/src/jobs")];

/// A module below `crate`, as its parts.
type Parts = Vec<String>;

/// The paths in a list of imports such as `super::{a, b::{c, d}}`.
fn expanded(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, list)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or(tree).trim().to_owned()];
    };
    let list = list.strip_suffix('}').unwrap_or(list);
    let (mut all, mut depth, mut part) = (Vec::new(), 0_usize, String::new());
    for letter in list.chars().chain([',']) {
        match letter {
            ',' if depth == 0 => {
                let paths = expanded(&part).into_iter().filter(|path| !path.is_empty());
                all.extend(paths.map(|path| format!("{before}{path}")));
                part.clear();
                continue;
            }
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        part.push(letter);
    }
    all
}

/// The code of a source without its tests and comments.
fn code(source: &str) -> String {
    let product = source.split_once("#[cfg(test)]\nmod tests {").map_or(source, |(product, _)| product);
    let lines = product.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line.trim(), " "]).collect()
}

/// The paths in a source that begin with `crate` or `super`.
fn paths(source: &str) -> Vec<String> {
    let code = code(source);
    let mut all = Vec::new();
    for statement in code.split("use ").skip(1) {
        all.extend(expanded(statement.split(';').next().unwrap_or_default()));
    }
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let rest = code.get(at..).unwrap_or_default();
            all.push(rest.chars().take_while(|letter| letter.is_alphanumeric() || "_:".contains(*letter)).collect());
        }
    }
    all
}

/// The module that a path in the module `at` means, if it is below `crate`.
fn absolute(path: &str, at: &[String]) -> Option<Parts> {
    let parts: Parts = path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let up = parts.iter().take_while(|part| *part == "super").count();
    match parts.first()?.as_str() {
        "crate" => parts.get(1..).map(<[String]>::to_vec),
        "super" => Some(at.get(..at.len().checked_sub(up)?)?.iter().chain(parts.get(up..)?).cloned().collect()),
        _ => None,
    }
}

/// For each file of a module the files that it imports.
fn imports(name: &str, folder: &Path) -> BTreeMap<Parts, BTreeSet<Parts>> {
    let mut files = Vec::new();
    sources(folder, &mut files);
    let mut modules = BTreeMap::new();
    for file in &files {
        let within = file.strip_prefix(folder).expect("below it").with_extension("");
        let parts = within.iter().map(|part| part.to_str().expect("text").to_owned()).filter(|part| part != "mod");
        let parts: Parts = [name.to_owned()].into_iter().chain(parts).collect();
        if parts.len() > 1 && !parts.iter().any(|part| part == "tests") {
            modules.insert(parts, fs::read_to_string(file).expect("read"));
        }
    }
    let importing = |(at, source): (&Parts, &String)| {
        let found = paths(source).into_iter().filter_map(|path| absolute(&path, at)).filter_map(|mut path| {
            while path.len() > 1 && !modules.contains_key(&path) {
                path.pop();
            }
            Some(path).filter(|path| path.len() > 1 && !path.starts_with(at) && !at.starts_with(path))
        });
        (at.clone(), found.collect())
    };
    modules.iter().map(importing).collect()
}

/// Those that import each other, directly or by way of others.
fn in_circles(mut all: BTreeMap<Parts, BTreeSet<Parts>>) -> BTreeMap<Parts, BTreeSet<Parts>> {
    loop {
        let before = all.len();
        let left: BTreeSet<Parts> = all.keys().cloned().collect();
        all.retain(|_, imported| imported.iter().any(|one| left.contains(one)));
        let imported: BTreeSet<Parts> = all.values().flatten().cloned().collect();
        all.retain(|one, _| imported.contains(one));
        if all.len() == before {
            return all;
        }
    }
}

#[test]
fn no_files_of_a_module_import_each_other() {
    for (name, folder) in MODULES {
        let all = imports(name, &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        assert!(all.len() > 20 && all.values().any(|imported| !imported.is_empty()), "{name}: {}", all.len());
        let circles = in_circles(all);
        assert!(circles.is_empty(), "files of {name} in circles: {circles:#?}");
    }
}

#[test]
fn a_circle_is_found_and_what_leads_to_it_is_not() {
    let part = |name: &str| vec!["m".to_owned(), name.to_owned()];
    let of = |names: &[&str]| names.iter().map(|name| part(name)).collect::<BTreeSet<Parts>>();
    let all = [("a", &["b"][..]), ("b", &["c"]), ("c", &["b", "d"]), ("d", &[])];
    let found = in_circles(all.into_iter().map(|(name, imported)| (part(name), of(imported))).collect());
    assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), of(&["b", "c"]));
    let source = "use super::{a, b::{self, C}};\n// super::d\nfn f() { crate::m::c::g(); }\n#[cfg(test)]\nmod tests {\nuse super::e;";
    let found: BTreeSet<Parts> = paths(source).iter().filter_map(|path| absolute(path, &part("f"))).collect();
    let is_found = |name: &str| found.iter().any(|path| path.starts_with(&part(name)));
    assert_eq!(["a", "b", "c", "d", "e"].map(is_found), [true, true, true, false, false]);
}
