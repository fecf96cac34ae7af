use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::f64::consts::TAU;

use bitcraps_topology::read::Network;
use bitcraps_topology::{Cuts, Graph, Snapshot, TopologyReport};
use resvg::{tiny_skia, usvg};

/// Points from one ring to the next.
const RING: f64 = 40.0;
/// Right and down, in points.
type Place = (f64, f64);

/// Peers whose names are written beside them.
const NAMED: usize = 150;

/// For Graphviz.
pub(super) fn dot(network: &Network, _report: &TopologyReport) -> String {
    let cuts = Cuts::of(&network.graph);
    let mut text =
        "graph network {\n  node [shape=circle style=filled fillcolor=white];\n".to_owned();
    for (peer, name) in network.names.iter().enumerate() {
        let label = name.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        let critical = cuts.articulation_points().binary_search(&(peer as u32)).is_ok();
        let mark = if critical { " fillcolor=tomato" } else { "" };
        line(&mut text, format_args!("  {peer} [label=\"{label}\"{mark}];"));
    }
    for link in network.graph.link_list() {
        let bridge = cuts.bridges().binary_search(&link).is_ok();
        let mark = if bridge { " [color=tomato penwidth=3]" } else { "" };
        line(&mut text, format_args!("  {} -- {}{mark};", link.0, link.1));
    }
    text.push_str("}\n");
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.push_str(&what.to_string());
    text.push('\n');
}

/// A drawing: the largest component as rings round a peer in its middle, by hops; the others below.
pub(super) fn svg(network: &Network, report: &TopologyReport) -> String {
    let cuts = Cuts::of(&network.graph);
    let places = places(&network.graph);
    let span = |of: fn(&(f64, f64)) -> f64| {
        let all = places.iter().map(of);
        let (low, high) = all.fold((0.0_f64, 0.0_f64), |(l, h), at| (l.min(at), h.max(at)));
        (low - RING, high - low + 2.0 * RING)
    };
    let ((left, width), (top, height)) = (span(|place| place.0), span(|place| place.1));
    let width = width + name_room(network);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{left:.0} {top:.0} {width:.0} {height:.0}\">\n\
         <style>line{{stroke:#999;stroke-width:1}}.bridge{{stroke:#d33;stroke-width:3}}\
         circle{{fill:#fff;stroke:#333}}.point{{fill:#d33}}text{{font:9px sans-serif}}</style>\n\
         <title>{} peers, {} links; red: single points of failure</title>\n",
        report.measures.peers, report.measures.links
    );
    for link in network.graph.link_list() {
        let (from, to) = (places[link.0 as usize], places[link.1 as usize]);
        let class =
            if cuts.bridges().binary_search(&link).is_ok() { " class=\"bridge\"" } else { "" };
        line(
            &mut text,
            format_args!(
                "<line{class} x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
                from.0, from.1, to.0, to.1
            ),
        );
    }
    for (peer, (x, y)) in places.iter().enumerate() {
        let critical = cuts.articulation_points().binary_search(&(peer as u32)).is_ok();
        let (class, radius) = if critical { (" class=\"point\"", 7) } else { ("", 4) };
        let name = escaped(&network.names[peer]);
        line(
            &mut text,
            format_args!(
                "<circle{class} cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>{name}</title></circle>"
            ),
        );
        if critical || places.len() <= NAMED {
            line(
                &mut text,
                format_args!("<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>", x + 8.0, y + 3.0),
            );
        }
    }
    text.push_str("</svg>\n");
    text
}

/// Points that the longest name may need beyond the margin.
fn name_room(network: &Network) -> f64 {
    /// Of a letter in the mean, in points.
    const LETTER: f64 = 5.0;
    /// Longer names are cut off.
    const LONGEST: usize = 40;
    let longest = network.names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    (LETTER * longest.min(LONGEST) as f64 + 8.0 - RING).max(0.0)
}

/// Why a drawing is not painted.
#[derive(Debug, thiserror::Error)]
pub(super) enum PaintError {
    /// It is no SVG, or too deep.
    #[error("the drawing cannot be read: {0}")]
    Read(#[from] usvg::Error),
    /// It has no area.
    #[error("the drawing is {width} x {height} pixels; there is nothing to paint")]
    Empty {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// It cannot be written as PNG.
    #[error("the picture cannot be encoded: {0}")]
    Encode(String),
}

/// Pixels of the longer side of a picture at most: 64 MB of memory.
const MAX_PIXELS: f32 = 4_000.0;
/// Pixels a point where that leaves room.
const PIXELS_PER_POINT: f32 = 2.0;

/// The drawing of [`svg`] as PNG, with whatever sans-serif font this machine has; without names when
/// it has none.
pub(super) fn png(svg: &str) -> Result<Vec<u8>, PaintError> {
    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_system_fonts();
    // What the library takes for sans-serif is on few machines: any such font will do.
    let sans = |face: &&usvg::fontdb::FaceInfo| {
        let named = face.families.first().is_some_and(|(name, _)| name.ends_with("Sans"));
        named && face.style == usvg::fontdb::Style::Normal
    };
    let usual = usvg::fontdb::Query {
        families: &[usvg::fontdb::Family::SansSerif],
        ..usvg::fontdb::Query::default()
    };
    if fonts.query(&usual).is_none() {
        let face = fonts.faces().find(sans).or(fonts.faces().next());
        let family = face.and_then(|face| Some(face.families.first()?.0.clone()));
        family.into_iter().for_each(|family| fonts.set_sans_serif_family(family));
    }
    let tree = usvg::Tree::from_str(svg, &options)?;
    let size = tree.size();
    let scale = (MAX_PIXELS / size.width().max(size.height())).min(PIXELS_PER_POINT);
    let (width, height) = ((size.width() * scale) as u32, (size.height() * scale) as u32);
    let picture = tiny_skia::Pixmap::new(width, height);
    let mut picture = picture.ok_or(PaintError::Empty { width, height })?;
    picture.fill(tiny_skia::Color::WHITE);
    let scaled = tiny_skia::Transform::from_scale(scale, scale);
    resvg::render(&tree, scaled, &mut picture.as_mut());
    picture.encode_png().map_err(|error| PaintError::Encode(error.to_string()))
}

fn escaped(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.fold(String::new(), |mut out, c| {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c => out.push(c),
        }
        out
    })
}

/// Where each peer is drawn.
fn places(graph: &Graph) -> Vec<Place> {
    let snapshot = Snapshot::of(graph);
    let mut components: Vec<Vec<u32>> = Vec::new();
    let mut seen = vec![false; graph.peers()];
    for seed in (0..graph.peers() as u32).filter_map(|position| snapshot.slot(position)) {
        if seen[seed.0 as usize] {
            continue;
        }
        seen[seed.0 as usize] = true;
        let mut members = vec![seed.0];
        let mut head = 0;
        while let Some(&at) = members.get(head) {
            head += 1;
            for &next in graph.row(at) {
                if !std::mem::replace(&mut seen[next as usize], true) {
                    members.push(next);
                }
            }
        }
        components.push(members);
    }
    components.sort_by_key(|members| std::cmp::Reverse(members.len()));
    let mut places = vec![(0.0, 0.0); graph.peers()];
    let (mut x, mut y, mut tall, mut wide) = (0.0, 0.0, 0.0_f64, 0.0_f64);
    for members in components {
        let (rings, radius) = rings(graph, &members);
        let size = 2.0 * radius + RING;
        if x + size > wide && x > 0.0 {
            (x, y, tall) = (0.0, y + tall, 0.0);
        }
        for (peer, (dx, dy)) in rings {
            places[peer as usize] = (x + radius + dx, y + radius + dy);
        }
        x += size;
        tall = tall.max(size);
        wide = wide.max(size);
    }
    places
}

/// A component as rings: each peer gets an angle as wide as it has leaves behind it.
fn rings(graph: &Graph, members: &[u32]) -> (Vec<(u32, Place)>, f64) {
    let middle = members.iter().copied().max_by_key(|peer| graph.degree(*peer)).unwrap_or(0);
    let mut parent = BTreeMap::from([(middle, middle)]);
    let mut order = vec![middle];
    let mut hops = vec![0_u32];
    let mut head = 0;
    while let Some(&at) = order.get(head) {
        for &next in graph.row(at) {
            if let Entry::Vacant(entry) = parent.entry(next) {
                entry.insert(at);
                order.push(next);
                hops.push(hops[head] + 1);
            }
        }
        head += 1;
    }
    let numbers: BTreeMap<u32, usize> =
        order.iter().enumerate().map(|(at, peer)| (*peer, at)).collect();
    let above: Vec<usize> = order.iter().map(|peer| numbers[&parent[peer]]).collect();
    let mut leaves = vec![0.0_f64; order.len()];
    for at in (1..order.len()).rev() {
        leaves[at] = leaves[at].max(1.0);
        leaves[above[at]] += leaves[at];
    }
    let mut begins = vec![0.0; order.len()];
    let mut used = vec![0.0; order.len()];
    let all = leaves[0].max(1.0);
    let mut found = Vec::with_capacity(order.len());
    let mut radius: f64 = 0.0;
    for (at, peer) in order.iter().enumerate() {
        if at > 0 {
            begins[at] = begins[above[at]] + used[above[at]];
            used[above[at]] += leaves[at];
        }
        let angle = TAU * (begins[at] + leaves[at] / 2.0) / all;
        let away = RING * f64::from(hops[at]);
        radius = radius.max(away);
        found.push((*peer, (away * angle.cos(), away * angle.sin())));
    }
    (found, radius)
}
