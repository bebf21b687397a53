//! The chart: how many times better or worse than the peer, on a logarithmic scale.

use crate::stats::Verdict;
use std::fmt::Write;

const ROW: f64 = 22.0;
const LEFT: f64 = 230.0;
const WIDTH: f64 = 560.0;
const TOP: f64 = 56.0;
/// The scale ends here on both sides; what lies beyond is drawn to the edge and says its number.
const DECADES: f64 = 2.0;

/// One bar of the chart.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) label: String,
    /// How many times better than the peer.
    pub(crate) better: f64,
    /// The bar, as a factor over the peer.
    pub(crate) wanted: Option<f64>,
    pub(crate) met: Option<Verdict>,
}

/// An SVG picture of the run. Bars to the right of the middle line are better than the peer.
pub(crate) fn svg(title: &str, all: &[Row]) -> String {
    let height = TOP + ROW * all.len() as f64 + 16.0;
    let full = LEFT + WIDTH + 90.0;
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{full}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\">{}</text>\n",
        escaped(title)
    );
    for (factor, label) in [
        (0.01, "1/100"),
        (0.1, "1/10"),
        (1.0, "peer"),
        (10.0, "10x better"),
        (100.0, "100x"),
    ] {
        let x = place(factor);
        let _ = writeln!(
            picture,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#bbbbbb\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{label}</text>",
            height - 12.0,
            TOP - 6.0
        );
    }
    for (index, line) in all.iter().enumerate() {
        row(&mut picture, TOP + ROW * index as f64, line);
    }
    picture.push_str("</svg>\n");
    picture
}

fn row(picture: &mut String, y: f64, line: &Row) {
    let better = line.better;
    let colour = match line.met {
        Some(Verdict::Met) => "#2e8b57",
        Some(Verdict::Missed) => "#c0392b",
        Some(Verdict::Inconclusive) => "#999999",
        None => "#4a7ebb",
    };
    let (from, to) = (place(1.0), place(better));
    let _ = writeln!(
        picture,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\" fill=\"{colour}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{better:.2}x</text>",
        LEFT - 8.0,
        y + 15.0,
        escaped(&line.label),
        from.min(to),
        y + 4.0,
        (from - to).abs().max(1.0),
        from.max(to) + 4.0,
        y + 15.0,
    );
    if let Some(bar) = line.wanted {
        let x = place(bar);
        let _ = writeln!(
            picture,
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#000000\" stroke-width=\"2\"/>",
            y + 1.0,
            y + 21.0
        );
    }
}

fn place(factor: f64) -> f64 {
    let decades = if factor.is_finite() && factor > 0.0 {
        factor.log10().clamp(-DECADES, DECADES)
    } else {
        0.0
    };
    LEFT + WIDTH * (decades + DECADES) / (2.0 * DECADES)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_symmetric_and_ends() {
        assert!((place(1.0) - (LEFT + WIDTH / 2.0)).abs() < 1e-9);
        assert!((place(1e9) - (LEFT + WIDTH)).abs() < 1e-9);
        assert!((place(0.0) - place(1.0)).abs() < 1e-9);
        assert!(((place(10.0) - place(1.0)) - (place(1.0) - place(0.1))).abs() < 1e-9);
    }
}
