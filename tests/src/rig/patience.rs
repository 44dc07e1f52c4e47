//! Waiting that ends where nothing moves any more, and not where a machine with other work is slow.

use std::fs;
use std::num::NonZero;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::PATIENCE;

/// How often at least it is looked before anything is called a hang: a machine that is slow looks seldom.
const LOOKS: u32 = 200;

/// A wait that goes on as long as something moves.
#[derive(Debug)]
pub struct Patience {
    what: String,
    seen: String,
    began: Instant,
    moved: Instant,
    looks: u32,
}

impl Patience {
    /// Waits for this, as a sentence says it: "the drive is mounted".
    #[must_use]
    pub fn new(what: &str) -> Self {
        let now = Instant::now();
        Self { what: what.to_owned(), seen: String::new(), began: now, moved: now, looks: 0 }
    }

    /// It is not so yet: pauses until the next look. What was seen instead is told in the error; where it is other than at
    /// the last look something moves.
    ///
    /// # Errors
    /// When nothing has moved for [`PATIENCE`] and many looks.
    pub fn pause(&mut self, seen: &str) -> Result<()> {
        if self.seen != seen {
            seen.clone_into(&mut self.seen);
            (self.moved, self.looks) = (Instant::now(), 0);
        }
        self.looks += 1;
        if self.looks > LOOKS && self.moved.elapsed() > PATIENCE {
            bail!("waited in vain until {}: {}", self.what, self.seen);
        }
        // To look costs the time of what is waited for: the longer it takes the less often, and never a tenth too late.
        sleep((self.began.elapsed() / 10).clamp(Duration::from_millis(1), Duration::from_millis(200)));
        Ok(())
    }
}

/// How long something may take on this machine, with the other work that it has, that takes at most `limit` on a quiet one:
/// for what the product promises. Anything else is waited for with [`Patience`].
#[must_use]
pub fn beside_others(limit: Duration) -> Duration {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    limit.mul_f64(slowness(&text, cores))
}

/// How many want a processor, in the last minute or now, for each that there is; twice that, because turns are not fair.
fn slowness(loadavg: &str, cores: usize) -> f64 {
    let mut words = loadavg.split([' ', '/']);
    let minute = words.next().and_then(|word| word.parse::<f64>().ok()).unwrap_or_default();
    let now = words.nth(2).and_then(|word| word.parse::<f64>().ok()).unwrap_or_default();
    (minute.max(now) * 2.0 / f64::from(u32::try_from(cores).unwrap_or(1))).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_is_waited_for_and_what_is_seen_is_told() {
        let mut patience = Patience::new("it ends");
        for round in 0..LOOKS + 10 {
            patience.began = Instant::now();
            patience.moved = Instant::now().checked_sub(PATIENCE * 2).unwrap_or_else(Instant::now);
            patience.pause(&round.to_string()).expect("it moves");
        }
        let mut patience = Patience::new("it ends");
        let stuck = (0..=LOOKS).find_map(|_| {
            patience.began = Instant::now();
            patience.pause("stuck").err()
        });
        assert!(stuck.is_none(), "many looks alone are no hang");
        patience.moved = Instant::now().checked_sub(PATIENCE * 2).unwrap_or_else(Instant::now);
        let told = patience.pause("stuck").expect_err("nothing moves").to_string();
        assert_eq!(told, "waited in vain until it ends: stuck");
    }
    #[test]
    fn a_quiet_machine_has_the_time_that_is_promised_and_a_busy_one_more() {
        assert_eq!(slowness("0.50 0.40 0.30 1/200 4711", 2), 1.0);
        assert_eq!(slowness("8.00 0.40 0.30 1/200 4711", 2), 8.0);
        assert_eq!(slowness("0.50 0.40 0.30 12/200 4711", 4), 6.0);
        assert_eq!(slowness("", 2), 1.0);
    }
}
