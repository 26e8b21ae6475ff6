//! Bytes in and out: varints, zigzag, length-prefixed texts. Reading is total: any bytes give a value or an error,
//! and nothing is allocated before the bytes that justify it are known to be there.

/// Why bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("frame ends inside {what}")]
    Truncated { what: &'static str },
    #[error("{what} is {found}, more than the {max} allowed")]
    TooLarge { what: &'static str, found: u64, max: u64 },
    #[error("{what} is not valid: {reason}")]
    Invalid { what: &'static str, reason: String },
    #[error("frame has protocol version {found}; this side speaks {min} to {max}")]
    Version { found: u8, min: u8, max: u8 },
    #[error("frame kind {found} is unknown")]
    Kind { found: u8 },
    #[error("{extra} bytes are left over after the frame's body")]
    Trailing { extra: usize },
}

impl DecodeError {
    pub(crate) fn invalid(what: &'static str, reason: impl ToString) -> Self {
        Self::Invalid { what, reason: reason.to_string() }
    }
}

/// Appends to a byte buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    #[expect(clippy::cast_possible_truncation, reason = "only the low seven or eight bits are meant")]
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    #[expect(clippy::cast_sign_loss, reason = "zigzag keeps every bit")]
    pub(crate) fn zigzag(&mut self, value: i64) {
        self.varint(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(crate) fn fixed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    /// A tagged, length-prefixed section; nothing at all when `write` writes nothing.
    pub(crate) fn section(&mut self, tag: u8, write: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::default();
        write(&mut inner);
        if !inner.bytes.is_empty() {
            self.u8(tag);
            self.blob(&inner.bytes);
        }
    }
}

/// The largest sequence number or ledger position.
pub(crate) const MARK_MAX: u64 = u64::MAX >> 1;

/// Reads from the front of a byte slice.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated { what })?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::invalid(what, "a number of more than 64 bits"))
    }

    #[expect(clippy::cast_possible_wrap, reason = "zigzag keeps every bit")]
    pub(crate) fn zigzag(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        let raw = self.varint(what)?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    pub(crate) fn bounded(&mut self, what: &'static str, max: u64) -> Result<u64, DecodeError> {
        let found = self.varint(what)?;
        if found > max { Err(DecodeError::TooLarge { what, found, max }) } else { Ok(found) }
    }

    /// A sequence number or ledger position: 63 bits, so that databases with signed integers hold it.
    pub(crate) fn mark(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.bounded(what, MARK_MAX)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let found = self.bounded(what, u64::from(u32::MAX))?;
        u32::try_from(found).map_err(|error| DecodeError::invalid(what, error))
    }

    /// A count of things of at least one byte each, so a lie can't make us allocate more than was sent.
    pub(crate) fn count(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let found = self.bounded(what, max as u64)?;
        let count = usize::try_from(found).map_err(|error| DecodeError::invalid(what, error))?;
        if count > self.rest.len() { Err(DecodeError::Truncated { what }) } else { Ok(count) }
    }

    pub(crate) fn take(&mut self, what: &'static str, bytes: usize) -> Result<&'a [u8], DecodeError> {
        if bytes > self.rest.len() {
            return Err(DecodeError::Truncated { what });
        }
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let taken = self.take(what, N)?;
        taken.try_into().map_err(|error| DecodeError::invalid(what, error))
    }

    pub(crate) fn blob(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let bytes = self.count(what, max)?;
        self.take(what, bytes)
    }

    pub(crate) fn text(&mut self, what: &'static str, max: usize) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.blob(what, max)?).map_err(|error| DecodeError::invalid(what, error))
    }

    pub(crate) fn parsed<T>(&mut self, what: &'static str, max: usize) -> Result<T, DecodeError>
    where
        T: std::str::FromStr,
        T::Err: ToString,
    {
        self.text(what, max)?.parse().map_err(|error: T::Err| DecodeError::invalid(what, error))
    }

    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing { extra: self.rest.len() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_read_back_over_their_whole_range() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut writer = Writer::default();
            writer.varint(value);
            let mut reader = Reader::new(&writer.bytes);
            assert_eq!(reader.varint("n"), Ok(value));
            assert!(reader.is_empty());
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut writer = Writer::default();
            writer.zigzag(value);
            assert_eq!(Reader::new(&writer.bytes).zigzag("n"), Ok(value));
        }
    }

    #[test]
    fn an_endless_varint_is_an_error() {
        assert!(Reader::new(&[0xff; 20]).varint("n").is_err());
        assert!(Reader::new(&[0x80]).varint("n").is_err());
    }

    #[test]
    fn a_count_beyond_the_bytes_sent_is_refused_before_any_allocation() {
        let mut writer = Writer::default();
        writer.varint(16_000);
        writer.fixed(&[0; 10]);
        assert_eq!(Reader::new(&writer.bytes).count("n", 16_384), Err(DecodeError::Truncated { what: "n" }));
    }
}
