//! A network out of a file.

use crate::process::Home;

/// Two triangles, 1 2 3 and 4 5 6, with 3 - 4 between them, and 7 alone.
const LIST: &str = "# n 8\n1 2\n2 3\n1 3\n3 4 0.5\n4 5\n5 6\n4 6\n0 1\n6 6\n";

#[test]
fn an_operator_is_told_what_would_split_the_network_and_what_to_add() {
    let home = Home::new();
    home.write("net.txt", LIST);
    home.run(&["analyze", "net.txt"])
        .exits(0)
        .prints("net.txt (edgelist): 8 peers, 8 links")
        .prints("1 link of a peer with itself left out")
        .prints(
            "SPLIT into 2 components of 7, 1 peers; 1 peer outside of the largest, 1 peer alone.",
        )
        .prints("4 hops, in the largest component")
        .prints("3 peers and 2 links whose loss alone cuts somebody off")
        .prints("link     3 - 4  3 peers   12")
        .prints("it is split now")
        .prints("0 - ");
}

#[test]
fn peers_that_are_offline_are_left_out_and_counted() {
    let home = Home::new();
    let map = r#"{"nodes":[{"node_id":"1"},{"node_id":"2"},{"node_id":"3","is_online":false}],
        "links":[{"source":"1","target":"2"},{"source":"2","target":"3"}]}"#;
    home.write("meshviewer.json", map);
    home.run(&["analyze", "meshviewer.json"])
        .exits(0)
        .prints("meshviewer.json (meshviewer): 2 peers, 1 link\n")
        .prints("1 peer that is offline left out with its links");
}

#[test]
fn json_has_the_schema_and_the_numbers() {
    let home = Home::new();
    home.write("net.txt", LIST);
    let told = home.run(&["analyze", "net.txt", "--json", "--suggest", "1"]).exits(0).json();
    let expected = serde_json::json!({
        "schema": 1, "peers": 8, "links": 8, "components": 2, "largest_component": 7,
        "diameter": 4,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&told[key], value, "{key}");
    }
    assert_eq!(told["articulation_points"]["count"], 3);
    assert_eq!(told["articulation_points"]["ranked"][0]["peer"], "3");
    assert_eq!(
        told["bridges"]["ranked"][0],
        serde_json::json!({"a": "3", "b": "4", "pairs_lost": 12})
    );
    assert_eq!(told["partition_risk"]["p_split"], 1.0);
    assert_eq!(told["partition_risk"]["horizon_seconds"], 5.0);
    assert_eq!(told["suggested_links"].as_array().unwrap().len(), 1);
    for key in ["average_clustering", "average_clustering_deg2", "transitivity", "walkthrough_risk"]
    {
        assert!(told[key].is_number(), "{key}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_line() {
    let home = Home::new();
    home.write("net.txt", "1 2\n3\n");
    let said = "net.txt: line 2: expected two peers and perhaps a reliability, found \"3\"";
    home.run(&["analyze", "net.txt"]).exits(2).complains(said);
    let json = home.run(&["analyze", "net.txt", "--json"]).exits(2).complains(said).json();
    assert_eq!(json["error"]["kind"], "file");
    home.run(&["analyze", "nowhere"]).exits(2).complains("nowhere: cannot be read:");
    home.run(&["analyze", "net.txt", "--format", "png"]).exits(64).complains("one of edgelist");
}

#[test]
fn drawings_mark_single_points_of_failure() {
    let home = Home::new();
    home.write("net.txt", LIST);
    let arguments =
        ["analyze", "net.txt", "--dot", "net.dot", "--svg", "net.svg", "--png", "net.png"];
    home.run(&arguments).exits(0);
    let dot = std::fs::read_to_string(home.join("net.dot")).unwrap();
    assert!(dot.contains("3 -- 4 [color=tomato penwidth=3];"), "{dot}");
    assert!(dot.contains("4 [label=\"4\" fillcolor=tomato];"), "{dot}");
    assert!(dot.contains("2 [label=\"2\"];"), "{dot}");
    let svg = std::fs::read_to_string(home.join("net.svg")).unwrap();
    assert_eq!(svg.matches("<line").count(), 8);
    assert_eq!(svg.matches("class=\"bridge\"").count(), 2);
    assert_eq!(svg.matches("<circle class=\"point\"").count(), 3);
    // PNG, part 5: the signature, then IHDR with the width and height; two pixels a point.
    let png = std::fs::read(home.join("net.png")).unwrap();
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    let numbers: Vec<f32> = svg
        .split("viewBox=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .split(' ')
        .map(|number| number.parse().unwrap())
        .collect();
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as f32;
    assert_eq!([side(16), side(20)], [2.0 * numbers[2], 2.0 * numbers[3]]);
}
