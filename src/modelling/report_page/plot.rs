//! Draws a plot with two axes as inline SVG. All lengths are in units of the SVG's view box.

use maud::{Markup, html};

/// An axis from `low` to `high`. A tick is a pair of value and text.
pub(super) struct Axis {
    pub(super) label: String,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Builds an axis from 0 to 1 with a tick at every 0.2.
    pub(super) fn share(label: &str) -> Self {
        let ticks =
            [0, 20, 40, 60, 80, 100].map(|part| (f64::from(part) / 100.0, format!("{:.1}", f64::from(part) / 100.0)));
        Self { label: label.to_owned(), low: 0.0, high: 1.0, ticks: ticks.to_vec() }
    }

    /// Returns the position of a value on the axis: 0 at `low`, 1 at `high`.
    fn position(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }
}

pub(super) struct Plot {
    pub(super) title: String,
    /// The id of the plot's title element, unique on the page.
    pub(super) id: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 44.0;

/// Writes a length with one decimal, which is finer than a screen's pixel.
pub(super) fn at(length: f64) -> String {
    format!("{length:.1}")
}

impl Plot {
    /// Returns the distance of a value from the left edge.
    pub(super) fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * self.x.position(value)
    }

    /// Returns the distance of a value from the top edge.
    pub(super) fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * self.y.position(value)
    }

    /// Returns the attribute `points` of a polyline through these values.
    pub(super) fn line(&self, points: impl IntoIterator<Item = (f64, f64)>) -> String {
        let point = |(x, y)| format!("{},{}", at(self.x(x)), at(self.y(y)));
        points.into_iter().map(point).collect::<Vec<_>>().join(" ")
    }

    /// Returns the whole SVG: axes, grid and labels around `drawing`, and a title for screen readers.
    pub(super) fn around(&self, drawing: &Markup) -> Markup {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let middle = f64::midpoint(TOP, bottom);
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby=(self.id) {
                title id=(self.id) { (self.title) }
                @for (value, text) in &self.x.ticks {
                    @let x = at(self.x(*value));
                    line.grid x1=(x) x2=(x) y1=(at(TOP)) y2=(at(bottom)) {}
                    text x=(x) y=(at(bottom + 16.0)) text-anchor="middle" { (text) }
                }
                @for (value, text) in &self.y.ticks {
                    @let y = self.y(*value);
                    line.grid x1=(at(LEFT)) x2=(at(right)) y1=(at(y)) y2=(at(y)) {}
                    text x=(at(LEFT - 6.0)) y=(at(y + 4.0)) text-anchor="end" { (text) }
                }
                line.axis x1=(at(LEFT)) x2=(at(right)) y1=(at(bottom)) y2=(at(bottom)) {}
                line.axis x1=(at(LEFT)) x2=(at(LEFT)) y1=(at(TOP)) y2=(at(bottom)) {}
                text x=(at(f64::midpoint(LEFT, right))) y=(at(HEIGHT - 6.0)) text-anchor="middle" { (self.x.label) }
                text x="0" y="0" text-anchor="middle" transform=(format!("translate(13 {middle:.1}) rotate(-90)")) {
                    (self.y.label)
                }
                (drawing)
            }
        }
    }
}
