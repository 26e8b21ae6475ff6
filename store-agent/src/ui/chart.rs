//! Pictures of figures, drawn here as SVG. Each stands beside a table with the same figures, so that nothing is only in the picture; two
//! series differ in pattern as well as in colour.

use maud::{Markup, html};

/// One bar: what it is, how much of the first series, how much of the second on top of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    pub label: String,
    pub first: f64,
    pub second: f64,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 200.0;
const BASE: f64 = 170.0;
const TOP: f64 = 22.0;

/// Standing bars, as for days. `id` is the picture's own on its page; `title` says in a sentence what the picture shows.
#[must_use]
pub fn columns(id: &str, title: &str, bars: &[Bar]) -> Markup {
    let most = bars.iter().map(|bar| bar.first + bar.second).fold(0.0, f64::max).max(1.0);
    let step = WIDTH / count(bars.len().max(1));
    let width = (step * 0.72).min(48.0);
    // A label under each bar would run into the next when there are many.
    let every = bars.len().div_ceil(7).max(1);
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(title) {
            defs {
                pattern #(format!("stripes-{id}")) width="8" height="8" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect.second width="8" height="8" {}
                    rect.stripe width="3" height="8" {}
                }
            }
            line.base x1="0" x2=(WIDTH) y1=(BASE) y2=(BASE) {}
            @for (at, bar) in bars.iter().enumerate() {
                @let left = count(at) * step + (step - width) / 2.0;
                @let first = scaled(bar.first, most);
                @let second = scaled(bar.second, most);
                rect.first x=(round(left)) y=(round(BASE - first)) width=(round(width)) height=(round(first)) rx="2" {}
                @if second > 0.0 {
                    rect fill=(format!("url(#stripes-{id})")) x=(round(left)) y=(round(BASE - first - second)) width=(round(width)) height=(round(second)) rx="2" {}
                }
                @let sum = bar.first + bar.second;
                @if sum > 0.0 {
                    text.value x=(round(left + width / 2.0)) y=(round(BASE - first - second - 6.0)) text-anchor="middle" { (sum) }
                }
                @if at % every == 0 {
                    text.label x=(round(left + width / 2.0)) y=(BASE + 20.0) text-anchor="middle" { (bar.label) }
                }
            }
        }
    }
}

fn scaled(value: f64, most: f64) -> f64 {
    value / most * (BASE - TOP)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "so many bars fit no screen")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(first: f64, second: f64) -> Bar {
        Bar { label: "<b>1 Nov".to_owned(), first, second }
    }

    #[test]
    fn the_tallest_bar_reaches_the_top_and_nothing_leaves_the_picture() {
        let drawn = columns("a", "orders", &[bar(3.0, 1.0), bar(0.0, 0.0), bar(2.0, 0.0)]).into_string();
        assert!(drawn.contains("y=\"22\""), "{drawn}");
        assert!(!drawn.contains("=\"-") && !drawn.contains("NaN"), "{drawn}");
        assert!(drawn.contains("&lt;b&gt;") && !drawn.contains("<b>"), "labels are text");
        assert!(!drawn.contains("style="), "the policy forbids it");
    }

    #[test]
    fn nothing_at_all_is_a_picture_of_nothing() {
        assert!(!columns("a", "none", &[]).into_string().contains("NaN"));
        assert!(!columns("a", "zero", &[bar(0.0, 0.0)]).into_string().contains("NaN"));
    }
}
