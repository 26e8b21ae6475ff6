//! What storectl says and asks: results on standard output, talk on standard error, questions where a person sits.

use crate::fault::{Code, Fault};
use std::io::{BufRead, IsTerminal, Read, Write};
use tokio::signal::unix::{SignalKind, signal};

/// A secret or an answer is one line, and no longer.
const LINE_BYTES_MAX: u64 = 4_096;
/// The token may come this way, so that it is in no argument list.
const TOKEN_VARIABLE: &str = "SHOPSMART_TOKEN";

/// Talk. Without standard error there is nobody to tell.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A result.
pub fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// From now on Ctrl-C and a terminal that is closed end nothing: what has been begun comes to its end.
pub fn stays() -> Result<(), Fault> {
    let deaf = |kind| signal(kind).map(drop);
    // Who has listened to a signal once is not ended by it any more, although nobody listens.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .and_then(|runtime| {
            let _inside = runtime.enter();
            deaf(SignalKind::interrupt())?;
            deaf(SignalKind::hangup())
        })
        .map_err(|error| Fault::caused(Code::E901, "signals can't be left unheard", error))
}

/// Whether somebody sits there who can answer.
#[must_use]
pub fn has_somebody() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks one question; `None` when only the line's end was typed.
pub fn ask(question: &str) -> Result<Option<String>, Fault> {
    let _ = write!(std::io::stderr(), "{question}: ");
    let line = line()?;
    Ok(Some(line).filter(|line| !line.is_empty()))
}

/// One line from standard input, without the white space around it.
pub fn line() -> Result<String, Fault> {
    let mut line = String::new();
    let mut input = std::io::BufReader::new(std::io::stdin().take(LINE_BYTES_MAX));
    input
        .read_line(&mut line)
        .map_err(|error| Fault::caused(Code::E101, "cannot read from standard input", error))?;
    Ok(line.trim().to_owned())
}

/// The token, where the environment has it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
pub fn token_in_environment() -> Option<String> {
    std::env::var(TOKEN_VARIABLE).ok().filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_is_closed_ends_nothing_that_stays() {
        stays().unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        // SIGHUP and SIGINT, the first two.
        assert_eq!(caught & 0b11, 0b11);
    }
}
