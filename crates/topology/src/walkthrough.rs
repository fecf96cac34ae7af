/// The partition risk of the document that this project began with:
/// `(B / n) * max(0, (2 - d) / 2)` with the average degree `d = 2 m / n`, where `B` is the number of
/// articulation points.
///
/// It stays below 1/4 for every graph, and is 0 for every connected graph with a cycle, so nothing
/// may alert on it: [`PartitionRisk`](crate::PartitionRisk) is for that. 0 without peers.
pub fn walkthrough_risk(peers: usize, links: usize, articulation_points: usize) -> f64 {
    if peers == 0 {
        return 0.0;
    }
    let peers = peers as f64;
    let average_degree = 2.0 * links as f64 / peers;
    articulation_points as f64 / peers * ((2.0 - average_degree) / 2.0).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::all_shapes;
    use crate::{Components, Cuts};

    #[test]
    fn it_stays_below_a_quarter_on_every_small_graph() {
        let risks: Vec<(bool, f64)> = all_shapes(7)
            .iter()
            .map(|graph| {
                let points = Cuts::of(graph).articulation_points().len();
                let connected = Components::of_graph(graph).count() == 1;
                (connected, walkthrough_risk(graph.peers(), graph.links(), points))
            })
            .collect();
        let most = |of: &dyn Fn(&(bool, f64)) -> bool| {
            risks.iter().filter(|risk| of(risk)).map(|risk| risk.1).fold(0.0, f64::max)
        };
        assert!((most(&|_| true) - 36.0 / 196.0).abs() < 1e-12);
        assert_eq!(most(&|risk| risk.0), 0.125);
        assert_eq!(risks.iter().filter(|risk| risk.0 && risk.1 > 0.0).count(), 23);
    }

    #[test]
    fn a_path_of_four_has_an_eighth() {
        assert_eq!(walkthrough_risk(4, 3, 2), 0.125);
        assert_eq!(walkthrough_risk(0, 0, 0), 0.0);
        assert_eq!(walkthrough_risk(100, 100, 50), 0.0);
    }
}
