//! RFC 5321 at the edge, per-recipient routing, and every mix of homes' replies in both modes.

use crate::support::{Client, Front, SOON, context, domains, front, listed_domains};
use frontend::smtp::{SmtpProxy, serve};
use frontend::{ProxyContext, SmtpProxyConfig};
use model::{ByteSize, Protocol};
use net::{LineStream, ListenerConfig};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use wire::smtp::{BareLineEnds, DotDecoder, Progress};

type Replies = &'static [&'static str];

/// How a home answers at each step. A reply `die` closes the connection there.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    pub(crate) greeting: &'static str,
    pub(crate) hello: &'static str,
    pub(crate) mail: &'static str,
    pub(crate) rcpt: &'static str,
    pub(crate) data: &'static str,
    /// After the final dot; one for each recipient in LMTP.
    pub(crate) end: &'static [&'static str],
}

pub(crate) const GOOD: Manners = Manners {
    greeting: "220 home",
    hello: "250-home\r\n250-SIZE\r\n250-8BITMIME\r\n250-XCLIENT ADDR PORT HELO\r\n250 XFORWARD ADDR HELO IDENT SOURCE",
    mail: "250 2.1.0 ok",
    rcpt: "250 2.1.5 ok",
    data: "354 go",
    end: &["250 2.0.0 kept"],
};

/// What a home saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) lines: Vec<String>,
    pub(crate) messages: Vec<String>,
    /// The beginning of a message that comes in chunks.
    chunks: String,
    /// Sessions that ended inside the data, before the final dot.
    pub(crate) broken_off: usize,
}

pub(crate) struct Home {
    pub(crate) name: String,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl Home {
    pub(crate) async fn start(manners: Manners) -> Self {
        Self::start_each(&[manners]).await
    }

    /// Has these manners in its first connections, and the last ones in all that follow.
    pub(crate) async fn start_each(manners: &[Manners]) -> Self {
        let mut manners: VecDeque<Manners> = manners.iter().cloned().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let name = listener.local_addr().expect("bound").to_string();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let next = match manners.len() {
                    0 | 1 => manners.front().cloned(),
                    _ => manners.pop_front(),
                };
                let (manners, log) = (next.expect("at least one"), log.clone());
                tokio::spawn(async move {
                    let mut stream = LineStream::new(stream.into(), 65_536);
                    let _ = host(&mut stream, &manners, &log).await;
                });
            }
        });
        Self { name, seen }
    }

    pub(crate) fn heard(&self, start: &str) -> Vec<String> {
        let seen = self.seen.lock();
        seen.lines
            .iter()
            .filter(|line| line.starts_with(start))
            .cloned()
            .collect()
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.seen.lock().messages.clone()
    }
}

/// Gives a reply, `slow` ones after a while; none when the home dies of it.
async fn say(stream: &mut LineStream, reply: &str) -> Option<()> {
    if reply == "die" {
        return None;
    }
    let reply = match reply.strip_prefix("slow ") {
        Some(reply) => {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            reply
        }
        None => reply,
    };
    stream.write(reply.as_bytes());
    stream.write(b"\r\n");
    Some(())
}

async fn host(stream: &mut LineStream, manners: &Manners, log: &Mutex<Seen>) -> Option<()> {
    say(stream, manners.greeting).await?;
    loop {
        let line = stream.read_line(SOON).await.ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        log.lock().lines.push(line.clone());
        if let Some(size) = line.strip_prefix("BDAT ") {
            chunk(stream, size, manners, log).await?;
            continue;
        }
        let reply = match line.get(..4)? {
            "EHLO" | "LHLO" => manners.hello,
            "MAIL" => manners.mail,
            // A recipient can ask for a reply of its own.
            "RCPT" if line.contains("slow") => "slow 250 2.1.5 ok",
            "RCPT" if line.contains("late") => "450 4.2.1 later",
            "RCPT" if line.contains("gone") => "550 5.1.1 gone",
            "RCPT" => manners.rcpt,
            "XCLI" if line.contains("198.51.100.99") => "501 5.5.4 what do you mean",
            "QUIT" => return None,
            "DATA" => manners.data,
            _ => "250 fine",
        };
        say(stream, reply).await?;
        if line == "DATA" && reply.starts_with("354") {
            if reply == "354 deaf" {
                let _ = stream.flush(SOON).await;
                tokio::time::sleep(SOON).await;
                return None;
            }
            if reply == "354 half" {
                // It dies when it has a part of the message.
                let _ = stream.read_some(1, SOON).await;
                return None;
            }
            let message = data(stream).await;
            match message {
                Some(message) => log.lock().messages.push(message),
                None => {
                    log.lock().broken_off += 1;
                    return None;
                }
            }
            for reply in manners.end {
                let _ = stream.flush(SOON).await;
                say(stream, reply).await?;
            }
        }
    }
}

async fn chunk(stream: &mut LineStream, size: &str, manners: &Manners, log: &Mutex<Seen>) -> Option<()> {
    let (size, last) = match size.strip_suffix(" LAST") {
        Some(size) => (size, true),
        None => (size, false),
    };
    let octets = stream.read_exact(size.parse().ok()?, SOON).await.ok()?;
    let text = String::from_utf8_lossy(&octets).into_owned();
    let begun = {
        let mut seen = log.lock();
        seen.chunks.push_str(&text);
        std::mem::take(&mut seen.chunks)
    };
    if !last {
        log.lock().chunks = begun;
        return say(stream, "250 2.0.0 chunk").await;
    }
    log.lock().messages.push(begun);
    for reply in manners.end {
        say(stream, reply).await?;
    }
    Some(())
}

async fn data(stream: &mut LineStream) -> Option<String> {
    let mut decoder = DotDecoder::new(BareLineEnds::Reject);
    let mut message = Vec::new();
    loop {
        let input = stream.read_some(65_536, SOON).await.ok()?;
        if let Progress::Done { consumed } = decoder.decode(&input, &mut message) {
            stream.unread(&input[consumed..]);
            assert!(!decoder.saw_bare_line_end(), "nothing that we send can smuggle");
            return String::from_utf8(message).ok();
        }
    }
}

pub(crate) async fn smtp(rules: &[(&str, &str)], configure: impl FnOnce(&mut SmtpProxyConfig)) -> Front {
    smtp_with(context(rules), |_| {}, configure).await
}

pub(crate) async fn smtp_with(
    context: ProxyContext,
    listener: fn(&mut ListenerConfig),
    configure: impl FnOnce(&mut SmtpProxyConfig),
) -> Front {
    let mut config = SmtpProxyConfig {
        domains: listed_domains(&["example.test"]),
        max_recipients: 5,
        ..SmtpProxyConfig::default()
    };
    configure(&mut config);
    let proxy =
        Arc::new(SmtpProxy::new(config.clone(), context, domains(&config.domains)).expect("good homes"));
    front(Protocol::Smtp, listener, move |accepted| {
        serve(accepted, proxy.clone())
    })
    .await
}

pub(crate) async fn greeted(front: &Front) -> Client {
    let mut client = Client::connect(front.address).await;
    assert!(client.line().await.starts_with("220 front.example.test"));
    client.until("EHLO client.test", "250 ").await;
    client
}

/// Sends one message to these local-parts; gives the replies to RCPT and to the message, as far as it came.
pub(crate) async fn deliver(client: &mut Client, to: &[&str], message: &str) -> (Vec<String>, String) {
    assert!(
        client
            .ask("MAIL FROM:<sender@elsewhere.test>")
            .await
            .starts_with("250")
    );
    let mut replies = Vec::new();
    for local in to {
        replies.push(client.ask(&format!("RCPT TO:<{local}@example.test>")).await);
    }
    let go = client.ask("DATA").await;
    if !go.starts_with("354") {
        client.ask("RSET").await;
        return (replies, go);
    }
    let end = client.ask(&format!("{message}\r\n.")).await;
    (replies, end)
}

#[tokio::test]
async fn one_home_gives_its_own_replies() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    let (replies, end) = deliver(
        &mut client,
        &["alice", "late", "gone"],
        "Subject: x\r\n\r\n..dots\r\nend",
    )
    .await;
    assert_eq!(replies, ["250 2.1.5 ok", "450 4.2.1 later", "550 5.1.1 gone"]);
    assert_eq!(end, "250 2.0.0 kept");
    let messages = home.messages();
    let (received, rest) = messages[0].split_once("Subject").expect("the message");
    assert_eq!(rest, ": x\r\n\r\n.dots\r\nend\r\n");
    for part in [
        "Received: from client.test ([127.0.0.1])",
        "by front.example.test with ESMTP id ",
        "for <alice@example.test>;",
    ] {
        assert!(received.contains(part), "{part} in {received}");
    }
    assert_eq!(home.heard("XCLIENT").len(), 1);
    assert_eq!(home.heard("XFORWARD").len(), 1);
    assert!(home.heard("XCLIENT")[0].contains("ADDR=127.0.0.1"));
    assert!(
        home.heard("XFORWARD")[0].contains("IDENT="),
        "the trace goes along"
    );
    assert_eq!(
        home.heard("EHLO"),
        ["EHLO front.example.test", "EHLO client.test"]
    );
    // The session goes on with a second transaction.
    let (_, end) = deliver(&mut client, &["bob"], "again").await;
    assert_eq!(end, "250 2.0.0 kept");
    assert_eq!(home.heard("EHLO").len(), 2, "over the same connection");
    assert_eq!(
        home.heard("XFORWARD").len(),
        2,
        "which holds for one transaction only"
    );
    assert!(client.ask("QUIT").await.starts_with("221"));
    assert!(client.is_closed().await);
}

/// A kept connection that the home has closed meanwhile is opened anew.
#[tokio::test]
async fn a_home_may_close_between_messages() {
    let table: [Replies; 2] = [
        &["250 2.0.0 kept", "421 4.4.2 idle", "die"],
        &["250 2.0.0 kept", "die"],
    ];
    for end in table {
        let home = Home::start(Manners { end, ..GOOD }).await;
        let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
        let mut client = greeted(&front).await;
        for _ in 0..3 {
            let (_, end) = deliver(&mut client, &["alice"], "x").await;
            assert_eq!(end, "250 2.0.0 kept");
        }
        assert_eq!((home.messages().len(), home.heard("EHLO").len()), (3, 6));
    }
}

#[tokio::test]
async fn reply_codes_of_routing() {
    let home = Home::start(GOOD).await;
    let rules = [
        ("alice@example.test", home.name.as_str()),
        ("down@example.test", "127.0.0.1:1"),
        ("refused@example.test", "reject"),
        ("postmaster@example.test", "reject"),
        ("relay@other.test", home.name.as_str()),
    ];
    let front = smtp(&rules, |config| config.group_home = Some(home.name.clone())).await;
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<>").await;
    for (to, code) in [
        ("alice@example.test", "250 2.1.5"),
        ("alice@EXAMPLE.test", "250 2.1.5"),
        // A map knows it, and still it is no domain of ours.
        ("relay@other.test", "550 5.7.1"),
        ("user@[192.0.2.1]", "550 5.7.1"),
        ("nobody@example.test", "550 5.1.1"),
        ("refused@example.test", "550 5.1.1"),
        ("Postmaster", "250 2.1.5"),
        ("postmaster@example.test", "250 2.1.5"),
        ("bad", "501 5.1.3"),
    ] {
        let reply = client.ask(&format!("RCPT TO:<{to}>")).await;
        assert!(reply.starts_with(code), "{to}: {reply}");
    }
    client.ask("RSET").await;
    client.ask("MAIL FROM:<>").await;
    let reply = client.ask("RCPT TO:<down@example.test>").await;
    assert!(reply.starts_with("451 4.4.1"), "{reply}");
    // A home that refused leaves the transaction free for another.
    assert!(
        client
            .ask("RCPT TO:<alice@example.test>")
            .await
            .starts_with("250")
    );
}

#[tokio::test]
async fn order_and_limits() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |config| {
        config.max_message_size = ByteSize(5_000)
    })
    .await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    assert!(client.ask("MAIL FROM:<>").await.starts_with("503"));
    for line in [
        "250-front.example.test",
        "250-PIPELINING",
        "250-SIZE 5000",
        "250-8BITMIME",
        "250-ENHANCEDSTATUSCODES",
        "250-STARTTLS",
        "250-SMTPUTF8",
        "250-CHUNKING",
        "250-XTRACE",
        "250 LIMITS RCPTMAX=5",
    ] {
        let found = if line.starts_with("250-front") {
            client.ask("EHLO x").await
        } else {
            client.line().await
        };
        assert!(found.starts_with(line), "{found}");
    }
    assert!(client.ask("RCPT TO:<a@example.test>").await.starts_with("503"));
    assert!(client.ask("DATA").await.starts_with("503"));
    assert!(client.ask("AUTH PLAIN AAAA").await.starts_with("502"));
    assert!(client.ask("VRFY a").await.starts_with("252"));
    assert!(
        client
            .ask("MAIL FROM:<> SIZE=5001")
            .await
            .starts_with("552 5.3.4")
    );
    assert!(client.ask("MAIL FROM:<> FOO=1").await.starts_with("555"));
    assert!(
        client
            .ask("MAIL FROM:<> SIZE=10 BODY=8BITMIME")
            .await
            .starts_with("250")
    );
    assert!(client.ask("MAIL FROM:<>").await.starts_with("503"));
    assert!(client.ask("DATA").await.starts_with("554 5.5.1"));
    for index in 0..5 {
        assert!(
            client
                .ask(&format!("RCPT TO:<r{index}@example.test>"))
                .await
                .starts_with("250")
        );
    }
    assert!(
        client
            .ask("RCPT TO:<r6@example.test>")
            .await
            .starts_with("452 4.5.3")
    );
    assert!(client.ask("DATA").await.starts_with("354"));
    let reply = client.ask(&format!("{}\r\n.", "x".repeat(6_000))).await;
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    let (_, end) = deliver(&mut client, &["a"], &"Received: x\r\n".repeat(30)).await;
    assert!(end.starts_with("554 5.4.6"), "{end}");
    let (_, end) = deliver(&mut client, &["a"], &"Received: x\r\n".repeat(29)).await;
    assert!(end.starts_with("250"), "{end}");
    assert!(client.ask(&"x".repeat(5_000)).await.starts_with("500"));
    assert_eq!(home.heard("MAIL")[0], "MAIL FROM:<> SIZE=10 BODY=8BITMIME");
    assert_eq!((home.messages().len(), home.seen.lock().broken_off), (1, 0));
    for _ in 0..20 {
        client.send("NONSENSE\r\n");
    }
    assert!(client.until("NONSENSE", "421").await.starts_with("421 4.7.0"));
    assert!(client.is_closed().await);
    // Some unknown recipients in each message are no offence, however many messages come.
    let mut client = greeted(&front).await;
    for _ in 0..3 {
        let (replies, end) = deliver(&mut client, &[&["gone"; 15][..], &["a"]].concat(), "x").await;
        assert!(replies[14].starts_with("550") && end.starts_with("250"), "{end}");
    }
    // With the DATA that has nobody to go to.
    let (replies, _) = deliver(&mut client, &["gone"; 18], "x").await;
    assert!(replies[17].starts_with("550"));
    assert!(client.ask("NONSENSE").await.starts_with("500"));
    assert!(client.line().await.starts_with("421 4.7.0"));
    // Nor is it free to ask for ever.
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<s@elsewhere.test>").await;
    for _ in 0..2_019 {
        client.send("RCPT TO:<late@example.test>\r\n");
    }
    for _ in 0..2_019 {
        let reply = client.line().await;
        assert!(reply.starts_with("450"), "{reply}");
    }
    assert!(client.ask("RCPT TO:<late@example.test>").await.starts_with("450"));
    assert!(client.line().await.starts_with("421 4.7.0"));
    let mut client = greeted(&front).await;
    for _ in 0..200 {
        client.send("NOOP\r\n");
    }
    assert!(
        client.until("NOOP", "421").await.starts_with("421 4.7.0"),
        "nothing is got by waiting"
    );
}

#[tokio::test]
async fn smuggling_is_refused() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    for ending in ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r"] {
        let mut client = greeted(&front).await;
        let message = format!("a{ending}MAIL FROM:<smuggled@example.test>\r\nRCPT TO:<b@example.test>\r\n");
        let (_, end) = deliver(&mut client, &["alice"], &message).await;
        assert!(end.starts_with("550 5.6.0"), "{ending:?}: {end}");
        assert!(client.ask("NOOP").await.starts_with("250"));
    }
    assert!(home.messages().is_empty());
    assert!(home.heard("MAIL").iter().all(|line| !line.contains("smuggled")));
}

// RFC 2920: a client may send all of it at once.
#[tokio::test]
async fn pipelining() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    client.send("MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<gone@example.test>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n");
    for code in ["250", "250", "550", "354", "250", "221"] {
        let line = client.line().await;
        assert!(line.starts_with(code), "{line}");
    }
    assert!(client.is_closed().await);
}

// RFC 3207 section 4.2, CVE-2011-0411.
#[tokio::test]
async fn starttls_discards_what_came_before() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    assert!(
        client
            .ask("STARTTLS\r\nMAIL FROM:<mallory@example.test>")
            .await
            .starts_with("220")
    );
    client
        .0
        .start_tls_client(&front.tls, "localhost", SOON)
        .await
        .expect("a handshake");
    assert!(
        client.ask("MAIL FROM:<>").await.starts_with("503"),
        "EHLO is forgotten too"
    );
    assert!(
        !client
            .until("EHLO client.test", "250 ")
            .await
            .contains("STARTTLS")
    );
    let (_, end) = deliver(&mut client, &["alice"], "x").await;
    assert!(end.starts_with("250"), "{end}");
    assert!(home.messages()[0].contains("with ESMTPS"));
}

#[tokio::test]
async fn split_has_one_home() {
    let (one, two) = (Home::start(GOOD).await, Home::start(GOOD).await);
    let rules = [
        ("a@example.test", one.name.as_str()),
        ("b@example.test", &two.name),
        ("gone@example.test", &two.name),
    ];
    let front = smtp(&rules, |_| {}).await;
    let mut client = greeted(&front).await;
    let (replies, end) = deliver(&mut client, &["gone", "a", "b"], "x").await;
    assert!(
        replies[0].starts_with("550") && replies[1].starts_with("250"),
        "{replies:?}"
    );
    assert!(replies[2].starts_with("452 4.5.3"), "{replies:?}");
    assert_eq!(end, "250 2.0.0 kept");
    let (_, end) = deliver(&mut client, &["b"], "x").await;
    assert_eq!(end, "250 2.0.0 kept");
    assert_eq!((one.messages().len(), two.messages().len()), (1, 1));
}

/// With one home, what goes wrong after RCPT.
#[tokio::test]
async fn one_home_that_fails() {
    let table = [
        (
            Manners {
                greeting: "554 no",
                ..GOOD
            },
            "451 4.4.1",
            "",
        ),
        (
            Manners {
                greeting: "die",
                ..GOOD
            },
            "451 4.4.1",
            "",
        ),
        (
            Manners {
                greeting: "garbage",
                ..GOOD
            },
            "451 4.4.1",
            "",
        ),
        (
            Manners {
                hello: "421 busy",
                ..GOOD
            },
            "451 4.4.1",
            "",
        ),
        (
            Manners {
                mail: "550 5.7.1 not you",
                ..GOOD
            },
            "550 5.7.1 not you",
            "",
        ),
        (
            Manners {
                mail: "421 4.3.2 closing",
                ..GOOD
            },
            "451 4.3.2 closing",
            "",
        ),
        (Manners { rcpt: "die", ..GOOD }, "451 4.4.1", ""),
        (
            Manners {
                data: "451 4.3.0 disk",
                ..GOOD
            },
            "250",
            "451 4.3.0 disk",
        ),
        (
            Manners {
                data: "554 5.7.1 spam",
                ..GOOD
            },
            "250",
            "554 5.7.1 spam",
        ),
        (Manners { data: "die", ..GOOD }, "250", "451 4.4.2"),
        (
            Manners {
                end: &["550 5.7.1 spam"],
                ..GOOD
            },
            "250",
            "550 5.7.1 spam",
        ),
        (
            Manners {
                end: &["421 4.3.2 closing"],
                ..GOOD
            },
            "250",
            "451 4.3.2 closing",
        ),
        (
            Manners {
                end: &["die"],
                ..GOOD
            },
            "250",
            "451 4.4.2",
        ),
    ];
    for (manners, rcpt, message) in table {
        let home = Home::start(manners.clone()).await;
        let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
        let mut client = greeted(&front).await;
        let (replies, end) = deliver(&mut client, &["a"], "x").await;
        assert!(replies[0].starts_with(rcpt), "{manners:?}: {replies:?}");
        assert!(
            end.starts_with(if message.is_empty() { "554 5.5.1" } else { message }),
            "{manners:?}: {end}"
        );
        assert!(client.ask("NOOP").await.starts_with("250"), "the session goes on");
    }
}

#[tokio::test]
async fn a_home_that_hangs_is_given_up_in_time() {
    let home = Home::start(Manners { end: &[], ..GOOD }).await;
    let front = smtp(&[("@example.test", &home.name)], |config| {
        config.home_data_timeout = 1
    })
    .await;
    let mut client = greeted(&front).await;
    let (_, end) = deliver(&mut client, &["a"], "x").await;
    assert!(end.starts_with("451 4.4.2"), "{end}");

    let home = Home::start(Manners {
        mail: "250-never ends",
        ..GOOD
    })
    .await;
    let front = smtp(&[("@example.test", &home.name)], |config| config.home_timeout = 1).await;
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<>").await;
    let reply = client.ask("RCPT TO:<a@example.test>").await;
    assert!(reply.starts_with("451 4.4.1"), "{reply}");
}

/// The final replies of two homes and what the spill home says of the rest.
#[tokio::test]
async fn parallel_gives_one_honest_reply() {
    const OK: &[&str] = &["250 2.0.0 kept"];
    const TEMPORARY: &[&str] = &["451 4.3.0 later"];
    const PERMANENT: &[&str] = &["554 5.7.1 never"];
    const DEAD: &[&str] = &["die"];
    // (first home, second home, spill home, reply, messages at the spill home)
    let table: [(Replies, Replies, Replies, &str, usize); 12] = [
        (OK, OK, OK, "250", 0),
        (TEMPORARY, TEMPORARY, OK, "451 4.3.0 later", 0),
        (PERMANENT, PERMANENT, OK, "554 5.7.1 never", 0),
        (PERMANENT, TEMPORARY, OK, "451 4.3.0 later", 0),
        (DEAD, DEAD, OK, "451 4.4.2", 0),
        (DEAD, PERMANENT, OK, "451 4.4.2", 0),
        (OK, TEMPORARY, OK, "250 2.0.0", 1),
        (PERMANENT, OK, OK, "250 2.0.0", 1),
        (OK, DEAD, OK, "250 2.0.0", 1),
        (OK, TEMPORARY, TEMPORARY, "451 4.3.0 Not all", 1),
        (OK, PERMANENT, PERMANENT, "451 4.3.0 Not all", 1),
        (DEAD, OK, DEAD, "451 4.3.0 Not all", 1),
    ];
    for (first, second, third, reply, spilled) in table {
        let one = Home::start(Manners { end: first, ..GOOD }).await;
        let two = Home::start(Manners { end: second, ..GOOD }).await;
        let spill = Home::start(Manners { end: third, ..GOOD }).await;
        let rules = [
            ("a@example.test", one.name.as_str()),
            ("b@example.test", &two.name),
            ("c@example.test", &two.name),
        ];
        let front = smtp(&rules, |config| config.spill_home = Some(spill.name.clone())).await;
        let mut client = greeted(&front).await;
        let (replies, end) = deliver(&mut client, &["a", "b", "c"], "Subject: x\r\n\r\nx").await;
        assert!(
            replies.iter().all(|reply| reply.starts_with("250")),
            "{replies:?}"
        );
        assert!(end.starts_with(reply), "{first:?} {second:?} {third:?}: {end}");
        assert_eq!(spill.messages().len(), spilled, "{first:?} {second:?} {third:?}");
        if spilled > 0 {
            assert!(spill.heard("XCLIENT").is_empty() && spill.heard("XFORWARD").len() == 1);
            let failing = if first == OK { 2 } else { 1 };
            assert_eq!(spill.heard("RCPT").len(), failing, "only those whose home failed");
            assert!(
                !spill.messages()[0].contains("for <"),
                "no recipient is told of another"
            );
        }
    }
}

/// A home that refuses or dies before the final dot must not keep the others from theirs.
#[tokio::test]
async fn parallel_with_a_leg_lost_early() {
    for manners in [
        Manners { data: "die", ..GOOD },
        Manners {
            data: "451 4.3.0 full",
            ..GOOD
        },
    ] {
        let (one, two, spill) = (
            Home::start(GOOD).await,
            Home::start(manners).await,
            Home::start(GOOD).await,
        );
        let rules = [
            ("a@example.test", one.name.as_str()),
            ("b@example.test", &two.name),
        ];
        let front = smtp(&rules, |config| {
            config.spill_home = Some(spill.name.clone());
            // Through the temporary file, too.
            config.buffer_memory = ByteSize(1_000);
        })
        .await;
        let mut client = greeted(&front).await;
        let body = "0123456789abcdef\r\n".repeat(20_000);
        let (_, end) = deliver(&mut client, &["a", "b"], body.trim_end()).await;
        assert!(end.starts_with("250 2.0.0"), "{end}");
        assert!(one.messages()[0].ends_with(&body) && spill.messages()[0].ends_with(&body));
        assert_eq!(spill.heard("RCPT"), ["RCPT TO:<b@example.test>"]);
    }
}

// RFC 2033 section 4.2.
#[tokio::test]
async fn a_client_that_breaks_off_leaves_no_message() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<>").await;
    client.ask("RCPT TO:<a@example.test>").await;
    client.ask("DATA").await;
    client.send("half a message\r\n.\r");
    client.0.flush(SOON).await.expect("sent");
    drop(client);
    // The leg is let go: the home hears QUIT, and never DATA.
    for _ in 0..1_000 {
        if !home.heard("QUIT").is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(!home.heard("QUIT").is_empty() && home.heard("DATA").is_empty() && home.messages().is_empty());
}
