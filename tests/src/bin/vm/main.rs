//! `vm IMAGE [short|whole|NAME [SEED]]`: a machine boots, USB drives come and go, and what happens is looked at from outside. `make vm-test`
//! calls it; it is no test of cargo's, because it needs an image, and takes minutes.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

mod console;
mod cut;
mod ending;
mod formatted;
mod lab;
mod lost;
mod luck;
mod luks;
mod machine;
mod monitor;
mod plugged;
mod pulled;
mod watched;

use lab::Lab;
use luck::Luck;

/// A scenario and its name. It goes on where the one before it ended; those of [`WHOLE`] need only the first two, but the last needs all.
type Scenario = (&'static str, fn(&mut Lab) -> Result<()>);

const SHORT: [Scenario; 3] =
    [("boot", plugged::boots), ("plug", plugged::is_backed_up), ("pull", pulled::finishes_with_the_next_plug)];
const WHOLE: [Scenario; 5] = [
    ("watch", watched::by_ann),
    ("format", formatted::takes_backups),
    ("luks", luks::is_locked_again),
    ("cut", cut::finishes_after_the_next_boot),
    ("end", ending::leaves_nothing),
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
    let luck = Luck::new(words.next().as_deref())?;
    lab::say(&format!("what is left to chance is that of the seed {0} (SEED={0} has it again)", luck.seed()));
    let mut lab = Lab::new(Path::new(&image), luck)?;
    for (_, scenario) in scenarios {
        if let Err(error) = scenario(&mut lab) {
            lab.tell_what_the_service_said();
            return Err(error);
        }
    }
    lab::say(&format!("the machine did what it should, after {} s", begun.elapsed().as_secs()));
    Ok(())
}
