//! What is told of those who do not want everything told.

use std::time::Duration;

use bitcraps_linkstate::Privacy;

use bitcraps_linkstate::net::{Net, PROBE};

const HOP: Duration = Duration::from_millis(10);

/// A chain of five, with one privacy for the middle.
fn chain(privacy: Privacy) -> Net {
    let mut net = Net::new(7);
    for node in 0..5 {
        net.add(|config| {
            if node == 2 {
                config.privacy = privacy
            }
        });
    }
    for node in 0..4 {
        net.link(node, node + 1, HOP);
    }
    net.run(20 * PROBE);
    assert!(net.is_equal());
    net.check();
    net
}

#[test]
fn with_neighbours_everybody_sees_every_link() {
    let net = chain(Privacy::Neighbours);
    assert!(net.all_see(&net.truth()));
}

#[test]
fn a_pseudonym_is_known_to_neighbours_and_new_in_each_epoch() {
    let mut net = chain(Privacy::Pseudonym);
    let id = net.nodes[2].id;
    let published = net.nodes[1].db.published_key(&id).unwrap();
    assert_ne!(published, id);
    let names = |net: &Net, node: usize| {
        let ends = net.nodes[node].view.keys().flat_map(|(a, b, _)| [*a, *b]);
        let count = |of| ends.clone().filter(|end| *end == of).count();
        (count(id), count(published))
    };
    assert_eq!(names(&net, 1), (2, 0), "neighbours name it by its id");
    assert_eq!(names(&net, 4), (0, 2), "others see the links, and not whose they are");
    assert_eq!(net.nodes[4].view.len(), 4);
    net.kill(2);
    net.run(30 * PROBE);
    net.restart(2);
    net.link(1, 2, HOP);
    net.link(2, 3, HOP);
    net.run(30 * PROBE);
    let again = net.nodes[1].db.published_key(&id).unwrap();
    assert!(again != published && again != id);
    assert_eq!(names(&net, 4), (0, 0));
    assert_eq!(net.nodes[4].view.len(), 4, "under another name");
    net.check();
}

#[test]
fn who_publishes_nothing_is_named_by_nobody() {
    let net = chain(Privacy::Nothing);
    let id = net.nodes[2].id;
    assert!(net.nodes[4].view.keys().all(|(a, b, _)| *a != id && *b != id));
    assert!(net.nodes[4].db.origins() == 4 && !net.nodes[4].peers.contains(&id));
    assert_eq!(net.nodes[4].view.len(), 2, "0 - 1 and 3 - 4");
    assert_eq!(net.nodes[2].view.len(), 4, "it sees all of it itself");
    assert_eq!(net.nodes[1].view.len(), 3, "its neighbour knows of it");
}
