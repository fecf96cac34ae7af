use bytes::Bytes;

use super::scene::{Scene, play};
use super::{Fixture, Violation, require};
use crate::{ConnectError, DownReason, Link, TrySendError};

fn takes_nothing(link: &dyn Link) -> Result<(), Violation> {
    let frame = Bytes::from_static(b"too late");
    let sent = link.try_send(frame.clone());
    require(sent == Err(TrySendError::Closed(frame)), || {
        format!("a closed link answered try_send with {sent:?}, not Closed")
    })
}

/// Closing is told exactly once at both ends; a closed link takes nothing, and closing it again
/// does nothing.
pub async fn a_close_is_told_once_at_both_ends(fixture: &dyn Fixture) -> Result<(), Violation> {
    for closer in 0..2 {
        play(fixture, async |scene: &Scene| {
            let link = scene.linked().await?;
            scene.exchange(&link, "before the close").await?;
            let ends = [&scene.near, &scene.far];
            link[closer].close();
            link[closer].close();
            let there = 1 - closer;
            let here = ends[closer].told.downed(link[closer].id()).await?;
            require(here == DownReason::ClosedHere, || {
                format!("the end that closed was told \"{here}\"")
            })?;
            let over = ends[there].told.downed(link[there].id()).await?;
            require(over == DownReason::ClosedByPeer, || {
                format!("the other end was told \"{over}\", not that its peer closed")
            })?;
            for link in &link {
                takes_nothing(&**link)?;
                link.close();
            }
            let fresh = scene.link().await?;
            scene.exchange(&fresh, "after the close").await
        })
        .await?;
    }
    Ok(())
}

/// A shutdown tells every link as down before it returns, and nothing after; the other end learns
/// it.
pub async fn a_shutdown_is_told_and_final(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        let mut links = vec![scene.linked().await?];
        if !scene.one_link {
            links.push(scene.link().await?);
        }
        for link in &links {
            scene.exchange(link, "before the shutdown").await?;
        }
        // Station::shutdown requires every LinkDown by now, and silence from now on.
        scene.near.shutdown().await?;
        let target = (scene.ends.target)();
        for [near, far] in &links {
            takes_nothing(&**near)?;
            scene.far.told.downed(far.id()).await?;
            takes_nothing(&**far)?;
            near.close();
        }
        let late = scene.near.dial(target).await?;
        require(late == Err(ConnectError::NotStarted), || {
            format!("connect after shutdown returned {late:?}, not NotStarted")
        })?;
        scene.near.shutdown().await
    })
    .await
}

/// A shutdown without a start, and a second one, do nothing.
pub async fn a_shutdown_needs_no_start(fixture: &dyn Fixture) -> Result<(), Violation> {
    play(fixture, async |scene: &Scene| {
        scene.near.shutdown().await?;
        scene.far.start().await?;
        scene.far.shutdown().await?;
        scene.far.shutdown().await
    })
    .await
}
