//! The example `dice_table`, played for real: nodes over sockets on loopback.
#![cfg(feature = "wifi")]

#[expect(dead_code, reason = "its main is for those who run it by hand")]
#[path = "../examples/dice_table.rs"]
mod dice_table;

use bitcraps_node::engine::monitor::Betting;
use dice_table::Game;

#[tokio::test(flavor = "multi_thread")]
async fn a_table_pauses_while_its_players_are_parted_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let game = dice_table::play(home.path()).await.unwrap();
    let moves = vec![Betting::Paused, Betting::Open];
    assert_eq!(game, Game { confirmed: [5, 5], taken: 10, moves });
}
