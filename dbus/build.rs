//! Makes the man page of the interface from the commented introspection in `xml/`, at every build:
//! `target/[TRIPLE/]PROFILE/share/man/man5/org.butterdock.Butterdock1.5`.

mod man_page;
#[expect(unreachable_pub, reason = "it is public in the crate")]
#[path = "src/problem_table.rs"]
mod problem_table;

use std::env;
use std::fs;
use std::io::{Error, Result};
use std::path::PathBuf;

const NAME: &str = "org.butterdock.Butterdock1";
/// In the order of the page.
const INTERFACES: [&str; 6] = ["Manager", "Volume", "Drive", "Destination", "Backup", "Job"];

fn main() -> Result<()> {
    for watched in ["build.rs", "man_page.rs", "src/problem_table.rs", "xml"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let files = INTERFACES.map(|interface| format!("xml/{NAME}.{interface}.xml"));
    let texts = files.iter().map(fs::read_to_string).collect::<Result<Vec<_>>>()?;
    let page = man_page::man_page(NAME, env!("CARGO_PKG_VERSION"), &texts).map_err(Error::other)?;
    let folder = share()?.join("man/man5");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{NAME}.5"));
    fs::write(path, page)
}

/// `PROFILE/share`, beside the programs; `OUT_DIR` is `PROFILE/build/butterdock-dbus-HASH/out`.
fn share() -> Result<PathBuf> {
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| Error::other("cargo sets no OUT_DIR"))?;
    let profile = out.ancestors().nth(3).ok_or_else(|| Error::other("OUT_DIR is not below a profile's folder"))?;
    Ok(profile.join("share"))
}
