//! One measured figure beside its target, and the table of all of them.

use serde::Serialize;
use std::fmt::Write;

/// A figure, what it should be, and how it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    pub name: &'static str,
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub how: String,
}

/// The bound a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    #[must_use]
    pub fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }

    fn describe(self, unit: &str) -> String {
        match self {
            Self::AtMost(bound) => format!("≤ {} {unit}", number(bound)),
            Self::AtLeast(bound) => format!("≥ {} {unit}", number(bound)),
        }
    }
}

impl Figure {
    #[must_use]
    pub fn new(name: &'static str, what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name, what: what.into(), value, unit, target: None, met: None, how: String::new() }
    }

    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.met = Some(target.is_met_by(self.value));
        self
    }

    /// Says how it was measured, where that is not plain.
    #[must_use]
    pub fn how(mut self, how: impl Into<String>) -> Self {
        self.how = how.into();
        self
    }
}

/// All figures, one a line, for people.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::new();
    let width = figures.iter().map(|figure| figure.what.chars().count()).max().unwrap_or(0);
    for figure in figures {
        let value = format!("{} {}", number(figure.value), figure.unit);
        let verdict = match (figure.met, figure.target) {
            (Some(true), Some(target)) => format!("met      {}", target.describe(figure.unit)),
            (Some(false), Some(target)) => format!("NOT MET  {}", target.describe(figure.unit)),
            _ => String::new(),
        };
        // Writing into a string never fails.
        let _ = writeln!(text, "  {:<width$}  {value:>24}  {verdict}", figure.what);
    }
    text
}

/// A count as a figure.
#[must_use]
pub fn as_f64(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure to be shown")]
    let figure = count as f64;
    figure
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 10_000.0 => crate::demo::screen::grouped(whole(value)),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn whole(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a figure to be shown; saturates"
    )]
    let whole = value.round() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_knows_whether_it_meets_its_target() {
        let figure = |value| Figure::new("wire", "bytes", value, "B").target(Target::AtMost(8.0));
        assert_eq!([figure(8.0).met, figure(8.1).met], [Some(true), Some(false)]);
        assert!(Target::AtLeast(10.0).is_met_by(10.0) && !Target::AtLeast(10.0).is_met_by(9.9));
    }

    #[test]
    fn the_table_has_a_line_for_each_figure() {
        let figures = [
            Figure::new("a", "lines a second", 123_456.0, "/s").target(Target::AtLeast(200_000.0)),
            Figure::new("b", "bytes", 7.25, "B"),
        ];
        let text = table(&figures);
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("123,456 /s") && text.contains("NOT MET") && text.contains("7.25 B"), "{text}");
    }
}
