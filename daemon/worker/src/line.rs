//! Lines out of bytes that come in any pieces, and no line longer than allowed.

/// What has come and was not taken yet.
#[derive(Debug)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Up to here no line ends.
    searched: usize,
    longest: usize,
}

/// A line is longer than allowed: whoever writes such lines is not listened to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

impl LineBuffer {
    /// For lines of at most `longest` bytes, their end with them.
    pub fn new(longest: usize) -> Self {
        Self { bytes: Vec::new(), searched: 0, longest }
    }

    /// Takes in what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its end.
    ///
    /// # Errors
    /// The line is longer than the buffer was made for.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let end = self.bytes.iter().skip(self.searched).position(|&byte| byte == b'\n');
        let Some(end) = end.map(|at| at.saturating_add(self.searched)) else {
            self.searched = self.bytes.len();
            return if self.searched >= self.longest { Err(TooLong) } else { Ok(None) };
        };
        if end >= self.longest {
            return Err(TooLong);
        }
        let rest = self.bytes.split_off(end.saturating_add(1));
        let mut line = std::mem::replace(&mut self.bytes, rest);
        line.truncate(end);
        self.searched = 0;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_came_in() {
        for size in 1..8 {
            let mut buffer = LineBuffer::new(8);
            let mut lines = Vec::new();
            for piece in b"one\n\ntwo\nthree".chunks(size) {
                buffer.push(piece);
                while let Some(line) = buffer.line().expect("short") {
                    lines.push(line);
                }
            }
            assert_eq!(lines, [&b"one"[..], b"", b"two"], "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_refused_when_it_is_too_long() {
        let mut buffer = LineBuffer::new(4);
        buffer.push(b"abc");
        assert_eq!(buffer.line(), Ok(None));
        buffer.push(b"d");
        assert_eq!(buffer.line(), Err(TooLong));
        let mut buffer = LineBuffer::new(4);
        buffer.push(b"abcd\n");
        assert_eq!(buffer.line(), Err(TooLong));
        let mut buffer = LineBuffer::new(4);
        buffer.push(b"abc\n");
        assert_eq!(buffer.line(), Ok(Some(b"abc".to_vec())));
    }
}
