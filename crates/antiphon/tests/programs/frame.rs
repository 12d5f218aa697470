//! Frames: a head of three numbers, and a payload.
//!
//! ```text
//!   bytes  0       8          16          24
//!          ├ len ──┼ number ──┼ checksum ─┼ payload: `len` bytes
//! ```
//! The numbers are little endian. The checksum is of the number and the payload.

use std::io;

use antiphon::io::Read;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) number: u64,
    pub(crate) payload: Vec<u8>,
}

const HEAD: usize = 24;
const LEN_MAX: u64 = 1 << 20;

impl Frame {
    pub(crate) fn new(number: u64, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            number,
            payload: payload.into(),
        }
    }

    /// Returns it as bytes.
    pub(crate) fn seal(&self) -> Vec<u8> {
        let len = u64::try_from(self.payload.len()).unwrap();
        let mut bytes = Vec::with_capacity(HEAD + self.payload.len());
        bytes.extend(len.to_le_bytes());
        bytes.extend(self.number.to_le_bytes());
        bytes.extend(self.checksum().to_le_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// Takes the next one from `reader`. `None` at the end of the stream, between two frames.
    ///
    /// # Errors
    /// `InvalidData` if it is not as it was sealed; `UnexpectedEof` if the stream ends in it; those of reading.
    ///
    /// # Cancellation
    /// **Did not happen.**
    pub(crate) async fn read(reader: &mut impl Read) -> io::Result<Option<Self>> {
        let head = reader.fill(HEAD).await?;
        if head.is_empty() {
            return Ok(None);
        }
        let head = head.get(..HEAD).ok_or(io::ErrorKind::UnexpectedEof)?;
        let [len, number, checksum] = [0, 8, 16].map(|at| u64::from_le_bytes(bytes_of(head, at)));
        if len > LEN_MAX {
            return Err(torn());
        }
        let len = usize::try_from(len).unwrap();
        let whole = reader.fill(HEAD + len).await?;
        let payload = whole.get(HEAD..HEAD + len);
        let frame = Self::new(number, payload.ok_or(io::ErrorKind::UnexpectedEof)?);
        reader.consume(HEAD + len);
        if frame.checksum() == checksum {
            Ok(Some(frame))
        } else {
            Err(torn())
        }
    }

    /// FNV-1a of words.
    fn checksum(&self) -> u64 {
        let step = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        let sum = step(0xcbf2_9ce4_8422_2325, self.number);
        let words = self.payload.chunks_exact(8);
        let rest = words.remainder().iter().map(|byte| u64::from(*byte));
        let rest = rest.fold(sum, step);
        words.fold(rest, |sum, word| {
            step(sum, u64::from_le_bytes(bytes_of(word, 0)))
        })
    }
}

fn bytes_of<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    bytes[from..from + N].try_into().unwrap()
}

fn torn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the frame is torn")
}
