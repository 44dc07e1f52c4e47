//! `vm IMAGE [short|whole|NAME [SEED]]`: a machine boots, USB drives come and go, and what happens is looked at from outside. `make vm-test`
//! calls it; it is no test of cargo's, because it needs an image, and takes minutes.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

mod console;
mod encrypted;
mod environment;
mod group_member;
mod import;
mod machine;
mod monitor;
mod other_drives;
mod page;
mod plug;
mod power_cut;
mod purge;
mod random;
mod unplug;
mod write_cache;

use environment::Environment;
use random::Random;

/// A scenario and its name. It starts from the state in which the one before it ended; those of [`WHOLE`] need only the first two, but the last needs all.
type Scenario = (&'static str, fn(&mut Environment) -> Result<()>);

const SHORT: [Scenario; 3] =
    [("boot", plug::boots), ("plug", plug::is_backed_up), ("pull", unplug::finishes_with_the_next_plug)];
const WHOLE: [Scenario; 8] = [
    ("watch", group_member::by_ann),
    ("format", other_drives::takes_backups),
    ("luks", other_drives::is_locked_again),
    ("import", import::from_sticks),
    ("cut", power_cut::finishes_after_the_next_boot),
    ("encrypt", encrypted::is_unlocked_after_a_power_cut),
    ("page", page::encrypts_and_unlocks),
    ("end", purge::leaves_nothing),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "it is for who started it")]
            {
                eprintln!("not so: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let image = words.next().context("vm IMAGE [short|whole|NAME [SEED]]: the image is missing")?;
    let scenarios = match words.next().as_deref() {
        Some("short") => SHORT.to_vec(),
        None | Some("whole") => [SHORT.as_slice(), WHOLE.as_slice()].concat(),
        Some(name) => match WHOLE.iter().find(|scenario| scenario.0 == name) {
            Some(alone) => vec![SHORT[0], SHORT[1], *alone],
            None => bail!("{name} is neither short nor whole, nor a scenario"),
        },
    };
    let begun = Instant::now();
    let random = Random::new(words.next().as_deref())?;
    environment::say(&format!("what is left to chance is that of the seed {0} (SEED={0} has it again)", random.seed()));
    let mut lab = Environment::new(Path::new(&image), random)?;
    for (_, scenario) in scenarios {
        if let Err(error) = scenario(&mut lab) {
            lab.tell_what_the_service_said();
            return Err(error);
        }
    }
    environment::say(&format!("the machine did what it should, after {} s", begun.elapsed().as_secs()));
    Ok(())
}
