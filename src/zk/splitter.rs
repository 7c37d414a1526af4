//! A stream of bytes as frames: four bytes of length each, and so many bytes after it.

/// Bytes kept of a frame at most.
const MOST: usize = 64;
/// Bytes of the length.
const LENGTH: usize = 4;

/// Finds the starts of frames in whatever pieces the bytes come.
#[derive(Debug)]
pub struct Splitter {
    start: [u8; LENGTH + MOST],
    filled: usize,
    skip: u32,
}

impl Default for Splitter {
    fn default() -> Self {
        Self { start: [0; LENGTH + MOST], filled: 0, skip: 0 }
    }
}

impl Splitter {
    /// Takes bytes up to the next frame whose first `keep` bytes, or all if it is shorter, have come; gives its
    /// length and those bytes. Gives nothing once all bytes are taken.
    pub fn next(&mut self, bytes: &mut &[u8], keep: u32) -> Option<(u32, &[u8])> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = take(bytes, self.skip as usize).len();
                // At most as many as there were to skip.
                self.skip -= u32::try_from(skipped).unwrap_or(self.skip);
                continue;
            }
            let wanted = self.length().map_or(LENGTH, |length| LENGTH + kept(length, keep));
            let more = take(bytes, wanted - self.filled);
            self.start[self.filled..self.filled + more.len()].copy_from_slice(more);
            self.filled += more.len();
            let Some(length) = self.length() else { continue };
            let kept = kept(length, keep);
            if self.filled == LENGTH + kept {
                self.filled = 0;
                self.skip = length - u32::try_from(kept).unwrap_or(length);
                return Some((length, &self.start[LENGTH..LENGTH + kept]));
            }
        }
        None
    }

    /// The length of the frame whose start is coming, once that is known.
    pub fn length(&self) -> Option<u32> {
        let length = self.start.first_chunk().filter(|_| self.filled >= LENGTH);
        length.map(|length| u32::from_be_bytes(*length))
    }
}

/// How many bytes of a frame are kept.
fn kept(length: u32, keep: u32) -> usize {
    MOST.min(length.min(keep) as usize)
}

/// The first bytes, which the slice then begins after.
fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(most.min(bytes.len()));
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_found_in_any_pieces() {
        let stream = [&[0, 0, 0, 5][..], b"hello", &[0, 0, 0, 0], &[0, 0, 0, 2], b"hi"].concat();
        for piece in 1..=stream.len() {
            let mut splitter = Splitter::default();
            let mut found = Vec::new();
            for mut bytes in stream.chunks(piece) {
                while let Some((length, start)) = splitter.next(&mut bytes, 3) {
                    found.push((length, start.to_vec()));
                }
            }
            assert_eq!(
                found,
                [(5, b"hel".to_vec()), (0, Vec::new()), (2, b"hi".to_vec())],
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn the_length_is_known_before_the_rest() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.next(&mut &[0, 0, 1][..], 8), None);
        assert_eq!(splitter.length(), None);
        assert_eq!(splitter.next(&mut &[2, 7][..], 8), None);
        assert_eq!(splitter.length(), Some(258));
    }
}
