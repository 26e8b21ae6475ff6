//! What `store-agent pos check` prints: a look at a source for the person who maps it.

use super::source::{Checkup, MovementShown};
use crate::agent::{ItemKey, SourceDocument};
use std::fmt::Write;

/// Movements and figures that a look shows.
pub const SHOWN_MAX: usize = 10;

/// The look as text; nothing in it but what the mapping makes of the rows.
#[must_use]
pub fn text(source: &str, found: &Checkup) -> String {
    let mut text = format!("source {source}:");
    if !found.tables.is_empty() {
        // Writing into a string can't fail.
        let _ = write!(text, " tables {}", found.tables.join(", "));
    }
    text.push('\n');
    if found.rows > 0 {
        let _ = writeln!(
            text,
            "  {} newest rows looked at, {} of them left out by the mapping; the last movements:",
            found.rows, found.left_out
        );
        table(&found.movements, &mut text);
    }
    if !found.on_hand.is_empty() {
        text.push_str("  on hand, as the POS has it:\n");
        for (item, quantity) in &found.on_hand {
            let _ = writeln!(text, "    {item:<24} {quantity:>12}");
        }
    }
    if found.problems.is_empty() {
        text.push_str("  nothing wrong\n");
    }
    for problem in &found.problems {
        let _ = writeln!(text, "  WRONG: {problem}");
    }
    text
}

fn table(movements: &[MovementShown], text: &mut String) {
    let head = ["reference", "kind", "item", "quantity", "at", "reason"].map(ToOwned::to_owned);
    let rows: Vec<[String; 6]> = movements
        .iter()
        .cloned()
        .map(|of| [of.reference, of.kind.to_owned(), of.item, of.quantity, of.at, of.reason])
        .collect();
    let all: Vec<&[String; 6]> = std::iter::once(&head).chain(&rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for row in &all {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "    {}", cells.join("  ").trim_end());
    }
}

/// A document as a person reads it: its first line, and how many more there are.
#[must_use]
pub fn movement_shown(of: &SourceDocument) -> MovementShown {
    let document = &of.document;
    let line = document.lines.first();
    let more = match document.lines.len() {
        0 | 1 => String::new(),
        lines => format!(" and {} more lines", lines - 1),
    };
    let item = line.map(|line| match &line.item {
        ItemKey::Sku(sku) => sku.to_string(),
        ItemKey::Gtin(gtin) => gtin.to_string(),
    });
    let at = jiff::Timestamp::from_millisecond(document.occurred_at.0);
    MovementShown {
        reference: document.reference.to_string(),
        kind: document.kind.name(),
        item: item.unwrap_or_default() + &more,
        quantity: line.map(|line| line.quantity.to_string()).unwrap_or_default(),
        at: at.map_or_else(|_| document.occurred_at.to_string(), |at| at.to_string()),
        reason: document.reason.clone().unwrap_or_default(),
    }
}
