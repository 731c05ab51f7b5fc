//! Pictures of a page: drawn for a phone's width, in colours that the page's style sheet puts its own in the place of.

mod fit;
mod metrics;

use std::error::Error as StdError;
use std::ops::Range;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::{Error, Result};

pub use fit::{Effect, above_the_least, forest, slopes};
pub use metrics::{calibration, histogram, lift, precision_recall, roc};

/// Units of width: ten a pixel of a narrow phone, for the positions of what is drawn are whole.
const WIDTH: u32 = 3600;
const HEIGHT: u32 = 2700;
/// Size of text; what is written into the picture is smaller by 1.24².
const FONT: i32 = 150;
/// Room for the numbers and the name of an axis.
const BELOW: u32 = 430;
const LEFT: u32 = 620;
/// Widths of lines, and sizes of dots and dashes.
const THIN: u32 = 10;
const THICK: u32 = 24;
const DOT: i32 = 38;
const DASH: (i32, i32) = (70, 50);

/// Text and axes.
const INK: RGBColor = RGBColor(0x1f, 0x1f, 0x1f);
/// The mesh.
const LINE: RGBColor = RGBColor(0xd0, 0xd0, 0xd0);
/// What a curve is compared with.
const SOFT: RGBColor = RGBColor(0x59, 0x59, 0x59);
/// Class 1, and what there is but one of.
const ONE: RGBColor = RGBColor(0x1f, 0x57, 0x8f);
/// Class 0.
const ZERO: RGBColor = RGBColor(0xa8, 0x47, 0x0f);

/// A picture: what stands within an `svg` element of this view box.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Width of the view box.
    pub width: u32,
    /// Height of the view box.
    pub height: u32,
    /// Elements of SVG.
    pub svg: String,
}

/// What fails within a picture.
type Drawn = std::result::Result<(), Box<dyn StdError>>;
/// Where a picture is drawn.
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
/// What an axis says at a number.
type Tick<'a> = &'a dyn Fn(&f64) -> String;

/// Axes of a picture.
struct Axes<'a> {
    x: Range<f64>,
    y: Range<f64>,
    x_name: &'a str,
    y_name: &'a str,
    x_tick: Tick<'a>,
    y_tick: Tick<'a>,
    /// Room for what stands left of the picture, and how high it is.
    left: u32,
    height: u32,
    /// Numbers at the y axis, at the most.
    y_labels: usize,
}

impl<'a> Axes<'a> {
    fn new((x, x_name): (Range<f64>, &'a str), (y, y_name): (Range<f64>, &'a str), tick: Tick<'a>) -> Self {
        Axes { x, y, x_name, y_name, x_tick: tick, y_tick: tick, left: LEFT, height: HEIGHT, y_labels: 6 }
    }

    /// The picture that `draw` draws between these axes.
    fn picture(self, draw: impl FnOnce(&mut Chart<'_, '_>, &Area<'_>) -> Drawn) -> Result<Picture> {
        let mut svg = String::new();
        self.draw(&mut svg, draw).map_err(|e| Error::Numerics(format!("a picture cannot be drawn: {e}")))?;
        // The page has its own `svg` elements.
        let body = svg.split_once(">\n").and_then(|(_, rest)| rest.rsplit_once("</svg>"));
        let svg = body.map_or(String::new(), |(body, _)| body.to_owned());
        Ok(Picture { width: WIDTH, height: self.height, svg })
    }

    fn draw(&self, svg: &mut String, draw: impl FnOnce(&mut Chart<'_, '_>, &Area<'_>) -> Drawn) -> Drawn {
        let ends = [self.x.start, self.x.end, self.y.start, self.y.end];
        if !ends.iter().all(|end| end.is_finite()) {
            return Err("a number is not finite".into());
        }
        let area = SVGBackend::with_string(svg, (WIDTH, self.height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin_top(60)
            .margin_right(220)
            .x_label_area_size(BELOW)
            .y_label_area_size(self.left)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        let text = ("sans-serif", FONT).into_font().color(&INK);
        chart
            .configure_mesh()
            .axis_style(INK.stroke_width(THIN))
            .bold_line_style(LINE.stroke_width(THIN))
            .light_line_style(TRANSPARENT)
            .set_all_tick_mark_size(40)
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_labels(6)
            .y_labels(self.y_labels)
            .x_label_formatter(&self.x_tick)
            .y_label_formatter(&self.y_tick)
            .x_desc(self.x_name)
            .y_desc(self.y_name)
            .draw()?;
        draw(&mut chart, &area)?;
        drop(chart);
        area.present()?;
        Ok(())
    }
}

/// A line through `points`.
fn line(chart: &mut Chart<'_, '_>, points: impl IntoIterator<Item = (f64, f64)>, colour: RGBColor) -> Drawn {
    chart.draw_series([PathElement::new(points.into_iter().collect::<Vec<_>>(), colour.stroke_width(THICK))])?;
    Ok(())
}

/// A dashed line, which others are compared with.
fn dashes(chart: &mut Chart<'_, '_>, from: (f64, f64), to: (f64, f64)) -> Drawn {
    chart.draw_series(DashedLineSeries::new([from, to], DASH.0, DASH.1, SOFT.stroke_width(THIN + 4)))?;
    Ok(())
}

/// Dots of a radius each.
fn dots(chart: &mut Chart<'_, '_>, points: impl IntoIterator<Item = ((f64, f64), i32)>, colour: RGBColor) -> Drawn {
    chart.draw_series(points.into_iter().map(|(at, radius)| Circle::new(at, radius, colour.filled())))?;
    Ok(())
}

/// Text in the chart.
fn words(chart: &mut Chart<'_, '_>, text: String, at: (f64, f64), colour: RGBColor, anchor: (HPos, VPos)) -> Drawn {
    let style = ("sans-serif", FONT).into_font().color(&colour).pos(Pos::new(anchor.0, anchor.1));
    chart.draw_series([Text::new(text, at, style)])?;
    Ok(())
}

/// `text`, cut to what takes the room of `most` letters, and how many it takes: letters of East Asia take twice that of others.
fn fitted(text: &str, most: usize) -> (String, usize) {
    let room = |letter: char| if letter >= '\u{2e80}' { 2 } else { 1 };
    let whole: usize = text.chars().map(room).sum();
    if whole <= most {
        return (text.to_owned(), whole);
    }
    let (mut cut, mut taken) = (String::new(), 1);
    for letter in text.chars().take_while(|letter| {
        taken += room(*letter);
        taken <= most
    }) {
        cut.push(letter);
    }
    cut.push('…');
    (cut, most)
}

/// A number of an axis, without the rounding of its sums.
fn plain(x: &f64) -> String {
    let rounded = (x * 1e6).round() / 1e6;
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_to_the_room_there_is() {
        assert_eq!(fitted("age", 4), ("age".to_owned(), 3));
        assert_eq!(fitted("abcdef", 4), ("abc…".to_owned(), 4));
        assert_eq!(fitted("年齢区分", 8), ("年齢区分".to_owned(), 8));
        assert_eq!(fitted("年齢区分", 6), ("年齢…".to_owned(), 6));
        assert_eq!(fitted("", 6), (String::new(), 0));
        assert_eq!([plain(&-0.0), plain(&0.30000000000000004), plain(&-1e-9)], ["0", "0.3", "0"]);
    }

    #[test]
    fn what_is_not_finite_is_an_error() {
        let axes = Axes::new((0.0..f64::NAN, ""), (0.0..1.0, ""), &plain);
        assert!(axes.picture(|_, _| Ok(())).is_err());
    }
}
