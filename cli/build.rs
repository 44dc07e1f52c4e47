//! Makes the man page and the shell completions from the definition of the command line, at every build:
//! `target/[TRIPLE/]PROFILE/share/…`, with the paths of the installed files. The program itself does not make them, because
//! in a cross build it cannot run on the build machine.

#[path = "src/args/mod.rs"]
mod args;

use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::{env, fs};

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate};
use clap_mangen::Man;

const NAME: &str = "butterdock";

fn main() -> Result<()> {
    for file in ["build.rs", "src/args", "man/description.roff", "man/more.roff"] {
        println!("cargo::rerun-if-changed={file}");
    }
    let share = share()?;
    println!("cargo::rustc-env=BUTTERDOCK_SHARE={}", share.display());
    let command = args::Args::command();
    write(&share.join("man/man1/butterdock.1"), &page(&command)?)?;
    for (shell, path) in [
        (Shell::Bash, "bash-completion/completions/butterdock"),
        (Shell::Zsh, "zsh/site-functions/_butterdock"),
        (Shell::Fish, "fish/vendor_completions.d/butterdock.fish"),
    ] {
        let mut text = Vec::new();
        generate(shell, &mut command.clone(), NAME, &mut text);
        write(&share.join(path), &text)?;
    }
    Ok(())
}

/// `PROFILE/share`, beside the program; `OUT_DIR` is `PROFILE/build/butterdock-HASH/out`.
fn share() -> Result<PathBuf> {
    let out = env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| Error::other("cargo sets no OUT_DIR"))?;
    let profile = out.ancestors().nth(3).ok_or_else(|| Error::other("OUT_DIR is not below a profile's folder"))?;
    Ok(profile.join("share"))
}

fn write(path: &Path, text: &[u8]) -> Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, text)
}

/// One page with all verbs: the sections that clap makes, and between them the files of `man/`.
fn page(command: &Command) -> Result<Vec<u8>> {
    let version = env!("CARGO_PKG_VERSION");
    let man = Man::new(command.clone()).title("BUTTERDOCK").section("1").manual("User commands");
    let man = man.source(format!("{NAME} {version}"));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    page.extend(part(|out| man.render_name_section(out))?);
    page.extend(part(|out| man.render_synopsis_section(out))?);
    page.extend(fs::read("man/description.roff")?);
    page.extend(part(|out| man.render_options_section(out))?);
    page.extend(b".SH VERBS\n");
    for verb in command.get_subcommands() {
        page.extend(verb_part(verb.get_name(), verb)?);
        for change in verb.get_subcommands() {
            page.extend(verb_part(&format!("{} {}", verb.get_name(), change.get_name()), change)?);
        }
    }
    page.extend(fs::read("man/more.roff")?);
    Ok(page)
}

/// The section of a verb: its synopsis, description and options.
fn verb_part(words: &str, verb: &Command) -> Result<Vec<u8>> {
    // Without the options that every verb has.
    let man = Man::new(verb.clone().disable_help_flag(true).bin_name(format!("{NAME} {words}")));
    let mut text = format!(".SS {words}\n").into_bytes();
    text.extend(without_heading(&part(|out| man.render_synopsis_section(out))?));
    text.extend(b".PP\n");
    text.extend(without_heading(&part(|out| man.render_description_section(out))?));
    if verb.get_arguments().next().is_some() {
        text.extend(without_heading(&part(|out| man.render_options_section(out))?));
    }
    Ok(text)
}

/// A section without the preamble that `clap_mangen` repeats before each section.
fn part(render: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    render(&mut out)?;
    let start = out.windows(4).position(|four| four == b".SH ").unwrap_or(0);
    Ok(out.split_off(start))
}

fn without_heading(section: &[u8]) -> Vec<u8> {
    section.splitn(2, |byte| *byte == b'\n').nth(1).unwrap_or_default().to_vec()
}
