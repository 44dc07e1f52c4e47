//! When to strike at something that takes a while.

use std::time::Duration;

use crate::trees::Random;

/// The span within which a blow should fall to hit something at work. It follows what is seen: a machine is not always as
/// fast as it was a moment ago.
#[derive(Debug, Clone, Copy)]
pub struct Aim(Duration);

impl Aim {
    /// Something that took so long just now.
    #[must_use]
    pub fn within(whole: Duration) -> Self {
        Self(whole)
    }

    /// So long after the begin the next blow should fall.
    pub fn moment(&self, random: &mut Random) -> Duration {
        Duration::from_nanos(random.below(u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX).max(1)))
    }

    /// The last blow hit something at work, or came too late.
    pub fn was(&mut self, hit: bool) {
        self.0 = self.0.mul_f64(if hit { 1.2 } else { 0.7 });
    }
}
