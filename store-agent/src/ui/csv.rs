//! Files for spreadsheets: UTF-8 with a mark at its beginning, commas, lines that end in CR and LF, written piece by piece.
//!
//! **Invariant:** no field begins like a formula. A spreadsheet that opens the file must not run what somebody typed as a reason.

use super::failure::Failure;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use std::fmt::Write;

/// By this a spreadsheet knows that the file is UTF-8.
pub const MARK: &str = "\u{feff}";

/// One line of a file as it grows.
#[derive(Debug, Default)]
pub struct Lines {
    text: String,
    is_within: bool,
}

impl Lines {
    /// A field that people may have written.
    pub fn text(&mut self, field: &str) -> &mut Self {
        self.comma();
        let guard = if looks_like_a_formula(field) { "'" } else { "" };
        // Writing into a text can't fail.
        let _ = write!(self.text, "\"{guard}{}\"", field.replace('"', "\"\"").replace(['\r', '\n'], " "));
        self
    }

    /// A number, which may begin with a minus.
    pub fn number(&mut self, number: impl std::fmt::Display) -> &mut Self {
        self.comma();
        let _ = write!(self.text, "{number}");
        self
    }

    pub fn end(&mut self) {
        self.text.push_str("\r\n");
        self.is_within = false;
    }

    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }

    fn comma(&mut self) {
        if std::mem::replace(&mut self.is_within, true) {
            self.text.push(',');
        }
    }
}

fn looks_like_a_formula(field: &str) -> bool {
    // Full-width signs count as well: some spreadsheets read them as the plain ones.
    field
        .trim_start()
        .starts_with(['=', '+', '-', '@', '\t', '\r', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
}

/// A file whose pieces are asked for one after the other, until there is none. A piece that can't be had breaks the file off, so that nobody
/// takes it for whole.
pub fn file<S, F>(name: &str, head: String, state: S, next: impl Fn(S) -> F + Send + 'static) -> Response
where
    S: Send + 'static,
    F: Future<Output = Result<Option<(String, S)>, Failure>> + Send,
{
    let first = Bytes::from(format!("{MARK}{head}"));
    let rest = stream::unfold((Some(state), next), |(state, next)| async {
        match next(state?).await {
            Ok(Some((piece, state))) => Some((Ok(Bytes::from(piece)), (Some(state), next))),
            Ok(None) => None,
            Err(failure) => {
                let error = std::io::Error::other(format!("the file breaks off: {}", failure.code()));
                Some((Err(error), (None, next)))
            }
        }
    });
    let whole = stream::once(async { Ok::<_, std::io::Error>(first) });
    let body = Body::from_stream(futures_util::StreamExt::chain(whole, rest));
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\""))
        .unwrap_or(HeaderValue::from_static("attachment"));
    let kind = HeaderValue::from_static("text/csv; charset=utf-8");
    ([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(fields: &[&str]) -> String {
        let mut lines = Lines::default();
        for field in fields {
            lines.text(field);
        }
        lines.end();
        lines.into_text()
    }

    #[test]
    fn nothing_that_somebody_wrote_runs_in_a_spreadsheet() {
        for evil in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =cmd|' /C calc'!A0", "\u{ff1d}1"] {
            let written = line(&[evil]);
            assert!(written.starts_with("\"'"), "{written:?}");
        }
        assert_eq!(line(&["Bananas"]), "\"Bananas\"\r\n");
    }

    #[test]
    fn quotes_commas_and_line_ends_stay_within_their_field() {
        assert_eq!(
            line(&["a,b", "say \"hi\"", "two\r\nlines"]),
            "\"a,b\",\"say \"\"hi\"\"\",\"two  lines\"\r\n"
        );
    }

    #[test]
    fn numbers_keep_their_minus() {
        let mut lines = Lines::default();
        lines.number(-1.5).text("x").end();
        lines.number(2).end();
        assert_eq!(lines.into_text(), "-1.5,\"x\"\r\n2\r\n");
    }
}
