//! How bytes become text.

/// A path: spaces, backslashes and whatever is not printable ASCII are escaped, the latter as three octal digits
/// unless C has a letter for it.
pub(super) fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match letter(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None if byte.is_ascii_graphic() => out.push(byte),
            None => out.extend_from_slice(&[b'\\', digit(byte, 6), digit(byte, 3), digit(byte, 0)]),
        }
    }
}

/// Anything else: as it is, up to the first NUL, with those control characters escaped as in a path that move a terminal
/// or change its state. The lower ones do nothing there, and ACLs begin with them.
pub(super) fn plain(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes.iter().take_while(|byte| **byte != 0) {
        if matches!(byte, 0x07 | 0x08 | 0x0a..=0x1f | 0x7f) {
            escaped(out, std::slice::from_ref(byte));
        } else {
            out.push(*byte);
        }
    }
}

fn letter(byte: u8) -> Option<u8> {
    match byte {
        0x07 => Some(b'a'),
        0x08 => Some(b'b'),
        0x1b => Some(b'e'),
        0x0c => Some(b'f'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        b'\t' => Some(b't'),
        0x0b => Some(b'v'),
        b' ' | b'\\' => Some(byte),
        _ => None,
    }
}

fn digit(byte: u8, shift: u32) -> u8 {
    byte.wrapping_shr(shift) & 7 | b'0'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_path_has_its_form() {
        let mut out = Vec::new();
        escaped(&mut out, b"a b\\c\n\t\r\x07\x08\x1b\x0c\x0b\x01\x7f\xff~");
        assert_eq!(out.escape_ascii().to_string(), r"a\\ b\\\\c\\n\\t\\r\\a\\b\\e\\f\\v\\001\\177\\377~");
    }

    #[test]
    fn a_value_cannot_forge_a_line_or_steer_a_terminal() {
        let mut out = Vec::new();
        plain(&mut out, b"x len=1\nmkfile \x1b[2J\x7f\xff\0unseen");
        assert_eq!(out, b"x len=1\\nmkfile \\e[2J\\177\xff");
    }
}
