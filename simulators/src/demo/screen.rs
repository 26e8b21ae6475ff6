//! What the person in front sees: on a terminal a few lines that are drawn again and again, elsewhere one plain line now
//! and then. Everything else that is said scrolls by above.

use super::options::Time;
use crate::latency::Percentiles;
use std::io::{IsTerminal, Stdout, Write};
use std::time::{Duration, Instant};

const BAR_CELLS: usize = 30;
/// How often a log gets a line.
const PLAIN_EVERY: Duration = Duration::from_secs(2);

/// Where the run stands.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub elapsed: Duration,
    pub sell_for: Duration,
    pub progress: f64,
    pub lines_sent: u64,
    pub recorded: u64,
    pub duplicates: u64,
    pub visible: u64,
    pub lag: Percentiles,
    pub wire_bytes: u64,
    pub on_line: usize,
    pub cut_off: usize,
    pub down: usize,
}

/// The terminal, or the log that stands in for it.
pub struct Screen {
    out: Stdout,
    is_terminal: bool,
    drawn: usize,
    last_plain: Option<Instant>,
}

impl Default for Screen {
    fn default() -> Self {
        let out = std::io::stdout();
        Self { is_terminal: out.is_terminal(), out, drawn: 0, last_plain: None }
    }
}

impl Screen {
    /// Says something that stays.
    pub fn say(&mut self, text: &str) {
        self.wipe();
        self.write(&format!("{text}\n"));
    }

    /// Shows where the run stands; overwrites what it showed before.
    pub fn draw(&mut self, view: &View, now: Instant) {
        if self.is_terminal {
            self.wipe();
            let lines = block(view);
            self.drawn = lines.len();
            self.write(&(lines.join("\n") + "\n"));
        } else if self.last_plain.is_none_or(|last| now.saturating_duration_since(last) >= PLAIN_EVERY) {
            self.last_plain = Some(now);
            self.write(&format!("{}\n", line(view)));
        }
    }

    /// Leaves the last picture standing.
    pub fn settle(&mut self, view: &View, now: Instant) {
        self.last_plain = None;
        self.draw(view, now);
        self.drawn = 0;
    }

    fn wipe(&mut self) {
        if self.drawn > 0 {
            // Up, and clear from there to the end.
            self.write(&format!("\x1b[{}A\x1b[J", self.drawn));
            self.drawn = 0;
        }
    }

    /// A closed pipe is no reason to stop the run.
    fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

fn block(view: &View) -> Vec<String> {
    let cells = (0..BAR_CELLS).map(|cell| if share(cell) < view.progress { '█' } else { '░' });
    let bar: String = cells.collect();
    vec![
        String::new(),
        format!("  selling  {bar}  {} s of {}", view.elapsed.as_secs(), Time(view.sell_for)),
        format!(
            "  tills    {} lines sent, {} recorded, duplicates: {}",
            grouped(view.lines_sent),
            grouped(view.recorded),
            grouped(view.duplicates)
        ),
        format!("  hub      {} lines visible, {}", grouped(view.visible), lag(&view.lag)),
        format!("  wire     {} in all, {}", bytes(view.wire_bytes), per_line(view)),
        format!("  stores   {} on line, {} cut off, {} down", view.on_line, view.cut_off, view.down),
    ]
}

fn line(view: &View) -> String {
    format!(
        "{:>4} s  sent {}  recorded {}  visible {}  {}  {}  on line {} cut off {} down {}",
        view.elapsed.as_secs(),
        view.lines_sent,
        view.recorded,
        view.visible,
        lag(&view.lag),
        per_line(view),
        view.on_line,
        view.cut_off,
        view.down
    )
}

fn share(cell: usize) -> f64 {
    f64::from(u32::try_from(cell).unwrap_or(0)) / f64::from(u32::try_from(BAR_CELLS).unwrap_or(1))
}

fn lag(lag: &Percentiles) -> String {
    if lag.samples == 0 {
        return "lag not measured yet".to_owned();
    }
    format!("lag p50 {:.1} ms, p99 {:.1} ms", lag.p50, lag.p99)
}

fn per_line(view: &View) -> String {
    match wire_bytes_per_line(view.wire_bytes, view.recorded) {
        Some(bytes) => format!("{bytes:.1} bytes a line"),
        None => "no line yet".to_owned(),
    }
}

/// Bytes on the wire for each recorded line.
#[must_use]
pub fn wire_bytes_per_line(bytes: u64, lines: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
    let per_line = bytes as f64 / lines as f64;
    (lines > 0).then_some(per_line)
}

/// 1234567 as 1,234,567.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 1234567 as 1.2 MB.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
    let exact = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", exact / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", exact / 1e6),
        _ => format!("{:.1} GB", exact / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(
            [grouped(0), grouped(999), grouped(1_000), grouped(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!([bytes(999), bytes(1_234), bytes(45_600_000)], ["999 B", "1.2 KB", "45.6 MB"]);
    }

    #[test]
    fn every_line_of_the_picture_fits_a_narrow_terminal() {
        let view = View {
            elapsed: Duration::from_secs(600),
            sell_for: Duration::from_secs(600),
            progress: 1.0,
            lines_sent: 12_345_678,
            recorded: 12_345_678,
            duplicates: 123_456,
            visible: 12_345_678,
            lag: Percentiles { p50: 5000.0, p99: 5000.0, max: 5000.0, samples: 1 },
            wire_bytes: 12_345_678_901,
            on_line: 200,
            cut_off: 200,
            down: 200,
        };
        assert!(block(&view).iter().all(|line| line.chars().count() < 80), "{:#?}", block(&view));
    }
}
