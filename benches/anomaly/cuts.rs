//! Isolation by random cuts (Liu, Ting and Zhou 2008), the cuts drawn in proportion to the extent of
//! each dimension, and points outside what a tree holds cut off in proportion to how far outside they
//! are, as random cut forests do (Guha et al. 2016).

use fastrand::Rng;

/// Trees of a forest.
const TREES: usize = 50;
/// Points of a tree, taken from the last [`RECENT`].
const POINTS: usize = 256;
const RECENT: usize = 2_048;

/// Trees of random cuts through points.
#[derive(Debug)]
pub(super) struct Forest<const N: usize> {
    trees: Vec<Tree>,
    points: usize,
}

#[derive(Debug)]
enum Tree {
    Cut { dimension: usize, at: f64, ranges: Vec<(f64, f64)>, below: Box<Tree>, above: Box<Tree> },
    Leaf(usize),
}

/// Mean depth of an unsuccessful search among so many points.
fn depth(points: usize) -> f64 {
    if points < 2 {
        return 0.0;
    }
    let n = points as f64;
    2.0 * ((n - 1.0).ln() + 0.577_215_664_9) - 2.0 * (n - 1.0) / n
}

impl<const N: usize> Forest<N> {
    /// Of some of the last points.
    pub(super) fn grown(points: &[[f64; N]], rng: &mut Rng) -> Self {
        let recent = &points[points.len().saturating_sub(RECENT)..];
        let count = recent.len().min(POINTS);
        let trees = (0..TREES).map(|_| {
            let chosen = (0..count).filter_map(|_| rng.choice(recent)).copied().collect();
            let limit = (count as f64).log2().ceil() as usize * 2;
            Tree::grown(chosen, limit, rng)
        });
        Self { trees: trees.collect(), points: count }
    }

    /// Near 1 for what is cut off at once, about a half for what is like others.
    pub(super) fn score(&self, point: &[f64; N]) -> f64 {
        let sum: f64 = self.trees.iter().map(|tree| tree.depth_of(point)).sum();
        (-(sum / self.trees.len() as f64) / depth(self.points).max(1e-9)).exp2()
    }
}

impl Tree {
    fn grown<const N: usize>(points: Vec<[f64; N]>, limit: usize, rng: &mut Rng) -> Self {
        let range = |dimension: usize| {
            let values = points.iter().map(|point| point[dimension]);
            values.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
        };
        let ranges: Vec<(f64, f64)> = (0..N).map(range).collect();
        let extent: f64 = ranges.iter().map(|(low, high)| (high - low).max(0.0)).sum();
        if points.len() < 2 || limit == 0 || extent <= 0.0 {
            return Self::Leaf(points.len());
        }
        let mut left = rng.f64() * extent;
        let mut dimension = 0;
        while dimension + 1 < N && left > ranges[dimension].1 - ranges[dimension].0 {
            left -= ranges[dimension].1 - ranges[dimension].0;
            dimension += 1;
        }
        let at = ranges[dimension].0 + left;
        let (below, above): (Vec<_>, Vec<_>) =
            points.into_iter().partition(|point| point[dimension] <= at);
        let below = Box::new(Self::grown(below, limit - 1, rng));
        let above = Box::new(Self::grown(above, limit - 1, rng));
        Self::Cut { dimension, at, ranges, below, above }
    }

    /// The expected depth at which a cut leaves `point` alone, were it in the tree.
    fn depth_of<const N: usize>(&self, point: &[f64; N]) -> f64 {
        match self {
            Self::Leaf(points) => depth(*points),
            Self::Cut { dimension, at, ranges, below, above } => {
                let extent: f64 = ranges.iter().map(|(low, high)| high - low).sum();
                let outside = ranges
                    .iter()
                    .zip(point)
                    .map(|((low, high), value)| (low - value).max(value - high).max(0.0));
                let outside: f64 = outside.sum();
                let side = if point[*dimension] <= *at { below } else { above };
                extent / (extent + outside) * (1.0 + side.depth_of(point))
            }
        }
    }
}
