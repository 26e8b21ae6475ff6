//! Takes a byte stream apart into frames, each behind its length. Pure, and bounded by the longest frame.

use super::LENGTH_BYTES;
use sync_protocol::limits::FRAME_BYTES_MAX;

/// Holds the bytes of frames that have not arrived whole.
#[derive(Debug, Default)]
pub struct Splitter {
    bytes: Vec<u8>,
    /// Bytes before this have been handed out.
    start: usize,
}

/// A length that no frame may have. The stream can't be read on from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {found} bytes was announced; 1 to {FRAME_BYTES_MAX} are allowed")]
pub struct BadLength {
    pub found: u32,
}

impl Splitter {
    /// Takes what arrived. Ask for frames before bringing more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.start));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if it has arrived.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, BadLength> {
        let waiting = &self.bytes[self.start..];
        let Some((length, rest)) = waiting.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = checked_length(u32::from_le_bytes(*length))?;
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = frame.to_vec();
        self.start += LENGTH_BYTES + length;
        Ok(Some(frame))
    }
}

fn checked_length(found: u32) -> Result<usize, BadLength> {
    match usize::try_from(found) {
        Ok(length @ 1..=FRAME_BYTES_MAX) => Ok(length),
        _ => Err(BadLength { found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(frames: &[&[u8]]) -> Vec<u8> {
        let with_length = |f: &&[u8]| [&u32::try_from(f.len()).unwrap().to_le_bytes(), *f].concat();
        frames.iter().flat_map(with_length).collect()
    }

    fn frames(splitter: &mut Splitter) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| splitter.next().unwrap()).collect()
    }

    #[test]
    fn frames_come_out_however_the_bytes_arrive() {
        let sent: Vec<&[u8]> = vec![b"a", b"bcd", &[7; 1000], b"e"];
        let bytes = framed(&sent);
        for size in [1, 2, 3, 5, 64, 999, 5000] {
            let mut splitter = Splitter::default();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                splitter.push(piece);
                found.extend(frames(&mut splitter));
            }
            assert_eq!(found, sent, "in pieces of {size}");
        }
    }

    #[test]
    fn the_longest_frame_passes_and_a_longer_one_is_named() {
        let mut splitter = Splitter::default();
        splitter.push(&framed(&[&vec![1; FRAME_BYTES_MAX]]));
        assert_eq!(frames(&mut splitter).len(), 1);
        let found = u32::try_from(FRAME_BYTES_MAX).unwrap() + 1;
        splitter.push(&found.to_le_bytes());
        assert_eq!(splitter.next(), Err(BadLength { found }));
    }

    #[test]
    fn a_frame_of_no_bytes_is_refused() {
        let mut splitter = Splitter::default();
        splitter.push(&[0; 4]);
        assert_eq!(splitter.next(), Err(BadLength { found: 0 }));
    }

    #[test]
    fn announcing_a_long_frame_takes_no_memory() {
        let mut splitter = Splitter::default();
        splitter.push(&u32::try_from(FRAME_BYTES_MAX).unwrap().to_le_bytes());
        assert_eq!(splitter.next(), Ok(None));
        assert!(splitter.bytes.capacity() < 1024);
    }
}
