//! Rows as they stand in the log: of each the key alone is read, and the rest is stepped over by the widths of its columns.
//!
//! **Invariants:** nothing is read beyond the event, whatever it holds; what is not understood gives `None`, never a wrong width.

/// Most keys that are taken of one event.
const KEYS_MAX: usize = 4_000;

// Types of columns as the log has them.
const TINY: u8 = 1;
const SHORT: u8 = 2;
const LONG: u8 = 3;
const LONGLONG: u8 = 8;
const INT24: u8 = 9;
const ENUM: u8 = 247;
const SET: u8 = 248;
const STRING: u8 = 254;
/// Of a STRING's length these bits stand upside down in the byte that tells its type.
const STRING_BITS: u8 = 0x30;

/// What is left of an event.
#[derive(Debug, Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// A number of up to eight bytes, the lowest first.
    pub fn number(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A count, in one byte or behind one that says how many follow.
    pub fn count(&mut self) -> Option<usize> {
        let number = match self.byte()? {
            0xfc => self.number(2)?,
            0xfd => self.number(3)?,
            0xfe => self.number(8)?,
            0xfb | 0xff => return None,
            small => u64::from(small),
        };
        usize::try_from(number).ok()
    }

    fn length(&mut self, bytes: usize) -> Option<usize> {
        usize::try_from(self.number(bytes)?).ok()
    }
}

/// Which of a table's columns the key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// From 0.
    pub place: usize,
    pub is_unsigned: bool,
    kind: u8,
}

impl KeyColumn {
    /// `data_type` as the server names it; `None` if that is no whole number.
    pub fn of(place: usize, data_type: &str, is_unsigned: bool) -> Option<KeyColumn> {
        let kind = match data_type.to_ascii_lowercase().as_str() {
            "tinyint" => TINY,
            "smallint" => SHORT,
            "mediumint" => INT24,
            "int" => LONG,
            "bigint" => LONGLONG,
            _ => return None,
        };
        Some(KeyColumn { place, is_unsigned, kind })
    }

    /// `None`: no key above 0 that we could follow.
    fn value(&self, bytes: &[u8]) -> Option<i64> {
        let number = Bytes(bytes).number(bytes.len())?;
        let bits = u32::try_from(bytes.len() * 8).ok()?;
        let is_negative = !self.is_unsigned && number >> (bits - 1) == 1;
        i64::try_from(number).ok().filter(|key| *key > 0 && !is_negative)
    }
}

/// How wide the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Fixed(usize),
    /// The value begins with its length, in so many bytes.
    Told(usize),
}

/// The columns of a table, as the event before its rows has them.
#[derive(Debug, Clone)]
pub struct Layout {
    columns: Vec<(u8, Width)>,
}

impl Layout {
    /// `rest`: a table map behind its names.
    pub fn read(mut rest: Bytes) -> Option<Layout> {
        let count = rest.count()?;
        let kinds = rest.take(count)?;
        let described = rest.count()?;
        let mut meta = Bytes(rest.take(described)?);
        let columns = kinds.iter().map(|kind| Some((*kind, width(*kind, &mut meta)?)));
        Some(Layout { columns: columns.collect::<Option<_>>()? })
    }

    /// The keys of all rows of an event; `rest` begins at its count of columns. Of an update each row stands as it was and as it is.
    pub fn keys(&self, mut rest: Bytes, is_update: bool, key: &KeyColumn) -> Option<Vec<i64>> {
        let (kind, _) = self.columns.get(key.place)?;
        if *kind != key.kind || rest.count()? != self.columns.len() {
            return None;
        }
        let bitmap = self.columns.len().div_ceil(8);
        let before = rest.take(bitmap)?;
        let after = if is_update { Some(rest.take(bitmap)?) } else { None };
        if !is_set(before, key.place) {
            return None;
        }
        let mut keys = Vec::new();
        while !rest.0.is_empty() {
            keys.extend(key.value(self.image(&mut rest, before, key.place)??));
            // A row that is written in part has its key there only if that was changed.
            if let Some(after) = after
                && let Some(moved) = self.image(&mut rest, after, key.place)?
            {
                keys.extend(key.value(moved));
            }
            keys.dedup();
            if keys.len() > KEYS_MAX {
                return None;
            }
        }
        Some(keys)
    }

    /// Steps over one row. Gives its column at `place`, if that is there.
    fn image<'a>(&self, rest: &mut Bytes<'a>, present: &[u8], place: usize) -> Option<Option<&'a [u8]>> {
        let there = (0..self.columns.len()).filter(|at| is_set(present, *at));
        let nulls = rest.take(there.clone().count().div_ceil(8))?;
        let mut found = None;
        for (nth, at) in there.enumerate() {
            if is_set(nulls, nth) {
                continue;
            }
            let count = match self.columns[at].1 {
                Width::Fixed(bytes) => bytes,
                Width::Told(bytes) => rest.length(bytes)?,
            };
            let value = rest.take(count)?;
            if at == place {
                found = Some(value);
            }
        }
        Some(found)
    }
}

fn is_set(bitmap: &[u8], at: usize) -> bool {
    bitmap.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

/// Takes what is said of the column beside its type.
fn width(kind: u8, meta: &mut Bytes) -> Option<Width> {
    let fraction = |meta: &mut Bytes| meta.byte().map(|digits| usize::from(digits).div_ceil(2));
    Some(match kind {
        // TINY, YEAR
        TINY | 13 => Width::Fixed(1),
        SHORT => Width::Fixed(2),
        // DATE, TIME of old, NEWDATE
        INT24 | 10 | 11 | 14 => Width::Fixed(3),
        // TIMESTAMP of old
        LONG | 7 => Width::Fixed(4),
        // DATETIME of old
        LONGLONG | 12 => Width::Fixed(8),
        // FLOAT and DOUBLE tell their width.
        4 | 5 => Width::Fixed(usize::from(meta.byte()?)),
        // TIMESTAMP, DATETIME, TIME, each with a fraction of a second
        17 => Width::Fixed(4 + fraction(meta)?),
        18 => Width::Fixed(5 + fraction(meta)?),
        19 => Width::Fixed(3 + fraction(meta)?),
        // BIT
        16 => {
            let (bits, bytes) = (meta.byte()?, meta.byte()?);
            Width::Fixed(usize::from(bytes) + usize::from(bits > 0))
        }
        // NEWDECIMAL
        246 => Width::Fixed(decimal_bytes(meta.byte()?, meta.byte()?)?),
        // VARCHAR, the same compressed by MariaDB, VAR_STRING
        15 | 141 | 253 => told(meta.length(2)?),
        // BLOB and its like, compressed by MariaDB, JSON, GEOMETRY, VECTOR
        249..=252 | 140 | 242 | 245 | 255 => {
            Width::Told(Some(usize::from(meta.byte()?)).filter(|bytes| (1..=4).contains(bytes))?)
        }
        ENUM | SET | STRING => string_width(meta.byte()?, meta.byte()?)?,
        _ => return None,
    })
}

/// Of a STRING, behind which ENUM and SET hide.
fn string_width(first: u8, second: u8) -> Option<Width> {
    let high = usize::from((first & STRING_BITS) ^ STRING_BITS) << 4;
    match first | STRING_BITS {
        _ if high == 0 && matches!(first, ENUM | SET) => Some(Width::Fixed(usize::from(second))),
        STRING => Some(told(high | usize::from(second))),
        _ => None,
    }
}

fn told(longest: usize) -> Width {
    Width::Told(if longest < 256 { 1 } else { 2 })
}

/// Nine digits are four bytes, on both sides of the point; what is left over takes as many as it needs.
fn decimal_bytes(digits: u8, decimals: u8) -> Option<usize> {
    const LEFT_OVER: [usize; 9] = [0, 1, 1, 2, 2, 3, 3, 4, 4];
    let bytes = |digits: u8| usize::from(digits / 9) * 4 + LEFT_OVER[usize::from(digits % 9)];
    Some(bytes(digits.checked_sub(decimals)?) + bytes(decimals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// VARCHAR(300), DECIMAL(15,3), BIGINT, ENUM, DATETIME(3), LONGBLOB, CHAR(200) of four bytes each
    const MAP: [u8; 20] = [7, 15, 246, 8, 254, 18, 252, 254, 10, 44, 1, 15, 3, 247, 1, 3, 4, 0xce, 0x20, 0];
    const KEY: KeyColumn = KeyColumn { place: 2, is_unsigned: false, kind: LONGLONG };

    fn row(key: i64) -> Vec<u8> {
        let mut row = vec![0];
        row.extend([2, 0, b'a', b'b']);
        row.extend([0x80, 0, 0, 0, 0, 7, 0, 0]);
        row.extend(key.to_le_bytes());
        row.push(1);
        row.extend([0x99, 0xb6, 0x4a, 0, 0, 0, 0]);
        row.extend([3, 0, 0, 0, 1, 2, 3]);
        row.extend([1, 0, b'x']);
        row
    }

    fn rows(head: &[u8], keys: &[i64]) -> Vec<u8> {
        head.iter().copied().chain(keys.iter().flat_map(|key| row(*key))).collect()
    }

    #[test]
    fn the_key_is_found_behind_columns_of_all_kinds() {
        let layout = Layout::read(Bytes(&MAP)).unwrap();
        let written = rows(&[7, 0x7f], &[4711, -1, i64::MAX]);
        assert_eq!(layout.keys(Bytes(&written), false, &KEY), Some(vec![4711, i64::MAX]));
        let updated = rows(&[7, 0x7f, 0x7f], &[7, 7, 8, 9]);
        assert_eq!(layout.keys(Bytes(&updated), true, &KEY), Some(vec![7, 8, 9]));
    }

    #[test]
    fn a_row_in_part_has_its_key_before_it_and_not_behind() {
        let layout = Layout::read(Bytes(&MAP)).unwrap();
        // The key alone; then the first column alone, which is null.
        let updated = [&[7, 0b100, 0b1, 0][..], &4711_i64.to_le_bytes(), &[1]].concat();
        assert_eq!(layout.keys(Bytes(&updated), true, &KEY), Some(vec![4711]));
        let without_key = [7, 0b1, 1];
        assert_eq!(layout.keys(Bytes(&without_key), false, &KEY), None);
    }

    #[test]
    fn keys_of_every_width_are_read_with_their_sign() {
        let read = |data_type: &str, is_unsigned, bytes: &[u8]| {
            KeyColumn::of(0, data_type, is_unsigned).unwrap().value(bytes)
        };
        assert_eq!(read("tinyint", true, &[200]), Some(200));
        assert_eq!(read("tinyint", false, &[200]), None);
        assert_eq!(read("mediumint", true, &[0, 0, 255]), Some(0xff_0000));
        assert_eq!(read("mediumint", false, &[1, 0, 128]), None);
        assert_eq!(read("int", true, &[0, 0, 0, 0xee]), Some(0xee00_0000));
        assert_eq!(read("bigint", true, &[0xff; 8]), None);
        assert_eq!(read("smallint", false, &[0, 0]), None);
        assert_eq!(KeyColumn::of(0, "varchar", false), None);
    }

    #[test]
    fn a_decimal_takes_the_bytes_that_its_digits_need() {
        for (digits, decimals, bytes) in [(15, 3, 8), (10, 0, 5), (65, 30, 30), (18, 9, 8), (1, 1, 1)] {
            assert_eq!(decimal_bytes(digits, decimals), Some(bytes), "{digits}, {decimals}");
        }
        assert_eq!(decimal_bytes(1, 2), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_server_sends_breaks_it(
            map in proptest::collection::vec(any::<u8>(), 0..64),
            body in proptest::collection::vec(any::<u8>(), 0..256),
            is_update: bool,
        ) {
            for map in [&map[..], &MAP[..]] {
                if let Some(layout) = Layout::read(Bytes(map)) {
                    let _ = layout.keys(Bytes(&body), is_update, &KEY);
                }
            }
        }
    }
}
