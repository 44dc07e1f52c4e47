//! What a release must have done to the recipe: the tag's commit is in it.

use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::rig::{PATIENCE, run};
use butterdock_tests::service::shipped;

use super::recipe;

/// As long as there is no release.
const NONE: &str = "0000000000000000000000000000000000000000";

/// What is wrong with the commit in the recipe, given that of the tag of its version and the one that is checked out.
fn fault(recipe: &str, tag: Option<&str>, head: &str) -> Option<String> {
    match tag {
        None if recipe == NONE => None,
        None => Some(format!("SRCREV is {recipe}, and no such version has been tagged: {NONE} until then")),
        // The tagged commit cannot hold its own hash; the next one does.
        Some(tag) if tag == head || tag == recipe => None,
        Some(tag) => Some(format!("SRCREV is {recipe}, and the tag's commit is {tag}: write that into the recipe")),
    }
}

#[test]
fn a_tagged_version_has_the_commit_of_its_tag() -> Result<()> {
    let recipe = recipe()?;
    let version = super::name(&recipe.path).replace("butterdock_", "v").replace(".bb", "");
    let commit_of = |what: &str| -> Result<Option<String>> {
        let mut git = Command::new("git");
        git.arg("-c").arg("safe.directory=*").arg("-C").arg(shipped(""));
        let said = run(git.args(["rev-parse", "--quiet", "--verify", &format!("{what}^{{commit}}")]), PATIENCE)?;
        Ok((said.code() == 0).then(|| said.out().trim().to_owned()))
    };
    let Some(head) = commit_of("HEAD")? else {
        println!("not compared: this is no clone, so it has no tags");
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
    assert!(fault(&other, None, &other).is_some(), "a commit of nothing");
}
