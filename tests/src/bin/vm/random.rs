//! Random choices that a seed repeats.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

/// A sequence of its own for each seed.
#[derive(Debug)]
pub(crate) struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    /// With this seed, or with a new one.
    ///
    /// # Errors
    ///
    /// It is no number.
    pub(crate) fn new(seed: Option<&str>) -> Result<Self> {
        let seed = match seed {
            Some(said) => said.parse()?,
            None => u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
        };
        Ok(Self { seed, state: seed })
    }

    /// What has it again.
    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// One of the numbers below `end`.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        // splitmix64: neighbouring seeds have nothing in common.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % if end == 0 { 1 } else { end }
    }
}

#[test]
fn the_same_seed_gives_the_same_choices() -> Result<()> {
    let (mut one, mut other) = (Random::new(Some("7"))?, Random::new(Some("7"))?);
    let drawn: Vec<u64> = (0..20).map(|_| one.below(1000)).collect();
    assert_eq!(drawn, (0..20).map(|_| other.below(1000)).collect::<Vec<_>>());
    assert!(drawn.iter().any(|number| *number != drawn[0]), "{drawn:?}");
    Ok(())
}
