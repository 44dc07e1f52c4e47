//! The checksum of a command.
//!
//! CRC-32C over the command's header with its own field zeroed, then the payload. Unlike the usual CRC-32C it begins with 0
//! and is not inverted at the end.
//!
//! Most commands are short, and a call into the crate costs as much as its work. So only the payload goes there. The
//! header's part is the exclusive or of what each byte contributes, because the checksum begins with 0: six independent
//! loads from a table (the field's four zeros contribute nothing).

use crate::FRAME;

/// The checksum of the command with this length, number and payload.
#[inline]
pub(crate) fn checksum(len: u32, command: u16, payload: &[u8]) -> u32 {
    let [a, b, c, d] = len.to_le_bytes();
    let [e, f] = command.to_le_bytes();
    let [of_a, of_b, of_c, of_d, of_e, of_f] = &CONTRIBUTIONS;
    let head = of(of_a, a) ^ of(of_b, b) ^ of(of_c, c) ^ of(of_d, d) ^ of(of_e, e) ^ of(of_f, f);
    !crc32c::crc32c_append(!head, payload)
}

/// What each value of one byte of a header contributes.
type Contribution = [u32; 256];

#[inline]
fn of(contribution: &Contribution, byte: u8) -> u32 {
    contribution.get(usize::from(byte)).copied().unwrap_or_default()
}

/// For each of the six bytes before the checksum's own field.
static CONTRIBUTIONS: [Contribution; 6] = [behind(0), behind(1), behind(2), behind(3), behind(4), behind(5)];

/// The contribution of a header's byte that has `place` bytes before it.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "runs in the compiler, which would stop")]
const fn behind(place: usize) -> Contribution {
    let mut contribution = [0; 256];
    let mut value = 0u8;
    loop {
        let mut sum = value as u32;
        let mut bits = 8 * (FRAME - place);
        while bits > 0 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bits -= 1;
        }
        contribution[value as usize] = sum;
        if value == u8::MAX {
            return contribution;
        }
        value += 1;
    }
}

/// Castagnoli's, with its bits in the order in which they come.
const POLYNOMIAL: u32 = 0x82f6_3b78;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_crate() {
        for (len, command) in [(0, 0), (1, 1), (0x0102_0304, 0x0506), (0xffff_fff0, 0xffff), (147_000, 25)] {
            let [a, b, c, d] = u32::to_le_bytes(len);
            let [e, f] = u16::to_le_bytes(command);
            for payload in [b"".as_slice(), b"x", b"some bytes of a payload"] {
                let whole = [&[a, b, c, d, e, f, 0, 0, 0, 0], payload].concat();
                assert_eq!(checksum(len, command, payload), !crc32c::crc32c_append(!0, &whole));
            }
        }
    }
}
