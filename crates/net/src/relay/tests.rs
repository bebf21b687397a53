//! The relay between pipes in memory, on virtual time.

use super::*;
use crate::{NewSession, SessionFilter, SessionLimits, Sessions};
use model::{Address, ManualClock, Protocol, Timestamp, TraceId};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

struct Ends {
    client: Connection,
    home: Connection,
    relay: JoinHandle<RelayReport>,
    sessions: Sessions,
}

fn session() -> (Sessions, Session) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
    let sessions = Sessions::new(clock, SessionLimits::default());
    let session = sessions.enter(NewSession {
        protocol: Protocol::Imap,
        account: Address::parse("alice@example.test").expect("an address"),
        entry: None,
        client: ([192, 0, 2, 7], 4242).into(),
        home: None,
        trace: TraceId::new(1),
    });
    (sessions, session.expect("room"))
}

fn start(idle: u64) -> Ends {
    let (client, near_client) = Connection::pair();
    let (home, near_home) = Connection::pair();
    let (sessions, session) = session();
    let leg = |connection, leftover: &'static [u8]| Leg {
        connection,
        leftover: Bytes::from_static(leftover),
    };
    let relay = Relay::new(
        leg(near_client, b"early "),
        leg(near_home, b""),
        Duration::from_secs(idle),
        session,
    );
    Ends {
        client,
        home,
        relay: tokio::spawn(relay),
        sessions,
    }
}

#[tokio::test]
async fn both_ways_with_half_close() {
    let mut ends = start(60);
    ends.client.write_all(b"up").await.expect("write");
    ends.client.shutdown().await.expect("half-close");
    let mut got = String::new();
    ends.home
        .read_to_string(&mut got)
        .await
        .expect("all of it, then the end");
    assert_eq!(got, "early up");
    ends.home
        .write_all(b"answer")
        .await
        .expect("the other half is open");
    drop(ends.home);
    let mut got = String::new();
    ends.client.read_to_string(&mut got).await.expect("read");
    assert_eq!(got, "answer");
    let report = ends.relay.await.expect("no panic");
    assert!(matches!(report.end, RelayEnd::ClientClosed), "{:?}", report.end);
    assert_eq!((report.bytes_up, report.bytes_down), (8, 6));
}

#[tokio::test]
async fn much_data_through_full_pipes() {
    let ends = start(60);
    let data: Vec<u8> = (0..3_000_000u32).map(|i| i.to_le_bytes()[1]).collect();
    let (mut client_read, mut client_write) = tokio::io::split(ends.client);
    let (mut home_read, mut home_write) = tokio::io::split(ends.home);
    let (up, down) = (data.clone(), data.clone());
    let writers = [
        tokio::spawn(async move {
            client_write.write_all(&up).await.expect("write");
            client_write.shutdown().await.expect("end");
        }),
        tokio::spawn(async move {
            home_write.write_all(&down).await.expect("write");
            home_write.shutdown().await.expect("end");
        }),
    ];
    let (mut at_home, mut at_client) = (Vec::new(), Vec::new());
    let (a, b) = tokio::join!(
        home_read.read_to_end(&mut at_home),
        client_read.read_to_end(&mut at_client)
    );
    a.and(b).expect("read");
    assert!(at_home.strip_prefix(b"early ") == Some(&data) && at_client == data);
    for writer in writers {
        writer.await.expect("no panic");
    }
    let report = ends.relay.await.expect("no panic");
    assert_eq!((report.bytes_up, report.bytes_down), (3_000_006, 3_000_000));
}

#[tokio::test(start_paused = true)]
async fn idle_counts_from_the_last_byte() {
    let mut ends = start(60);
    let begin = Instant::now();
    let mut buffer = [0; 16];
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(50)).await;
        ends.home.write_all(b"x").await.expect("write");
        ends.client.read_exact(&mut buffer[..1]).await.expect("relayed");
    }
    let report = ends.relay.await.expect("no panic");
    assert!(matches!(report.end, RelayEnd::Idle), "{:?}", report.end);
    assert_eq!(begin.elapsed().as_secs(), 210);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_told_to_end_is_closed_when_it_is_quiet() {
    let mut ends = start(600);
    let begin = Instant::now();
    let mut buffer = [0; 16];
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(
        ends.sessions.end(&SessionFilter::default(), SessionEnd::Revoked),
        1
    );
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ends.home.write_all(b"x").await.expect("still relayed");
        ends.client.read_exact(&mut buffer[..1]).await.expect("relayed");
    }
    let rows = ends.sessions.list(&SessionFilter::default(), 0, 9);
    assert_eq!((rows[0].bytes_up, rows[0].bytes_down), (6, 4));
    let report = ends.relay.await.expect("no panic");
    assert!(
        matches!(report.end, RelayEnd::Told(SessionEnd::Revoked)),
        "{:?}",
        report.end
    );
    assert_eq!(begin.elapsed().as_secs(), 106);
    assert!(ends.sessions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_never_is_quiet_is_closed_all_the_same() {
    let ends = start(600);
    let (trigger, shutdown) = crate::Shutdown::new();
    let begin = Instant::now();
    let mut home = ends.home;
    let chatter = tokio::spawn(async move {
        while home.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut client = ends.client;
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        let _ = client.read_to_end(&mut all).await;
    });
    let sessions = ends.sessions.clone();
    tokio::spawn(async move { sessions.drain_with(shutdown).await });
    trigger.request(Duration::from_secs(100));
    let report = ends.relay.await.expect("no panic");
    assert!(
        matches!(report.end, RelayEnd::Told(SessionEnd::Drained)),
        "{:?}",
        report.end
    );
    assert_eq!(begin.elapsed().as_secs(), 30);
    reader.await.and(chatter.await).expect("no panic");
}

#[tokio::test]
async fn says_whose_connection_broke() {
    let mut ends = start(60);
    // The home goes away while the client still sends.
    drop(ends.home);
    let chunk = [0; 4096];
    while ends.client.write_all(&chunk).await.is_ok() {}
    let report = ends.relay.await.expect("no panic");
    assert!(
        matches!(report.end, RelayEnd::HomeError(_) | RelayEnd::HomeClosed),
        "{:?}",
        report.end
    );
}

#[tokio::test]
async fn through_tls_on_the_clients_side() {
    let files = crate::tls::tests::Files::new("localhost");
    let limit = Duration::from_secs(10);
    let (far, near) = Connection::pair();
    let (server, client) = (files.server(), files.client());
    let (near, far) = tokio::join!(
        near.accept_tls(&server, limit),
        far.connect_tls(&client, "localhost", limit)
    );
    let (near, mut client) = (near.expect("TLS"), far.expect("TLS"));
    let (mut home, near_home) = Connection::pair();
    let (_sessions, session) = session();
    let leg = |connection| Leg {
        connection,
        leftover: Bytes::new(),
    };
    let relay = tokio::spawn(Relay::new(
        leg(near),
        leg(near_home),
        Duration::from_secs(60),
        session,
    ));
    let data: Vec<u8> = (0..1_000_000u32).map(|i| i.to_le_bytes()[1]).collect();
    let sent = data.clone();
    let home = tokio::spawn(async move {
        home.write_all(&sent).await.expect("write");
        // Small pieces must not wait in TLS's own buffer.
        let mut line = [0; 4];
        home.read_exact(&mut line).await.expect("the answer");
        line
    });
    let mut got = vec![0; data.len()];
    client.read_exact(&mut got).await.expect("read");
    assert!(got == data);
    client.write_all(b"done").await.expect("write");
    client.flush().await.expect("flush");
    assert_eq!(&home.await.expect("no panic"), b"done");
    let mut rest = Vec::new();
    client
        .read_to_end(&mut rest)
        .await
        .expect("TLS is closed properly when the home goes");
    drop(client);
    let report = relay.await.expect("no panic");
    assert_eq!((report.bytes_up, report.bytes_down), (4, 1_000_000));
}

/// Tens of thousands of these wait at once.
#[test]
fn a_waiting_relay_is_small() {
    let size = size_of::<Relay>();
    assert!(size <= 272, "{size} octets");
}

/// Two ends of a TCP connection on loopback.
async fn tcp() -> (Connection, Connection) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (near, far) = tokio::join!(listener.accept(), TcpStream::connect(address));
    (near.expect("accepted").0.into(), far.expect("connected").into())
}

#[tokio::test(flavor = "multi_thread")]
async fn much_data_between_sockets_goes_through_a_pipe_that_is_given_back() {
    const MUCH: usize = 24 << 20;
    let ((near_client, client), (near_home, mut home)) = (tcp().await, tcp().await);
    let (sessions, session) = session();
    let leg = |connection| Leg {
        connection,
        leftover: Bytes::new(),
    };
    let relay = tokio::spawn(Relay::new(
        leg(near_client),
        leg(near_home),
        Duration::from_secs(60),
        session,
    ));
    let data: Vec<u8> = (0..MUCH).map(|i| (i ^ (i >> 8)).to_le_bytes()[0]).collect();
    let sent = data.clone();
    let (mut read, mut write) = tokio::io::split(client);
    let writer = tokio::spawn(async move {
        home.write_all(&sent).await.expect("write");
        // Dialogue goes on behind it, in both directions.
        let mut line = [0; 4];
        home.read_exact(&mut line).await.expect("the answer");
        home.write_all(&line).await.expect("write");
        home
    });
    let mut got = vec![0; MUCH];
    // What a slow reader leaves in the pipe is not lost.
    read.read_exact(&mut got[..1 << 20]).await.expect("read");
    tokio::time::sleep(Duration::from_millis(50)).await;
    read.read_exact(&mut got[1 << 20..]).await.expect("read");
    assert!(got == data);
    write.write_all(b"ping").await.expect("write");
    let mut line = [0; 4];
    read.read_exact(&mut line).await.expect("read");
    assert_eq!(&line, b"ping");
    let pipes = sessions.pipes();
    assert!(pipes.taken() > 0, "nothing went through a pipe");
    let (made, free) = pipes.counts();
    assert!(made >= 1 && free == made, "{free} of {made} are back");
    drop(writer.await.expect("no panic"));
    drop((read, write));
    let report = relay.await.expect("no panic");
    assert_eq!((report.bytes_up, report.bytes_down), (4, MUCH as u64 + 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_ordinary_size_need_no_pipe_however_many() {
    const EACH: usize = 1 << 20;
    let ((near_client, mut client), (near_home, mut home)) = (tcp().await, tcp().await);
    let (sessions, session) = session();
    let leg = |connection| Leg {
        connection,
        leftover: Bytes::new(),
    };
    let relay = tokio::spawn(Relay::new(
        leg(near_client),
        leg(near_home),
        Duration::from_secs(60),
        session,
    ));
    let answers = tokio::spawn(async move {
        let mut asked = [0];
        while home.read(&mut asked).await.expect("read") == 1 {
            let size = EACH * usize::from(asked[0]);
            home.write_all(&vec![7; size]).await.expect("write");
        }
    });
    let mut got = vec![0; 8 * EACH];
    for _ in 0..6 {
        client.write_all(&[1]).await.expect("write");
        client.read_exact(&mut got[..EACH]).await.expect("read");
    }
    assert_eq!(sessions.pipes().taken(), 0, "each answer is one of its own");
    client.write_all(&[8]).await.expect("write");
    client.read_exact(&mut got).await.expect("read");
    assert!(sessions.pipes().taken() > 0, "a large one goes through a pipe");
    drop(client);
    answers.await.expect("no panic");
    let report = relay.await.expect("no panic");
    assert_eq!((report.bytes_up, report.bytes_down), (7, 14 * EACH as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_dies_with_bytes_under_way_leaves_no_pipe_with_them() {
    let ((near_client, client), (near_home, mut home)) = (tcp().await, tcp().await);
    let (sessions, session) = session();
    let leg = |connection| Leg {
        connection,
        leftover: Bytes::new(),
    };
    let relay = tokio::spawn(Relay::new(
        leg(near_client),
        leg(near_home),
        Duration::from_secs(60),
        session,
    ));
    let writer = tokio::spawn(async move {
        let chunk = vec![0; 1 << 20];
        while home.write_all(&chunk).await.is_ok() {}
    });
    // So much is read that a pipe is in use, whatever the sockets hold; then nobody reads, so that it fills; then both
    // are gone.
    let mut client = client;
    client.read_exact(&mut vec![0; 16 << 20]).await.expect("read");
    let pipes = sessions.pipes();
    assert!(pipes.taken() > 0, "nothing went through a pipe");
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(client);
    writer.abort();
    let _ = writer.await;
    relay.await.expect("no panic");
    let (made, free) = pipes.counts();
    // One with bytes in it is closed, and counts no more.
    assert_eq!(made, free, "what is left is empty");
}

/// Says everything to the home in capitals, and waits for a word of the home after each line. Hates a colon, and keeps
/// full stops from the client.
#[derive(Debug, Default)]
struct Loud {
    waiting: bool,
    held: Vec<u8>,
    hated: bool,
}

impl Watch for Loud {
    fn up(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.held.extend_from_slice(bytes);
        while !self.waiting && !self.held.is_empty() {
            let end = self.held.iter().position(|byte| *byte == b'\n');
            let line: Vec<u8> = self
                .held
                .drain(..end.map_or(self.held.len(), |end| end + 1))
                .collect();
            self.hated |= line.contains(&b':');
            self.waiting = end.is_some();
            out.extend(line.to_ascii_uppercase());
        }
        if self.hated { Err("a colon") } else { Ok(()) }
    }

    fn waits(&self) -> bool {
        self.waiting
    }

    fn down<'a>(&mut self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.waiting = false;
        match bytes.contains(&b'.') {
            true => bytes
                .iter()
                .copied()
                .filter(|byte| *byte != b'.')
                .collect::<Vec<u8>>()
                .into(),
            false => bytes.into(),
        }
    }
}

async fn reads(connection: &mut Connection, expected: &str) {
    let mut got = vec![0; expected.len()];
    connection.read_exact(&mut got).await.expect("bytes");
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

#[tokio::test(start_paused = true)]
async fn somebody_between_decides_what_arrives() {
    let (mut client, near_client) = Connection::pair();
    let (mut home, near_home) = Connection::pair();
    let (_sessions, session) = session();
    let leg = |connection, leftover: &'static [u8]| Leg {
        connection,
        leftover: Bytes::from_static(leftover),
    };
    // What was read before the relay began goes the same way.
    let (early, said) = (leg(near_client, b"one\ntwo\n"), leg(near_home, b"hi."));
    let relay = Relay::new(early, said, Duration::from_secs(600), session);
    let relay = tokio::spawn(relay.watched(Box::new(Loud::default())));
    reads(&mut client, "hi").await;
    reads(&mut home, "ONE\nTWO\n").await;
    // Both lines are out because the home has spoken; now it has not.
    client.write_all(b"three\nfour").await.expect("write");
    let nothing = tokio::time::timeout(Duration::from_secs(60), home.read_u8()).await;
    assert!(
        nothing.is_err(),
        "the client is heard before the home has answered"
    );
    home.write_all(b".").await.expect("write");
    reads(&mut home, "THREE\n").await;
    home.write_all(b"ok.").await.expect("write");
    reads(&mut client, "ok").await;
    reads(&mut home, "FOUR").await;
    client.write_all(b"a:b").await.expect("write");
    let report = relay.await.expect("no panic");
    assert!(
        matches!(report.end, RelayEnd::Refused("a colon")),
        "{:?}",
        report.end
    );
    assert_eq!((report.bytes_up, report.bytes_down), (18, 4));
    let mut rest = Vec::new();
    home.read_to_end(&mut rest).await.expect("closed");
    assert_eq!(rest, b"", "nothing of what was refused");
}
