//! The picture: for each policy, how many orders fail against how many are refused although the goods are there. Settings of
//! one policy are points of one line; nearer to the lower left corner is better.

use super::compare::{Outcome, Policy};
use super::figures::{failed_in_thousand, refused_percent};
use super::report::{Report, SeasonReport};
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (1040, 470);
const INK: RGBColor = RGBColor(0x33, 0x41, 0x55);
const GRID: RGBColor = RGBColor(0xe2, 0xe8, 0xf0);
const PAPER: RGBColor = RGBColor(0xf8, 0xfa, 0xfc);
const FONT: &str = "sans-serif";

/// The picture as SVG.
pub fn draw(report: &Report) -> Result<String> {
    let mut svg = String::new();
    {
        let paper = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        // Its errors borrow the drawing; what they say is kept.
        draw_on(&paper, report).map_err(|error| anyhow!("drawing the picture: {error}"))?;
    }
    Ok(svg)
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw_on<'a>(paper: &DrawingArea<SVGBackend<'a>, Shift>, report: &Report) -> Drawn<'a> {
    paper.fill(&PAPER)?;
    let panels = paper.split_evenly((1, report.seasons.len().max(1)));
    for (panel, season) in panels.iter().zip(&report.seasons) {
        draw_season(panel, season)?;
    }
    paper.present()
}

fn draw_season<'a>(panel: &DrawingArea<SVGBackend<'a>, Shift>, season: &SeasonReport) -> Drawn<'a> {
    let points: Vec<(Policy, (f64, f64))> = season.outcomes.iter().filter_map(point).collect();
    let most = |axis: fn(&(f64, f64)) -> f64| points.iter().map(|(_, at)| axis(at)).fold(0.0, f64::max);
    let (right, top) = (most(|at| at.0).max(1.0) * 1.15, most(|at| at.1).max(0.1) * 1.12);
    let mut chart = ChartBuilder::on(panel)
        .caption(season.name, (FONT, 18, &INK))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("refused although the goods were there, % of orders tried")
        .y_desc("failed at the shelf, in 1000 orders taken")
        .light_line_style(PAPER)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, 12, &INK))
        .x_label_formatter(&|x| format!("{x:.0}"))
        .draw()?;
    let bold = points.iter().find(|(policy, _)| *policy == Policy::LastKnown);
    for family in families(&points) {
        let (policy, color) = (family[0].0, color(family[0].0));
        // Without anything held back each of them is the last known stock. A single setting makes no line.
        let begin = bold.filter(|_| family.len() > 1);
        let line = begin.into_iter().chain(family).map(|(_, at)| *at);
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))?
            .label(policy.family())
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, color.filled()));
        let size = if matches!(policy, Policy::Buffer { .. }) { 8 } else { 4 };
        chart.draw_series(family.iter().map(|(_, at)| Circle::new(*at, size, color.filled())))?;
        let labels = family.iter().filter(|(policy, _)| is_labelled(*policy)).map(|(policy, at)| {
            let style = (FONT, 12).into_font().color(&color);
            EmptyElement::at(*at) + Text::new(policy.setting(), label_place(*policy), style)
        });
        chart.draw_series(labels)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE)
        .border_style(GRID)
        .label_font((FONT, 13, &INK))
        .draw()
}

fn point(outcome: &Outcome) -> Option<(Policy, (f64, f64))> {
    let orders = &outcome.tally.orders;
    let at = (refused_percent(orders), failed_in_thousand(orders));
    (outcome.policy != Policy::NoWeb && at.0.is_finite() && at.1.is_finite()).then_some((outcome.policy, at))
}

/// Neighbours of one family.
fn families(points: &[(Policy, (f64, f64))]) -> impl Iterator<Item = &[(Policy, (f64, f64))]> {
    points.chunk_by(|(one, _), (other, _)| one.family() == other.family())
}

fn color(policy: Policy) -> RGBColor {
    match policy {
        Policy::NoWeb | Policy::LastKnown => RGBColor(0xdc, 0x26, 0x26),
        Policy::Buffer { .. } => RGBColor(0xd9, 0x77, 0x06),
        Policy::FixedReserve { .. } => RGBColor(0x02, 0x84, 0xc7),
        Policy::VelocityReserve { .. } => RGBColor(0x16, 0x65, 0x34),
        Policy::BothReserves { .. } => RGBColor(0x7c, 0x3a, 0xed),
    }
}

/// The settings of the velocity reserve lie near each other: the product's own and the most careful one are named.
fn is_labelled(policy: Policy) -> bool {
    !matches!(policy, Policy::VelocityReserve { exposure_s: 300 | 3_600 })
}

/// Beside the point, in pixels; families whose points meet write on different sides.
fn label_place(policy: Policy) -> (i32, i32) {
    match policy {
        Policy::Buffer { .. } => (8, -20),
        Policy::VelocityReserve { exposure_s: 900 } => (10, -14),
        Policy::VelocityReserve { .. } => (8, 2),
        Policy::BothReserves { .. } => (10, 6),
        _ => (-12, 8),
    }
}
