//! Values as the server sends them, brought to ours: bounded, and nothing that is exact made inexact.

use crate::pos::mapping::{Cell, TEXT_BYTES_MAX};
use mysql::Value;
use mysql::consts::ColumnType;

/// The server sends text; the column says what it means. A DECIMAL stays the text that it is.
#[must_use]
pub fn bounded(value: Option<&Value>, column: ColumnType) -> Cell {
    let bytes = match value {
        None | Some(Value::NULL) => return Cell::Null,
        Some(Value::Bytes(bytes)) => bytes,
        Some(Value::Int(number)) => return Cell::Integer(*number),
        Some(Value::UInt(number)) => return whole(*number),
        Some(Value::Float(number)) => return Cell::Real(f64::from(*number)),
        Some(Value::Double(number)) => return Cell::Real(*number),
        // These come in the binary protocol only, which is not spoken here.
        Some(Value::Date(..) | Value::Time(..)) => return Cell::Bytes(0),
    };
    if bytes.len() > TEXT_BYTES_MAX {
        return Cell::Long(bytes.len());
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return Cell::Bytes(bytes.len()) };
    match column {
        ColumnType::MYSQL_TYPE_TINY
        | ColumnType::MYSQL_TYPE_SHORT
        | ColumnType::MYSQL_TYPE_INT24
        | ColumnType::MYSQL_TYPE_LONG
        | ColumnType::MYSQL_TYPE_LONGLONG
        | ColumnType::MYSQL_TYPE_YEAR => {
            text.parse().map_or_else(|_| Cell::Text(text.to_owned()), Cell::Integer)
        }
        ColumnType::MYSQL_TYPE_FLOAT | ColumnType::MYSQL_TYPE_DOUBLE => {
            text.parse().map_or_else(|_| Cell::Text(text.to_owned()), Cell::Real)
        }
        _ => Cell::Text(text.to_owned()),
    }
}

/// Above 2^63 a number is its text.
fn whole(number: u64) -> Cell {
    i64::try_from(number).map_or_else(|_| Cell::Text(number.to_string()), Cell::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, column: ColumnType) -> Cell {
        bounded(Some(&Value::Bytes(text.into())), column)
    }

    #[test]
    fn a_value_is_what_its_column_says() {
        assert_eq!(read("7", ColumnType::MYSQL_TYPE_LONG), Cell::Integer(7));
        assert_eq!(read("9223372036854775807", ColumnType::MYSQL_TYPE_LONGLONG), Cell::Integer(i64::MAX));
        let beyond = "18446744073709551615";
        assert_eq!(read(beyond, ColumnType::MYSQL_TYPE_LONGLONG), Cell::Text(beyond.to_owned()));
        assert_eq!(read("11.080", ColumnType::MYSQL_TYPE_NEWDECIMAL), Cell::Text("11.080".to_owned()));
        assert_eq!(
            read("11.079999999999998", ColumnType::MYSQL_TYPE_DOUBLE),
            Cell::Real(11.079_999_999_999_998)
        );
        assert_eq!(read("0042", ColumnType::MYSQL_TYPE_VAR_STRING), Cell::Text("0042".to_owned()));
        assert_eq!(bounded(Some(&Value::NULL), ColumnType::MYSQL_TYPE_LONG), Cell::Null);
    }

    #[test]
    fn a_value_is_bounded_whatever_it_holds() {
        assert_eq!(read(&"x".repeat(10_000), ColumnType::MYSQL_TYPE_BLOB), Cell::Long(10_000));
        let bytes = Value::Bytes(vec![0xff, 0x41]);
        assert_eq!(bounded(Some(&bytes), ColumnType::MYSQL_TYPE_VAR_STRING), Cell::Bytes(2));
    }
}
