//! `vm IMAGE [short]`: boots a machine with the product installed in it and does to it what people do to theirs. `make vm-test`
//! builds the image and calls it; `short` is boot, plug, backup, pull and recover.

mod backup;
mod drives;
mod lab;
mod luks;
mod power;
mod pulled;
mod purge;
mod service;
mod unknown;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use butterdock_tests::guest::{Place, Stick};

use crate::lab::Lab;

/// One thing that is shown, in the order of these lists: each stands on what those before it left.
type Scenario = (&'static str, fn(&mut Lab) -> Result<()>);

const SHORT: &[Scenario] = &[
    ("the service is up and confined", service::up),
    ("a drive is enrolled", drives::enrol),
    ("a backup on plug, seen on the bus by a user whom polkit lets", backup::first),
    ("pulled out in mid-backup, and recovered", pulled::once),
];

const WHOLE: &[Scenario] = &[
    ("the service is up and confined", service::up),
    ("a service that is killed comes back", service::killed),
    ("an unknown drive is left as it is", unknown::untouched),
    ("a drive is enrolled", drives::enrol),
    ("a backup on plug, seen on the bus by a user whom polkit lets", backup::first),
    ("the second plug sends only the change", backup::second),
    ("pulled out in mid-backup, and recovered", pulled::once),
    ("pulled out again, at other moments", pulled::again),
    ("power cut in mid-backup, and recovered", power::cut),
    ("an encrypted drive is unlocked, backed up to and locked", luks::backup),
    ("an encrypted drive is pulled out in mid-backup", luks::pulled),
    ("a drive is switched off and said to be safe", drives::switched_off),
    ("the journal tells each event", service::journal),
    ("after a purge nothing is left", purge::nothing_left),
];

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let image = PathBuf::from(arguments.next().context("vm IMAGE [short]")?);
    let scenarios = if arguments.next().is_some_and(|word| word == "short") { SHORT } else { WHOLE };
    let folder = tempfile::Builder::new().prefix("run-").tempdir_in(image.parent().context("a folder in a folder")?)?;
    let blue = Stick::new(folder.path(), "blue", 1 << 30)?.formatted()?;
    let vault = Stick::new(folder.path(), "vault", 1 << 30)?;
    let place = Place::new(&image, folder.path())?;
    let begun = Instant::now();
    let mut lab = Lab::boot(place, blue, vault)?;
    lab::say(&format!("{:4} s  the machine boots", begun.elapsed().as_secs()));
    for (what, scenario) in scenarios {
        let begun = Instant::now();
        if let Err(error) = scenario(&mut lab) {
            lab::say(&format!("FAILED  {what}: {error:#}\n{}", lab.told()));
            return Ok(ExitCode::FAILURE);
        }
        lab::say(&format!("{:4} s  {what}", begun.elapsed().as_secs()));
    }
    Ok(ExitCode::SUCCESS)
}
