//! What PostgreSQL's log says of rows: messages of the plugin `pgoutput`, version 1 of its protocol.
//!
//! **Invariant:** reading is total. Any bytes give a message or an error, in memory bounded by their length.

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    Relation(Relation<'a>),
    Insert {
        relation: u32,
        new: Vec<Value<'a>>,
    },
    Update {
        relation: u32,
        /// What identified it before, where that has changed.
        old: Option<Vec<Value<'a>>>,
        new: Vec<Value<'a>>,
    },
    Delete {
        relation: u32,
        old: Vec<Value<'a>>,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// Beginnings and ends of transactions, types, words of programs: nothing of ours.
    Other,
}

/// A table, as it is described before the first of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation<'a> {
    pub oid: u32,
    pub columns: Vec<&'a str>,
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    /// Large, stored apart, and as it was.
    Unchanged,
    Text(&'a [u8]),
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMessage {
    #[error("the message ends too early")]
    Short,
    #[error("the message goes on after its end")]
    Long,
    #[error("the message has the unknown part `{0}`")]
    Unknown(u8),
    #[error("a name in the message is no UTF-8")]
    Name,
}

impl<'a> Message<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Message<'a>, NoMessage> {
        let mut rest = Bytes(bytes);
        let message = match rest.byte()? {
            b'R' => Message::Relation(rest.relation()?),
            b'I' => {
                let relation = rest.u32()?;
                rest.expect(b'N')?;
                Message::Insert { relation, new: rest.values()? }
            }
            b'U' => rest.update()?,
            b'D' => {
                let relation = rest.u32()?;
                match rest.byte()? {
                    b'K' | b'O' => Message::Delete { relation, old: rest.values()? },
                    other => return Err(NoMessage::Unknown(other)),
                }
            }
            b'T' => Message::Truncate { relations: rest.truncated()? },
            b'B' | b'C' | b'O' | b'Y' | b'M' => return Ok(Message::Other),
            other => return Err(NoMessage::Unknown(other)),
        };
        if rest.0.is_empty() { Ok(message) } else { Err(NoMessage::Long) }
    }
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], NoMessage> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(NoMessage::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], NoMessage> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(NoMessage::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, NoMessage> {
        self.fixed::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, NoMessage> {
        self.fixed().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, NoMessage> {
        self.fixed().map(u32::from_be_bytes)
    }

    fn expect(&mut self, wanted: u8) -> Result<(), NoMessage> {
        match self.byte()? {
            found if found == wanted => Ok(()),
            other => Err(NoMessage::Unknown(other)),
        }
    }

    fn name(&mut self) -> Result<&'a str, NoMessage> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(NoMessage::Short)?;
        let name = self.take(end)?;
        self.expect(0)?;
        std::str::from_utf8(name).map_err(|_| NoMessage::Name)
    }

    fn relation(&mut self) -> Result<Relation<'a>, NoMessage> {
        let oid = self.u32()?;
        let (_schema, _name, _identity) = (self.name()?, self.name()?, self.byte()?);
        let mut columns = Vec::new();
        for _ in 0..self.u16()? {
            let _is_key = self.byte()?;
            columns.push(self.name()?);
            let (_type, _modifier) = (self.u32()?, self.u32()?);
        }
        Ok(Relation { oid, columns })
    }

    fn update(&mut self) -> Result<Message<'a>, NoMessage> {
        let relation = self.u32()?;
        let mut old = None;
        let mut part = self.byte()?;
        if matches!(part, b'K' | b'O') {
            old = Some(self.values()?);
            part = self.byte()?;
        }
        match part {
            b'N' => Ok(Message::Update { relation, old, new: self.values()? }),
            other => Err(NoMessage::Unknown(other)),
        }
    }

    fn truncated(&mut self) -> Result<Vec<u32>, NoMessage> {
        let (count, _options) = (self.u32()?, self.byte()?);
        let mut relations = Vec::new();
        for _ in 0..count {
            relations.push(self.u32()?);
        }
        Ok(relations)
    }

    fn values(&mut self) -> Result<Vec<Value<'a>>, NoMessage> {
        // Not reserved by what it says: the vector grows with what is really there.
        let mut values = Vec::new();
        for _ in 0..self.u16()? {
            values.push(match self.byte()? {
                b'n' => Value::Null,
                b'u' => Value::Unchanged,
                b't' => {
                    let bytes = usize::try_from(self.u32()?).map_err(|_| NoMessage::Short)?;
                    Value::Text(self.take(bytes)?)
                }
                other => return Err(NoMessage::Unknown(other)),
            });
        }
        Ok(values)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Messages as PostgreSQL sends them.
    pub fn relation(oid: u32, columns: &[&str]) -> Vec<u8> {
        let mut bytes = [b"R".as_slice(), &oid.to_be_bytes(), b"public\0ledger\0d"].concat();
        bytes.extend(u16::try_from(columns.len()).unwrap().to_be_bytes());
        for column in columns {
            bytes.push(0);
            bytes.extend(column.as_bytes());
            bytes.extend([0; 9]);
        }
        bytes
    }

    fn row(values: &[Option<&str>]) -> Vec<u8> {
        let mut bytes = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            match value {
                None => bytes.push(b'n'),
                Some(text) => {
                    bytes.push(b't');
                    bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                    bytes.extend(text.as_bytes());
                }
            }
        }
        bytes
    }

    pub fn insert(oid: u32, values: &[Option<&str>]) -> Vec<u8> {
        [b"I".as_slice(), &oid.to_be_bytes(), b"N", &row(values)].concat()
    }

    pub fn update(oid: u32, old: Option<&[Option<&str>]>, new: &[Option<&str>]) -> Vec<u8> {
        let old = old.map_or_else(Vec::new, |old| [b"K".as_slice(), &row(old)].concat());
        [b"U".as_slice(), &oid.to_be_bytes(), &old, b"N", &row(new)].concat()
    }

    pub fn delete(oid: u32, old: &[Option<&str>]) -> Vec<u8> {
        [b"D".as_slice(), &oid.to_be_bytes(), b"K", &row(old)].concat()
    }

    pub fn truncate(oids: &[u32]) -> Vec<u8> {
        let count = u32::try_from(oids.len()).unwrap().to_be_bytes();
        let oids: Vec<u8> = oids.iter().flat_map(|oid| oid.to_be_bytes()).collect();
        [b"T".as_slice(), &count, &[0], &oids].concat()
    }

    #[test]
    fn what_postgresql_sends_is_read() {
        let columns = relation(9, &["id", "moved"]);
        let described = Relation { oid: 9, columns: vec!["id", "moved"] };
        assert_eq!(Message::read(&columns), Ok(Message::Relation(described)));
        let changed = update(9, Some(&[Some("1"), None]), &[Some("2"), Some("-1")]);
        let expected = Message::Update {
            relation: 9,
            old: Some(vec![Value::Text(b"1"), Value::Null]),
            new: vec![Value::Text(b"2"), Value::Text(b"-1")],
        };
        assert_eq!(Message::read(&changed), Ok(expected));
        let gone = delete(9, &[Some("1"), None]);
        let expected = Message::Delete { relation: 9, old: vec![Value::Text(b"1"), Value::Null] };
        assert_eq!(Message::read(&gone), Ok(expected));
        assert_eq!(Message::read(&truncate(&[9, 8])), Ok(Message::Truncate { relations: vec![9, 8] }));
        assert_eq!(Message::read(b"B and whatever else"), Ok(Message::Other));
        assert_eq!(Message::read(b"?"), Err(NoMessage::Unknown(b'?')));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::read(&bytes);
        }

        /// Real messages, cut short or with a byte changed: never more values than bytes.
        #[test]
        fn damaged_messages_are_read_or_refused(
            texts in prop::collection::vec(prop::option::of("[a-z0-9]{0,12}"), 0..8),
            which in 0usize..5, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        ) {
            let values: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
            let mut bytes = match which {
                0 => insert(1, &values),
                1 => update(1, Some(&values), &values),
                2 => delete(1, &values),
                3 => truncate(&[1, 2, 3]),
                _ => relation(1, &["id", "item", "moved"]),
            };
            prop_assert!(Message::read(&bytes).is_ok());
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            match Message::read(&bytes) {
                Ok(_) if cut => prop_assert!(false, "a message that was cut has been read"),
                Ok(Message::Insert { new, .. }) => prop_assert!(new.len() <= bytes.len()),
                Ok(Message::Truncate { relations }) => prop_assert!(relations.len() <= bytes.len()),
                _ => {}
            }
        }
    }
}
