//! yocto/meta-butterdock without bitbake: checks that `yocto/check` cannot make, because it does not know this repository and the
//! files that it installs. No test here needs root or a network.

mod crates;
mod kernel;
mod licences;
mod machine;
mod metadata;
mod packages;
mod recipes;
mod release;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use butterdock_tests::shipped;

/// The layer's folder.
fn layer() -> PathBuf {
    shipped("yocto/meta-butterdock")
}

/// The recipe of the product.
fn recipe() -> Result<metadata::Metadata> {
    let mut found = None;
    for path in files(&layer().join("recipes-core/butterdock"))? {
        if name(&path).starts_with("butterdock_") {
            found = Some(path);
        }
    }
    metadata::Metadata::read(&found.context("the recipe butterdock_VERSION.bb")?)
}

/// Every file below a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The last part of a path.
fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
