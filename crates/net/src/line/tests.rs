//! What a line stream does with every kind of input.

use super::*;
use proptest::prelude::*;
use tokio::io::AsyncReadExt;

const SOON: Duration = Duration::from_secs(5);

async fn write(connection: &mut Connection, bytes: &[u8]) {
    connection.write_all(bytes).await.expect("the pipe is open");
}

#[tokio::test]
async fn strict_and_lenient_lines() {
    for (policy, lines) in [
        (LinePolicy::Strict, &["a\nb\rc", "", "d"][..]),
        (LinePolicy::AcceptLf, &["a", "b\rc", "", "d"][..]),
    ] {
        let (mut far, near) = Connection::pair();
        let mut stream = LineStream::new(near, 100).with_policy(policy);
        write(&mut far, b"a\nb\rc\r\n\r\nd\r\n").await;
        for line in lines {
            assert_eq!(stream.read_line(SOON).await.expect("a line"), line.as_bytes());
        }
        assert!(!stream.has_input());
        assert_eq!(stream.input.capacity(), 0, "nothing is held while idle");
        drop(far);
        assert!(matches!(stream.read_line(SOON).await, Err(ReadError::Closed)));
    }
}

#[tokio::test]
async fn too_long_a_line_is_skipped_whole() {
    for extra in [1, 2, 3, 9_000, 200_000] {
        let (mut far, near) = Connection::pair();
        let mut stream = LineStream::new(near, 10);
        let line = vec![b'x'; 10 + extra];
        tokio::spawn(async move {
            write(&mut far, &line).await;
            write(&mut far, b"\r\nshort\r\n").await;
            write(&mut far, b"0123456789\r\n").await;
        });
        assert!(
            matches!(stream.read_line(SOON).await, Err(ReadError::LineTooLong)),
            "{extra}"
        );
        assert_eq!(stream.read_line(SOON).await.expect("the next"), "short");
        assert_eq!(
            stream.read_line(SOON).await.expect("just long enough"),
            "0123456789"
        );
    }
}

#[tokio::test]
async fn an_endless_line_ends_the_session_in_bounded_memory() {
    let (mut far, near) = Connection::pair();
    let mut stream = LineStream::new(near, 1000);
    tokio::spawn(async move { while far.write_all(&[b'x'; 4096]).await.is_ok() {} });
    assert!(matches!(stream.read_line(SOON).await, Err(ReadError::Io(_))));
    assert!(stream.input.capacity() < 100_000);
}

#[tokio::test(start_paused = true)]
async fn deadline() {
    let (mut far, near) = Connection::pair();
    let mut stream = LineStream::new(near, 100);
    write(&mut far, b"half").await;
    assert!(matches!(stream.read_line(SOON).await, Err(ReadError::TimedOut)));
    write(&mut far, b" a line\r\n").await;
    assert_eq!(
        stream.read_line(SOON).await.expect("the rest came"),
        "half a line"
    );
}

#[tokio::test]
async fn exact_some_and_unread() {
    let (mut far, near) = Connection::pair();
    let mut stream = LineStream::new(near, 100);
    write(&mut far, b"12345line\r\nrest").await;
    assert_eq!(stream.read_exact(5, SOON).await.expect("five"), "12345");
    assert_eq!(stream.read_some(2, SOON).await.expect("two"), "li");
    stream.unread(b"li");
    assert_eq!(stream.read_line(SOON).await.expect("a line"), "line");
    let (_, leftover) = stream.into_parts();
    assert_eq!(leftover, "rest");
}

#[tokio::test]
async fn queued_output_is_sent_before_waiting() {
    let (far, near) = Connection::pair();
    let (mut server, mut client) = (LineStream::new(near, 100), LineStream::new(far, 100));
    server.write(b"220 ready\r\n");
    assert_eq!(server.queued(), 11);
    let dialogue = async {
        assert_eq!(client.read_line(SOON).await.expect("greeting"), "220 ready");
        client.write(b"QUIT\r\n");
        client.flush(SOON).await.expect("sent");
    };
    let (line, ()) = tokio::join!(server.read_line(SOON), dialogue);
    assert_eq!(line.expect("a line"), "QUIT");
    assert_eq!(server.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_times_out() {
    let (_far, near) = Connection::pair();
    let mut stream = LineStream::new(near, 100);
    stream.write(&vec![0; 1_000_000]);
    let error = stream.flush(SOON).await.expect_err("the pipe is full");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn plaintext_before_the_handshake_is_discarded() {
    let files = crate::tls::tests::Files::new("mail.example.test");
    let (far, near) = Connection::pair();
    let (server_tls, client_tls) = (files.server(), files.client());
    let server = tokio::spawn(async move {
        let mut stream = LineStream::new(near, 100);
        assert_eq!(stream.read_line(SOON).await.expect("a line"), "STARTTLS");
        assert!(stream.has_input(), "the injected command is here");
        stream.write(b"220 go\r\n");
        stream.start_tls(&server_tls, SOON).await.expect("a handshake");
        assert!(stream.is_encrypted() && !stream.has_input());
        let line = stream.read_line(SOON).await.expect("a line");
        stream.close(SOON).await;
        line
    });
    let mut client = LineStream::new(far, 100);
    client.write(b"STARTTLS\r\nINJECTED\r\n");
    assert_eq!(client.read_line(SOON).await.expect("a reply"), "220 go");
    client
        .start_tls_client(&client_tls, "mail.example.test", SOON)
        .await
        .expect("a handshake");
    client.write(b"after\r\n");
    client.flush(SOON).await.expect("sent");
    assert_eq!(server.await.expect("no panic"), "after");
    let mut rest = Vec::new();
    client
        .into_parts()
        .0
        .read_to_end(&mut rest)
        .await
        .expect("closed properly");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn lines_do_not_depend_on_how_the_bytes_arrive(
        input in "[ab\r\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6), max in 1usize..20,
    ) {
        let mut whole = LineStream::with_leftover(Connection::Closed, Bytes::from(input.clone()), max);
        let mut parts = LineStream::new(Connection::Closed, max);
        let mut expected = Vec::new();
        loop {
            match whole.take_line() {
                Ok(None) if whole.skipped.is_none() => break,
                Ok(None) => break,
                Ok(Some(line)) => expected.push(Some(line)),
                Err(_) => expected.push(None),
            }
        }
        let mut found = Vec::new();
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
        cuts.extend([0, input.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            parts.input.extend_from_slice(&input.as_bytes()[pair[0]..pair[1]]);
            loop {
                match parts.take_line() {
                    Ok(None) => break,
                    Ok(Some(line)) => found.push(Some(line)),
                    Err(_) => found.push(None),
                }
            }
        }
        prop_assert_eq!(expected, found);
    }
}
