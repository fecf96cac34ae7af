use super::*;

fn read(text: &str) -> Result<Network, ReadError> {
    network(text.as_bytes(), None)
}

fn told(network: &Network) -> Vec<(String, String, Option<f64>)> {
    let name = |peer: u32| network.names[peer as usize].clone();
    let links = network.graph.link_list().zip(&network.reliabilities);
    links.map(|((a, b), r)| (name(a), name(b), r.map(Ratio::get))).collect()
}

fn expected(links: &[(&str, &str, Option<f64>)]) -> Vec<(String, String, Option<f64>)> {
    links.iter().map(|(a, b, r)| ((*a).to_owned(), (*b).to_owned(), *r)).collect()
}

#[test]
fn the_same_network_is_read_from_every_format() {
    let list = "% a comment\na b 0.5\n\nb\tc\nb a 0.9\nc c\n";
    let netjson = r#"{"type":"NetworkGraph","protocol":"OLSR","metric":"ETX","nodes":[
        {"id":"a"},{"id":"b"},{"id":"c"}],
        "links":[{"source":"a","target":"b","cost":2.0},{"source":"b","target":"c"},
        {"source":"b","target":"a","cost":1.5},{"source":"c","target":"c","cost":1}]}"#;
    let meshviewer = r#"{"timestamp":"x","nodes":[{"node_id":"1","hostname":"a"},
        {"node_id":"2","hostname":"b","is_online":true},{"node_id":"3","hostname":"c"},
        {"node_id":"4","hostname":"d","is_online":false}],
        "links":[{"source":"1","target":"2","source_tq":0.5,"target_tq":0.7,"type":"wifi"},
        {"source":"2","target":"3"},{"source":"3","target":"4","source_tq":1,"target_tq":1},
        {"source":"2","target":"1","source_tq":0.9},{"source":"3","target":"3"}]}"#;
    let graphml = r#"<?xml version="1.0"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">
        <key id="d0" for="edge" attr.name="reliability" attr.type="double"/>
        <key id="d1" for="node" attr.name="label" attr.type="string"/>
        <graph edgedefault="undirected"><node id="1"><data key="d1">a</data></node>
        <node id="2"><data key="d1">b</data></node><node id="3"><data key="d1">c</data></node>
        <edge source="1" target="2"><data key="d0">0.5</data></edge><edge source="2" target="3"/>
        <edge source="2" target="1"><data key="d0">0.9</data></edge>
        <edge source="3" target="3"/></graph></graphml>"#;
    let gml = "Creator \"x\"\ngraph [\n directed 0\n node [ id 1 label \"a\" ]\n node [ id 2 label \"b\"\n \
        graphics [ x 1 label \"no\" ] ]\n node [ id 3 label \"c\" ]\n # a comment ]\n \
        edge [ source 1 target 2 reliability 0.5 ]\n edge [ source 2 target 3 ]\n \
        edge [ source 2 target 1 reliability 0.9 ]\n edge [ source 3 target 3 ]\n]\n";
    let links = expected(&[("a", "b", Some(0.5)), ("b", "c", None)]);
    for (text, format) in [list, netjson, meshviewer, graphml, gml].iter().zip(Format::ALL) {
        let found = read(text).unwrap();
        assert_eq!(found.format, format);
        assert_eq!(told(&found), links, "{format}");
        assert_eq!(found.names, ["a", "b", "c"], "{format}");
        assert_eq!((found.self_links, found.repeated), (1, 1), "{format}");
        assert_eq!(found.offline, usize::from(format == Format::Meshviewer), "{format}");
        let again = network(text.as_bytes(), Some(format)).unwrap();
        assert_eq!(again, found);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
        assert_eq!(network(&packed.finish().unwrap()[..], None).unwrap(), found);
    }
}

#[test]
fn a_first_line_tells_of_peers_without_links() {
    let found = read("# n 4\n0 1\n2 1 0.25\n").unwrap();
    assert_eq!(found.names, ["0", "1", "2", "3"]);
    assert_eq!(told(&found), expected(&[("0", "1", None), ("1", "2", Some(0.25))]));
    assert_eq!(read("").unwrap().graph.peers(), 0);
    assert_eq!(read("graph other\n").unwrap().format, Format::EdgeList);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let wrong = |text: &str| read(text).unwrap_err().to_string();
    for (text, message) in [
        ("a b\nc\n", "line 2: expected two peers and perhaps a reliability, found \"c\""),
        (
            "a b 0.5 x\n",
            "line 1: expected two peers and perhaps a reliability, found \"a b 0.5 x\"",
        ),
        (
            "a b 1.5\n",
            "line 1: expected a reliability between 0 and 1 as the third word, found \"1.5\"",
        ),
        (
            "a b nan\n",
            "line 1: expected a reliability between 0 and 1 as the third word, found \"nan\"",
        ),
        ("# n 2\n0 2\n", "line 2: expected a number below that of the first line, found \"2\""),
        ("# n x\n", "line 1: expected a number of peers, found \"x\""),
        (
            "graph [\n node [ label \"x\" ]\n]",
            "line 2: expected a node with an id, found \"one without\"",
        ),
        (
            "graph [\n edge [ source 1 ]\n]",
            "line 2: expected an edge with a source and a target, found \"one without\"",
        ),
        ("graph [\n", "line 2: expected ], found \"the end\""),
        ("graph [ ] ]", "line 1: expected a key, found \"]\""),
        (
            "graph [\n node [ id 1 label \"x ]\n",
            "line 2: expected a closing quote, found \"\\\"x ]\\n\"",
        ),
        (
            "<graphml>\n<graph>\n<node/>\n</graph></graphml>",
            "line 3: expected a <node> with an id, found \"an element without it\"",
        ),
        ("<graphml></graphml>", "line 1: expected a <graph>, found \"the end\""),
        ("<graphml>\n<graph>", "line 2: expected the end of each element, found \"the end\""),
    ] {
        assert_eq!(wrong(text), message, "{text}");
    }
    let json = wrong("{\"nodes\": [],\n\"links\": 3}");
    assert!(
        json.starts_with("line 2: expected an object with `nodes` and `links`, found"),
        "{json}"
    );
    assert!(wrong("{\n").starts_with("line 2: expected more of the document, found"));
    let quality = r#"{"nodes":[],"links":[{"source":"a","target":"b","source_tq":7}]}"#;
    assert_eq!(wrong(quality), "links[0]: expected a quality between 0 and 1, found \"7\"");
    let other = network("{\"nodes\":[],\"links\":[]}".as_bytes(), Some(Format::NetJson));
    assert_eq!(
        other.unwrap_err().to_string(),
        "type: expected \"NetworkGraph\", found \"nothing\""
    );
    let long = format!("{} b\n", "x".repeat(MAX_NAME + 1));
    assert!(wrong(&long).contains("a name of at most 1024 bytes"));
    let deep = "a [ ".repeat(40);
    let deep = network(deep.as_bytes(), Some(Format::Gml)).unwrap_err().to_string();
    assert!(deep.contains("lists at most 16 deep"), "{deep}");
    assert!(matches!(network(&[0x1f, 0x8b, 1, 2][..], None), Err(ReadError::Io(_))));
    let bytes = network(&b"a b\n\xff\xfe c\n"[..], None).unwrap_err();
    assert_eq!(bytes.to_string(), "line 2: expected UTF-8, found \"bytes that are not\"");
}

#[test]
fn no_damage_makes_a_reader_panic() {
    let seeds = [
        "# n 4\n0 1\n2 1 0.25\n",
        "{\"type\":\"NetworkGraph\",\"metric\":\"etx\",\"nodes\":[{\"id\":1}],\"links\":[{\"source\":1,\"target\":\"b\",\"cost\":2}]}",
        "<graphml><key id=\"d\" attr.name=\"tq\"/><graph><edge source=\"a\" target=\"b\"><data key=\"d\">1</data></edge></graph></graphml>",
        "graph [ node [ id 1 label \"a\" ] edge [ source 1 target 2 tq 0.5 ] ]",
    ];
    let mut rng = fastrand::Rng::with_seed(91);
    let mut read = 0;
    for _ in 0..20_000 {
        let mut bytes = seeds[rng.usize(0..seeds.len())].as_bytes().to_vec();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(0..bytes.len());
            match rng.u32(0..3) {
                0 => bytes[at] = rng.u8(..),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, rng.choice(b"[]<>{}\"#, 0a\n".iter()).copied().unwrap()),
            }
        }
        for format in Format::ALL.map(Some).into_iter().chain([None]) {
            read += usize::from(crate::fuzz::network(&bytes, format).is_some());
        }
    }
    assert!(read > 1_000);
}
