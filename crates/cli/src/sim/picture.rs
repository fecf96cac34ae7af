//! The network at several moments, side by side.

use std::fmt::Write as _;
use std::time::Duration;

use bitcraps_sim::scenario::{Sketch, Step};

/// Moments that are drawn.
const FRAMES: u32 = 8;
const COLUMNS: usize = 4;
/// Sides of a frame and what is around it, in pixels.
const FRAME: [f64; 2] = [300.0, 230.0];
const MARGIN: f64 = 16.0;
/// Height of the title, of what is written above each frame, and of the legend.
const TITLE: f64 = 34.0;
const CAPTION: f64 = 20.0;
const LEGEND: f64 = 26.0;
/// Colours of groups and of radios (Okabe and Ito, 2008: told apart by everybody).
const GROUPS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8a6d00"];
const RADIOS: [&str; 4] = ["#6b7280", "#7c9cc9", "#c9a227", "#8fb996"];
const MADE: &str = "#c1121f";
const INK: &str = "#1f2937";

/// Sketches of a course, to be drawn at its end.
pub(super) struct Picture {
    length: Duration,
    sketches: Vec<(Duration, Sketch)>,
}

impl Picture {
    pub(super) const fn of(length: Duration) -> Self {
        Self { length, sketches: Vec::new() }
    }

    /// Keeps what is to be drawn: the end of each part of the course.
    pub(super) fn look(&mut self, step: &Step<'_>) {
        let next = self.length * (self.sketches.len() as u32 + 1) / FRAMES;
        if step.at >= next {
            self.sketches.push((step.at, step.sketch()));
        }
    }

    pub(super) fn svg(&self, name: &str) -> String {
        let columns = COLUMNS.min(self.sketches.len()).max(1);
        let rows = self.sketches.len().div_ceil(columns).max(1);
        let cell = [FRAME[0] + MARGIN, FRAME[1] + CAPTION + MARGIN];
        let width = MARGIN + columns as f64 * cell[0];
        let height = TITLE + rows as f64 * cell[1] + LEGEND;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" \
             fill=\"{INK}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{MARGIN}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
            escaped(name)
        );
        for (at, (time, sketch)) in self.sketches.iter().enumerate() {
            let left = MARGIN + (at % columns) as f64 * cell[0];
            let top = TITLE + (at / columns) as f64 * cell[1];
            frame(&mut out, [left, top], *time, sketch);
        }
        if let Some((_, sketch)) = self.sketches.last() {
            legend(&mut out, height - 8.0, sketch);
        }
        out.push_str("</svg>\n");
        out
    }
}

/// Writing to a text does not fail.
fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    if out.write_fmt(text).is_ok() {
        out.push('\n');
    }
}

fn frame(out: &mut String, [left, top]: [f64; 2], time: Duration, sketch: &Sketch) {
    /// Between the edge of a frame and what is in it.
    const PADDING: f64 = 10.0;
    let alive = sketch.spots.iter().filter(|spot| spot.alive).count();
    let up = sketch.strands.iter().filter(|strand| strand.carries).count();
    let seconds = time.as_secs_f64();
    line(
        out,
        format_args!(
            "<text x=\"{left}\" y=\"{}\">{seconds} s: {alive} of {} nodes, {up} links</text>",
            top + CAPTION - 6.0,
            sketch.spots.len()
        ),
    );
    let top = top + CAPTION;
    let [width, height] = FRAME;
    line(
        out,
        format_args!(
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"#f9fafb\" \
             stroke=\"#d1d5db\"/>"
        ),
    );
    let room = [width - 2.0 * PADDING, height - 2.0 * PADDING];
    let scale = (room[0] / sketch.size[0].max(1e-9)).min(room[1] / sketch.size[1].max(1e-9));
    let shift = [0, 1].map(|axis| (room[axis] - scale * sketch.size[axis]) / 2.0 + PADDING);
    let point = |[x, y]: [f64; 2]| [left + shift[0] + x * scale, top + shift[1] + y * scale];
    for strand in &sketch.strands {
        let [from, to] = strand.ends.map(|end| point(sketch.spots[end].place));
        let (colour, width) = match strand.spare {
            true => (MADE, 2.0),
            false => (RADIOS[strand.radio % RADIOS.len()], 1.0),
        };
        let dashes = if strand.carries { "" } else { " stroke-dasharray=\"2 3\" opacity=\"0.6\"" };
        line(
            out,
            format_args!(
                "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" \
                 stroke-width=\"{width}\"{dashes}/>",
                from[0], from[1], to[0], to[1]
            ),
        );
    }
    let radius = if sketch.spots.len() > 200 { 2.0 } else { 4.0 };
    for spot in &sketch.spots {
        let [x, y] = point(spot.place);
        let colour = GROUPS[spot.group % GROUPS.len()];
        let fill = if spot.alive { colour } else { "#ffffff" };
        line(
            out,
            format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"{colour}\"/>"
            ),
        );
    }
}

fn legend(out: &mut String, y: f64, sketch: &Sketch) {
    /// Groups and radios that are named.
    const NAMED: usize = 6;
    /// Width of a letter, about.
    const LETTER: f64 = 6.6;
    let mut x = MARGIN;
    let mut entry = |out: &mut String, mark: String, name: &str| {
        let name: String = name.chars().take(24).collect();
        line(
            out,
            format_args!("{mark}<text x=\"{}\" y=\"{y}\">{}</text>", x + 20.0, escaped(&name)),
        );
        x += 36.0 + LETTER * name.chars().count() as f64;
        x
    };
    let middle = y - 4.0;
    let mut at = MARGIN;
    let dot = |x: f64, fill: &str, colour: &str| {
        format!(
            "<circle cx=\"{}\" cy=\"{middle}\" r=\"4\" fill=\"{fill}\" stroke=\"{colour}\"/>",
            x + 8.0
        )
    };
    let dash = |x: f64, colour: &str, more: &str| {
        format!(
            "<line x1=\"{x}\" y1=\"{middle}\" x2=\"{}\" y2=\"{middle}\" stroke=\"{colour}\" \
             stroke-width=\"2\"{more}/>",
            x + 16.0
        )
    };
    for (number, group) in sketch.groups.iter().enumerate().take(NAMED) {
        let colour = GROUPS[number % GROUPS.len()];
        at = entry(out, dot(at, colour, colour), group);
    }
    at = entry(out, dot(at, "#ffffff", INK), "not running");
    for (number, radio) in sketch.radios.iter().enumerate().take(NAMED) {
        at = entry(out, dash(at, RADIOS[number % RADIOS.len()], ""), radio);
    }
    at = entry(out, dash(at, INK, " stroke-dasharray=\"2 3\""), "silent");
    if sketch.strands.iter().any(|strand| strand.spare) {
        entry(out, dash(at, MADE, ""), "made by healing");
    }
}

/// Text as it may stand in XML: what controls a terminal or a parser is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use bitcraps_sim::scenario::Scenario;

    use super::*;

    #[test]
    fn a_picture_shows_who_runs_and_which_links_carry() {
        let text = "name = \"a < b\"\nseconds = 8\nwarm_up_s = 1\nsettle_s = 1\n\
            [radios.lan]\nkind = \"wifi\"\n[[nodes]]\nname = \"a\"\ncount = 3\n\
            [[links]]\ngroup = \"a\"\nshape = \"row\"\nradio = \"lan\"\n\
            [[faults]]\nkind = \"kill\"\nnode = \"a-1\"\nat_s = 4.5\n\
            [[faults]]\nkind = \"silence\"\nbetween = [\"a-2\", \"a-3\"]\nat_s = 5.5\n";
        let scenario = Scenario::read(text).unwrap();
        let mut picture = Picture::of(scenario.length());
        scenario.run(false, |step| picture.look(step)).unwrap();
        let svg = picture.svg(&scenario.name);
        assert!(svg.contains("a &lt; b</text>"));
        let captions: Vec<&str> = svg.lines().filter(|line| line.contains(" nodes, ")).collect();
        assert_eq!(captions.len(), 8);
        for (caption, told) in captions.iter().zip([
            "1 s: 3 of 3 nodes, 2 links",
            "2 s: 3 of 3 nodes, 2 links",
            "3 s: 3 of 3 nodes, 2 links",
            "4 s: 3 of 3 nodes, 2 links",
            "5 s: 2 of 3 nodes, 1 links",
            "6 s: 2 of 3 nodes, 0 links",
        ]) {
            assert!(caption.contains(told), "{caption}");
        }
        // The silent link in the last three frames; who is dead is hollow in the last four.
        assert_eq!(svg.matches("opacity=").count(), 3);
        assert_eq!(svg.matches("r=\"4\" fill=\"#ffffff\"").count(), 4 + 1);
    }
}
