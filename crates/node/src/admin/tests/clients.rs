//! Whoever is at the other end of the socket.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_answered_when_the_node_stops_and_the_socket_goes() {
    let pair = Pair::linked().await;
    pair.handle.set_black_hole(true);
    let peer = pair.far_peer;
    let path = pair.path();
    let (asked, waited) = {
        let mut stream = UnixStream::connect(&path).unwrap();
        let send = json!({
            "schema": 1, "request": "send", "peer": peer, "class": "critical", "payload": "x",
            "deadline_ms": 60_000, "wait": true,
        });
        writeln!(stream, "{send}").unwrap();
        (stream.try_clone().unwrap(), stream)
    };
    let taken = async {
        while pair.near.peers()[0].unsettled.iter().sum::<usize>() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, taken).await.unwrap();
    pair.near.shutdown().await;
    pair.admin.shutdown().await;
    drop(asked);
    let mut line = String::new();
    BufReader::new(waited).read_line(&mut line).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(answer["answer"], "send", "{answer}");
    assert_eq!(answer["outcome"], "unknown", "{answer}");
    assert!(!path.exists());
    assert_eq!(request(&path, &Request::Status), Err(AdminError::NoNode(path)));
}

fn ask_raw(path: &Path, text: &[u8]) -> Vec<serde_json::Value> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(text).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let lines = BufReader::new(stream).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_ask_again_until_it_talks_nonsense() {
    let pair = Pair::linked().await;
    let path = pair.path();
    let answers = tokio::task::spawn_blocking(move || {
        let text = "{\"schema\":1,\"request\":\"peers\"}\n{\"schema\":1,\"request\":\"targets\"}\n\
                    nonsense\n{\"schema\":1,\"request\":\"peers\"}\n";
        ask_raw(&path, text.as_bytes())
    });
    let answers = answers.await.unwrap();
    let kinds: Vec<_> = answers.iter().map(|a| a["answer"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["peers", "targets", "refused"]);
    assert_eq!(answers[2]["kind"], "bad_request");
    assert!(answers.iter().all(|answer| answer["schema"] == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_clients_than_are_served_are_turned_away() {
    let pair = Pair::linked().await;
    let path = pair.path();
    let crowd: Vec<_> = (0..MAX_CLIENTS).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let (kind, message) = pair.refusal(Request::Status).await;
    assert_eq!(
        (kind, message.as_str()),
        (RefusalKind::Busy, "64 clients are served already; try again")
    );
    drop(crowd);
    let served =
        async { while matches!(pair.ask(Request::Status).await, Err(AdminError::Refused(_))) {} };
    tokio::time::timeout(SOON, served).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_gives_up_its_place() {
    let pair = Pair::linked().await;
    pair.handle.set_black_hole(true);
    let path = pair.path();
    let ping = json!({ "schema": 1, "request": "ping", "peer": pair.far_peer, "count": 100 });
    let waiting: Vec<_> = (0..MAX_CLIENTS)
        .map(|_| {
            let mut stream = UnixStream::connect(&path).unwrap();
            writeln!(stream, "{ping}").unwrap();
            stream
        })
        .collect();
    drop(waiting);
    let served =
        async { while matches!(pair.ask(Request::Status).await, Err(AdminError::Refused(_))) {} };
    tokio::time::timeout(SOON, served).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_let_go() {
    let pair = Pair::new(&Setup { linked: false, far: false }).await;
    let silent = tokio::net::UnixStream::connect(pair.path()).await.unwrap();
    let half = tokio::net::UnixStream::connect(pair.path()).await.unwrap();
    half.writable().await.unwrap();
    half.try_write(b"{\"schema\":1,").unwrap();
    for stream in [silent, half] {
        let closed = async {
            let mut byte = [0; 1];
            loop {
                stream.readable().await.unwrap();
                match stream.try_read(&mut byte) {
                    Ok(read) => return read,
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(e) => panic!("{e}"),
                }
            }
        };
        let read = tokio::time::timeout(2 * CLIENT_PATIENCE, closed).await.unwrap();
        assert_eq!(read, 0);
    }
}

/// A server that answers every client with `answer`, whatever it asks.
fn impostor(path: &Path, answer: &'static [u8]) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        stream.write_all(answer).unwrap();
    })
}

#[test]
fn the_client_tells_why_there_is_no_answer() {
    let home = tempfile::tempdir().unwrap();
    let ask = |name: &str, answer| {
        let path = home.path().join(name);
        let server = impostor(&path, answer);
        let error = request(&path, &Request::Status).unwrap_err();
        server.join().unwrap();
        (path, error)
    };
    let (path, error) = ask("closed", b"");
    assert_eq!(error, AdminError::Closed(path.clone()));
    // The listener is gone, its socket is still there.
    let none = AdminError::NoNode(path.clone());
    assert_eq!(request(&path, &Request::Status), Err(none.clone()));
    let start = format!("no node is running at {}; start one with `bitcraps run`", path.display());
    assert_eq!(none.to_string(), start);

    let problem = |error| match error {
        AdminError::NotUnderstood { problem, .. } => problem,
        other => panic!("{other:?}"),
    };
    let (_, error) = ask("garbage", b"hello\n");
    assert!(problem(error).starts_with("expected value"));
    let (_, error) = ask("other", b"{\"schema\":9,\"answer\":\"status\"}\n");
    let expected = "it has schema 9, this program speaks schema 1; use the `bitcraps` of the \
                    node's version";
    assert_eq!(problem(error), expected);
    let (_, error) = ask(
        "refused",
        b"{\"schema\":1,\"answer\":\"refused\",\"kind\":\"busy\",\"message\":\"m\"}\n",
    );
    let refusal =
        Refusal { kind: RefusalKind::Busy, message: "m".to_owned(), candidates: Vec::new() };
    assert_eq!(error, AdminError::Refused(refusal));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_request_is_refused_without_being_kept() {
    let pair = Pair::linked().await;
    let path = pair.path();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(&vec![b'x'; MAX_REQUEST + 1]).unwrap();
        let mut answer = String::new();
        BufReader::new(&mut stream).read_line(&mut answer).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "and the connection is closed");
        answer
    });
    let answer: serde_json::Value = serde_json::from_str(&answer.await.unwrap()).unwrap();
    assert_eq!(answer["kind"], "bad_request");
    assert_eq!(answer["message"], "the request is longer than 262144 bytes");
}
