//! CSV as a stream of records in bounded memory, each with the line it begins at.
//!
//! A quote that is never closed would swallow the rest of a file. A record that grows beyond its bound, or that its reader can't make
//! sense of while it spans lines, is therefore given up, and reading goes on at the line after its first.

use crate::pos::files::piece::{Broken, refused_by_its_first_bytes};
use crate::pos::files::text::line_ends;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};

/// The longest record.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// The most columns.
pub const COLUMNS_MAX: usize = 1024;
const BUFFER_BYTES: usize = 64 * 1024;
/// How often a file may be gone back in; each time costs a record's bound at most.
const TURNS_MAX: u32 = 1_000;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What came next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Record,
    /// Longer or wider than anything of ours; given up.
    TooLong,
    End,
}

/// The records of one file.
#[derive(Debug)]
pub struct Records {
    file: File,
    /// How much of the file is read.
    size: u64,
    core: Reader,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Where `buffer[start]` is in the file.
    offset: u64,
    fields: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
    /// The line that comes next.
    line: u64,
    record_offset: u64,
    record_line: u64,
    turns: u32,
}

impl Records {
    pub fn new(file: File, size: u64, delimiter: u8, quote: Option<u8>) -> Result<Records, Broken> {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter).quoting(quote.is_some()).quote(quote.unwrap_or(b'"'));
        let mut records = Records {
            file,
            size,
            core: builder.build(),
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            offset: 0,
            fields: vec![0; RECORD_BYTES_MAX],
            ends: vec![0; COLUMNS_MAX],
            count: 0,
            line: 1,
            record_offset: 0,
            record_line: 1,
            turns: 0,
        };
        records.fill()?;
        let head = &records.buffer[..records.end];
        if let Some(why) = refused_by_its_first_bytes(head) {
            return Err(Broken::format(why));
        }
        if head.starts_with(BOM) {
            records.take(BOM.len());
        }
        Ok(records)
    }

    /// The line that the last record began at.
    pub fn record_line(&self) -> u64 {
        self.record_line
    }

    pub fn spans_lines(&self) -> bool {
        self.line > self.record_line + 1
    }

    pub fn columns(&self) -> usize {
        self.count
    }

    pub fn field(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends[..self.count].get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.fields.get(start..end)
    }

    pub fn next(&mut self) -> Result<Next, Broken> {
        self.skip_line_ends()?;
        (self.record_offset, self.record_line, self.count) = (self.offset, self.line, 0);
        let (mut written, mut ended) = (0, 0);
        loop {
            if self.start == self.end {
                self.fill()?;
            }
            let input = &self.buffer[self.start..self.end];
            let (went, taken, wrote, ends) =
                self.core.read_record(input, &mut self.fields[written..], &mut self.ends[ended..]);
            self.take(taken);
            written += wrote;
            ended += ends;
            match went {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    self.go_back()?;
                    return Ok(Next::TooLong);
                }
                ReadRecordResult::Record => {
                    self.count = ended;
                    return Ok(Next::Record);
                }
                ReadRecordResult::End => return Ok(Next::End),
            }
        }
    }

    /// Goes on at the line after the first of the last record.
    pub fn go_back(&mut self) -> Result<(), Broken> {
        self.turns += 1;
        if self.turns > TURNS_MAX {
            return Err(Broken::format(format!(
                "it has more than {TURNS_MAX} records that don't end; are `quote` and `delimiter` right?"
            )));
        }
        self.core.reset();
        self.file.seek(SeekFrom::Start(self.record_offset)).map_err(Broken::Io)?;
        (self.offset, self.start, self.end, self.line) = (self.record_offset, 0, 0, self.record_line);
        loop {
            if self.start == self.end {
                self.fill()?;
            }
            let rest = &self.buffer[self.start..self.end];
            if rest.is_empty() {
                return Ok(());
            }
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    self.take(at + 1);
                    return Ok(());
                }
                None => self.take(rest.len()),
            }
        }
    }

    /// Empty lines, and what is left of the last line's end.
    fn skip_line_ends(&mut self) -> Result<(), Broken> {
        loop {
            if self.start == self.end {
                self.fill()?;
            }
            let rest = &self.buffer[self.start..self.end];
            let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let is_done = ends < rest.len() || rest.is_empty();
            self.take(ends);
            if is_done {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: usize) {
        self.line += line_ends(&self.buffer[self.start..self.start + bytes]);
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Reads on once the buffer is empty. Leaves it empty at the end.
    fn fill(&mut self) -> Result<(), Broken> {
        let left = self.size.saturating_sub(self.offset);
        let room = usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        (self.start, self.end) = (0, 0);
        self.end = loop {
            match self.file.read(&mut self.buffer[..room]) {
                Ok(bytes) => break bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::Io(error)),
            }
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn records(text: &[u8]) -> Records {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        Records::new(file, text.len() as u64, b',', Some(b'"')).unwrap()
    }

    fn all(text: &[u8]) -> Vec<(u64, Vec<String>)> {
        let (mut records, mut found) = (records(text), Vec::new());
        loop {
            match records.next().unwrap() {
                Next::End => return found,
                Next::TooLong => found.push((records.record_line(), vec!["too long".to_owned()])),
                Next::Record => {
                    let field = |at| String::from_utf8_lossy(records.field(at).unwrap()).into_owned();
                    found.push((records.record_line(), (0..records.columns()).map(field).collect()));
                }
            }
        }
    }

    #[test]
    fn every_record_knows_its_line_however_lines_end() {
        let expected =
            [(1, vec!["a".to_owned(), "b".to_owned()]), (3, vec!["c\nd".to_owned(), String::new()])];
        for text in ["\u{feff}a,b\n\n\"c\nd\",\n", "a,b\r\n\r\n\"c\nd\",\r\n", "a,b\n\n\"c\nd\","] {
            assert_eq!(all(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_its_line_alone() {
        let long = "x,y\n".repeat(RECORD_BYTES_MAX / 4 + 10);
        let found = all(format!("a,\"b\n{long}").as_bytes());
        assert_eq!(found[0], (1, vec!["too long".to_owned()]));
        assert_eq!(found[1], (2, vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(found.len(), RECORD_BYTES_MAX / 4 + 11);
    }

    #[test]
    fn a_file_of_quotes_alone_is_given_up_soon() {
        let text = "\"a\"b,\"\n\"".repeat(200_000);
        let mut records = records(text.as_bytes());
        let ended = (0..1_000_000)
            .map(|_| records.next())
            .find(|next| !matches!(next, Ok(Next::Record | Next::TooLong)));
        assert!(matches!(ended, Some(Ok(Next::End) | Err(Broken::Format(_)))), "{ended:?}");
    }

    #[test]
    fn what_is_compressed_is_refused() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0x1f, 0x8b, 8, 0]).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        assert!(Records::new(file, 4, b',', None).is_err());
    }
}
