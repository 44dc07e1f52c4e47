//! This room reads the little-endian structs of btrfs's trees out of bytes, within bounds.

/// The `u16` at `at`, none when the bytes end before.
pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// The `u32` at `at`, none when the bytes end before.
pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// The `u64` at `at`, none when the bytes end before.
pub(crate) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// `N` bytes at `at`, none when the bytes end before.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// What stands before the first NUL: a C string in a field of fixed length.
pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_past_the_end_is_none() {
        let bytes = [1, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(le32(&bytes, 4), Some(2));
        assert_eq!(le64(&bytes, 0), Some(0x0000_0002_0000_0001));
        assert_eq!(le16(&bytes, 7), None);
        assert_eq!(le64(&bytes, usize::MAX), None);
    }

    #[test]
    fn a_field_without_a_nul_is_taken_whole() {
        assert_eq!(until_nul(b"abc\0def"), b"abc");
        assert_eq!(until_nul(b"abc"), b"abc");
        assert_eq!(until_nul(b""), b"");
    }
}
