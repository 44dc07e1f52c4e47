//! A release writes the commit of its tag into the recipe.

use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::{TIMEOUT, run, shipped};

use super::recipe;

/// SRCREV before the first release.
const NONE: &str = "0000000000000000000000000000000000000000";

/// The fault of the commit in the recipe, if it has one, given the commit of the version's tag and the one that is checked out.
fn fault(recipe: &str, tag: Option<&str>, head: &str) -> Option<String> {
    match tag {
        None if recipe == NONE => None,
        None => Some(format!("SRCREV is {recipe}, but this version has no tag: it must be {NONE} until then")),
        // A commit cannot contain its own hash; the next one contains it.
        Some(tag) if tag == head || tag == recipe => None,
        Some(tag) => Some(format!("SRCREV is {recipe}, but the tag's commit is {tag}: write it into the recipe")),
    }
}

#[test]
fn a_tagged_version_has_the_commit_of_its_tag() -> Result<()> {
    let recipe = recipe()?;
    let version = super::name(&recipe.path).replace("butterdock_", "v").replace(".bb", "");
    let commit_of = |what: &str| -> Result<Option<String>> {
        let mut git = Command::new("git");
        git.arg("-c").arg("safe.directory=*").arg("-C").arg(shipped(""));
        let said = run(git.args(["rev-parse", "--quiet", "--verify", &format!("{what}^{{commit}}")]), TIMEOUT)?;
        Ok((said.code() == 0).then(|| said.out().trim().to_owned()))
    };
    let Some(head) = commit_of("HEAD")? else {
        println!("not compared: this is not a clone, so it has no tags");
        return Ok(());
    };
    let wrong = fault(&recipe.get("SRCREV"), commit_of(&format!("refs/tags/{version}"))?.as_deref(), &head);
    ensure!(wrong.is_none(), "{wrong:?}");
    Ok(())
}

#[test]
fn a_release_without_its_commit_is_found() {
    let (tag, other) = ("1".repeat(40), "2".repeat(40));
    assert!(fault(NONE, None, &other).is_none(), "before the first release");
    assert!(fault(NONE, Some(&tag), &tag).is_none(), "the tagged commit itself");
    assert!(fault(&tag, Some(&tag), &other).is_none(), "the one after it");
    assert!(fault(NONE, Some(&tag), &other).is_some(), "forgotten");
    assert!(fault(&other, Some(&tag), &other).is_some(), "another commit");
    assert!(fault(&other, None, &other).is_some(), "without a tag");
}
