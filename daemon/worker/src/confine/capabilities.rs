//! What of root a worker keeps.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities,
};

use super::{ConfineError, doing};

/// What the engine needs. Each was taken away by itself and a stream was found that fails without it.
pub(super) const KEPT: CapabilitySet = CapabilitySet::SYS_ADMIN
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::LINUX_IMMUTABLE);

/// The kernel knows fewer, and says so.
const MOST: u32 = 64;

/// Drops all others, from every set, for good: with no capability left in the bounding set and none to inherit, there would
/// be none in a program started from here either.
pub(super) fn drop_unneeded() -> Result<(), ConfineError> {
    for number in 0..MOST {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(doing("bound its capabilities")(error)),
        }
    }
    match clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(doing("drop ambient capabilities")(error)),
    }
    let held = capabilities(None).map_err(doing("read its capabilities"))?.permitted;
    // Where the daemon itself was not given one, the engine says what it cannot do.
    let kept = held & KEPT;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(doing("drop its capabilities"))
}
