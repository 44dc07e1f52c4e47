//! Random bytes.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::{Errno, Error, Result, retry};

/// `getrandom(2)` — sixteen random bytes. It opens no device, and waits until the kernel has gathered enough
/// after its start.
///
/// # Errors
/// None on the kernels that are supported.
pub fn sixteen() -> Result<[u8; 16]> {
    let mut bytes = [0; 16];
    // Up to 256 bytes come whole or not at all.
    match retry("getrandom", || getrandom(&mut bytes[..], GetRandomFlags::empty()))? {
        16 => Ok(bytes),
        _ => Err(Error { call: "getrandom", errno: Errno::EIO }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        assert_ne!(sixteen(), sixteen());
    }
}
