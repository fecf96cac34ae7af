use bitcraps_types::{LinkCapabilities, PeerId};

use super::recorder::Log;
use super::scene::{Scene, play};
use super::{Fixture, Violation, require};
use crate::{ConnectError, ConnectTarget, StartError};

/// A key that neither end holds.
const STRANGER: PeerId = PeerId::from_bytes([0xA5; 32]);

/// A second start is refused and disturbs nothing.
pub async fn it_starts_once(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        scene.start().await?;
        let again = scene.near.transport.start(scene.near.told.clone()).await;
        require(again == Err(StartError::AlreadyStarted), || {
            format!("the second start returned {again:?}, not AlreadyStarted")
        })?;
        let link = scene.link().await?;
        scene.exchange(&link, "after a second start").await
    })
    .await
}

/// Without a start there is no dial.
pub async fn dials_need_a_start(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        scene.far.start().await?;
        let early = scene.near.dial((scene.ends.target)()).await?;
        require(early == Err(ConnectError::NotStarted), || {
            format!("connect before start returned {early:?}, not NotStarted")
        })?;
        scene.near.start().await?;
        let link = scene.link().await?;
        scene.exchange(&link, "after an early dial").await
    })
    .await
}

/// A dial that succeeds is told at both ends, with the right names.
pub async fn a_link_comes_up_at_both_ends(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let [near, far] = scene.linked().await?;
        let ends = [
            (&near, scene.ends.far_peer, scene.near.transport.transport_type()),
            (&far, scene.ends.near_peer, scene.far.transport.transport_type()),
        ];
        for (link, peer, kind) in ends {
            let (id, is) = (link.id(), link.peer());
            require(is == peer, || format!("link {id} leads to {is}, not to {peer}"))?;
            require(link.transport() == kind, || {
                format!("link {id} says {}, its transport {kind}", link.transport())
            })?;
            let max = link.capabilities().max_frame;
            require(max >= LinkCapabilities::MIN_FRAME, || {
                format!("link {id} takes frames of {max} bytes only")
            })?;
            require(link.capabilities() == link.capabilities(), || {
                format!("capabilities of link {id} change")
            })?;
            let (path, waiting) = (link.path(), link.queue());
            require(!path.local.is_empty() && !path.remote.is_empty(), || {
                format!("path of link {id} is {path}")
            })?;
            require(waiting == Default::default(), || {
                format!("{waiting:?} waits on link {id}, which was never used")
            })?;
        }
        require(near.id() != far.id(), || format!("both ends are called {}", near.id()))
    })
    .await
}

/// A peer with another key than the one asked for is refused, and no link is told of.
pub async fn a_wrong_peer_is_refused(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        scene.start().await?;
        refuse_stranger(scene).await?;
        // The right dial comes after the wrong one: had that left a link, it would be told by now.
        let link = scene.link().await?;
        scene.exchange(&link, "after a wrong peer").await?;
        for (name, end) in [("near", &scene.near), ("far", &scene.far)] {
            let ups = end.told.log().ups.len();
            require(ups == 1, || format!("{ups} links came up at the {name} end, 1 was right"))?;
        }
        Ok(())
    })
    .await
}

async fn refuse_stranger(scene: &Scene) -> Result<(), Violation> {
    let target = ConnectTarget { peer: STRANGER, ..(scene.ends.target)() };
    let wrong = scene.near.dial(target).await?;
    let right = match &wrong {
        Err(ConnectError::WrongPeer { .. }) => true,
        Err(ConnectError::Unreachable { .. } | ConnectError::TimedOut { .. }) => scene.asks_by_key,
        _ => false,
    };
    require(right, || {
        format!("dialling a stranger at the far end's address returned {wrong:?}, not WrongPeer")
    })
}

async fn refuse_bad(scene: &Scene) -> Result<(), Violation> {
    let Some(bad) = &scene.ends.bad else {
        return Ok(());
    };
    let target = ConnectTarget { address: bad.clone(), ..(scene.ends.target)() };
    let refused = scene.near.dial(target).await?;
    require(matches!(refused, Err(ConnectError::BadAddress { .. })), || {
        format!("dialling {bad} returned {refused:?}, not BadAddress")
    })
}

/// An address that makes no sense is told as such.
pub async fn a_bad_address_is_refused(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        scene.start().await?;
        refuse_bad(scene).await
    })
    .await
}

/// Where nobody answers, a dial ends by itself.
pub async fn a_dead_address_ends_in_bounded_time(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        scene.start().await?;
        let Some(dead) = scene.ends.dead.clone() else {
            return Ok(());
        };
        let target = ConnectTarget { address: dead.clone(), ..(scene.ends.target)() };
        let ended = scene.near.dial(target).await?;
        let right =
            matches!(ended, Err(ConnectError::Unreachable { .. } | ConnectError::TimedOut { .. }));
        require(right, || {
            format!("dialling {dead} returned {ended:?}, neither Unreachable nor TimedOut")
        })
    })
    .await
}

/// A second dial to the same peer leaves the first link as it is, whatever comes of it; so does the
/// end of the second link.
pub async fn a_second_link_leaves_the_first(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let first = scene.linked().await?;
        scene.exchange(&first, "before the second dial").await?;
        let ids = first.each_ref().map(|link| link.id());
        if scene.one_link {
            let again = scene.near.dial((scene.ends.target)()).await?;
            require(again == Ok(ids[0]), || {
                format!("the second dial returned {again:?}, not link {} that is up", ids[0])
            })?;
            return scene.exchange(&first, "after the second dial").await;
        }
        let second = scene.link().await?;
        require(second.iter().all(|link| !ids.contains(&link.id())), || {
            format!("the second dial returned link {} again", ids[0])
        })?;
        scene.exchange(&first, "first of two").await?;
        scene.exchange(&second, "second of two").await?;
        let closed = second.each_ref().map(|link| link.id());
        second[0].close();
        for (end, id) in [(&scene.near, closed[0]), (&scene.far, closed[1])] {
            end.told.downed(id).await?;
        }
        scene.exchange(&first, "first of one").await?;
        for (end, id) in [(&scene.near, ids[0]), (&scene.far, ids[1])] {
            let down = end.told.down(id);
            require(down.is_none(), || format!("the first link went down: {down:?}"))?;
        }
        Ok(())
    })
    .await
}

/// Two dials at once give two links that both work; or both the same one, where there is one for a
/// peer.
pub async fn dials_at_once_do_not_mix(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        scene.start().await?;
        let (one, two) = tokio::join!(
            scene.near.dial((scene.ends.target)()),
            scene.near.dial((scene.ends.target)()),
        );
        let mut ids = Vec::new();
        for dial in [one?, two?] {
            ids.push(dial.map_err(|error| Violation(format!("connect failed: {error}")))?);
        }
        let links = if scene.one_link { 1 } else { 2 };
        require((ids[0] != ids[1]) == (links == 2), || format!("the dials returned {ids:?}"))?;
        let both = |log: &Log| (log.ups.len() == links).then(|| log.ups.clone());
        scene.far.told.wait("as many links at the far end", both).await?;
        for (id, text) in [(ids[0], "first"), (ids[1], "second")] {
            let up = scene.near.told.wait("LinkUp", |log| log.up(id).cloned()).await?;
            let frame = bytes::Bytes::from(text);
            let arrived = |log: &Log| {
                log.ups.iter().any(|link| log.frames(link.id()).contains(&frame)).then_some(())
            };
            let (from, what) = ((&scene.near, &up), "a frame over each link");
            scene.send_until(from, &frame, &scene.far, what, arrived).await?;
        }
        let log = scene.far.told.log();
        let mixed = log.ups.iter().find(|link| {
            let mut frames = log.frames(link.id()).to_vec();
            frames.sort_unstable();
            frames.dedup();
            frames.len() != 2 / links
        });
        require(mixed.is_none(), || "frames of two near links arrived on one far link".into())
    })
    .await
}

/// A dial that fails leaves links to the same peer as they are.
pub async fn failed_dials_disturb_no_link(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let link = scene.linked().await?;
        scene.exchange(&link, "before failed dials").await?;
        refuse_stranger(scene).await?;
        refuse_bad(scene).await?;
        scene.exchange(&link, "after failed dials").await
    })
    .await
}
