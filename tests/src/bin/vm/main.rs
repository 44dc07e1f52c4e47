//! `vm IMAGE short|whole`: a machine boots, USB drives come and go, and what happens is looked at from outside. `make vm-test`
//! calls it; it is no test of cargo's, because it needs an image, and takes minutes.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

mod console;
mod cut;
mod ending;
mod lab;
mod luks;
mod machine;
mod monitor;
mod plugged;
mod pulled;
mod watched;

use lab::Lab;

/// What a scenario is: it goes on where the one before it ended.
type Scenario = fn(&mut Lab) -> Result<()>;

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
    let image = words.next().context("vm IMAGE [short|whole]: the image is missing")?;
    let short: [Scenario; 3] = [plugged::boots, plugged::is_backed_up, pulled::finishes_with_the_next_plug];
    let whole: [Scenario; 4] = [watched::by_ann, luks::is_locked_again, cut::finishes_after_the_next_boot, ending::leaves_nothing];
    let scenarios = match words.next().as_deref() {
        Some("short") => short.to_vec(),
        None | Some("whole") => [short.as_slice(), whole.as_slice()].concat(),
        Some(other) => bail!("{other} is neither short nor whole"),
    };
    let begun = Instant::now();
    let mut lab = Lab::new(Path::new(&image))?;
    for scenario in scenarios {
        if let Err(error) = scenario(&mut lab) {
            lab.tell_what_the_service_said();
            return Err(error);
        }
    }
    lab::say(&format!("the machine did what it should, after {} s", begun.elapsed().as_secs()));
    Ok(())
}
