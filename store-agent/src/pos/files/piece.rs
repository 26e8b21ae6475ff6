//! What a parser makes of a file, piece by piece, and why it can't go on.

use crate::agent::{SetAside, SourceDocument};
use crate::pos::source::Notes;
use std::io;

/// What became of one line or one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    pub documents: Vec<SourceDocument>,
    pub set_aside: Vec<SetAside>,
    pub notes: Notes,
    /// It moves nothing, by the mapping or by what it is.
    pub is_left_out: bool,
}

impl Piece {
    pub fn left_out() -> Piece {
        Piece { is_left_out: true, ..Piece::default() }
    }

    pub fn aside(reason: String, row: String) -> Piece {
        Piece { set_aside: vec![SetAside { reason, row }], ..Piece::default() }
    }
}

/// Why the rest of a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("the disk did not give it")]
    Io(#[source] io::Error),
    #[error("it ends in the middle; ask for it again from where it was written")]
    Unfinished,
    #[error("{0}")]
    Format(String),
}

impl Broken {
    pub fn format(what: impl Into<String>) -> Broken {
        Broken::Format(what.into())
    }
}

/// A file's own way of saying that it is none of ours.
pub fn refused_by_its_first_bytes(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x1f, 0x8b, ..] | [b'P', b'K', 3, 4, ..] | [0xfd, b'7', b'z', ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Some("it is compressed, and compressed files are not read; let it be delivered as it is")
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            Some("it is written in UTF-16, which is not read; let it be written as UTF-8")
        }
        _ => None,
    }
}

/// A text as messages repeat it.
pub fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect()
}
