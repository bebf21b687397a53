//! Homes that fail in ways that could make the edge say what is not so: 250 for a message that nobody has, or
//! "no" for what would go well later.

use crate::smtp::{GOOD, Home, Manners, deliver, greeted, smtp, smtp_with};
use crate::support::{Do, SOON, context, context_with};
use frontend::HomeProtocol;
use model::ByteSize;
use tokio::net::TcpListener;

/// A reply that comes after we gave up on it must not be taken for the reply to what was said since: here, a late
/// 250 to RCPT for the reply to DATA.
#[tokio::test]
async fn a_late_reply_is_no_reply_to_the_next_command() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |config| config.home_timeout = 1).await;
    let mut client = greeted(&front).await;
    let (replies, end) = deliver(&mut client, &["a", "slow"], "x").await;
    assert!(
        replies[0].starts_with("250") && replies[1].starts_with("451 4.4.1"),
        "{replies:?}"
    );
    assert_eq!(end, "250 2.0.0 kept");
    assert_eq!(home.messages().len(), 1, "250 is said of a message that is there");
    assert_eq!(
        home.heard("RCPT").last().map(String::as_str),
        Some("RCPT TO:<a@example.test>"),
        "over a new connection, to those that were accepted"
    );
}

/// 2xx to DATA accepts nothing.
#[tokio::test]
async fn data_that_is_answered_with_250_is_not_taken() {
    for data in ["250 2.0.0 thanks", "220 hello", "334 go"] {
        let home = Home::start(Manners { data, ..GOOD }).await;
        let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
        let mut client = greeted(&front).await;
        let (_, end) = deliver(&mut client, &["a"], "x").await;
        assert!(end.starts_with("451 4.4.2"), "{data}: {end}");
        assert!(home.messages().is_empty());
    }
}

/// A large message over a slow line takes longer than homes wait for the next command.
#[tokio::test]
async fn a_home_that_hung_up_meanwhile_is_opened_anew() {
    for data in ["421 4.4.2 idle", "die"] {
        let home = Home::start_each(&[Manners { data, ..GOOD }, GOOD]).await;
        let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
        let mut client = greeted(&front).await;
        let (_, end) = deliver(&mut client, &["a", "b"], "x").await;
        assert_eq!(end, "250 2.0.0 kept", "{data}");
        assert_eq!((home.messages().len(), home.heard("RCPT").len()), (1, 4));
        assert_eq!(home.heard("XCLIENT").len(), 2, "it is told of the client again");
    }
    // It has changed its mind about one of them: the client asks again, recipient by recipient.
    let changed = Manners {
        rcpt: "550 5.1.1 gone",
        ..GOOD
    };
    let home = Home::start_each(&[Manners { data: "die", ..GOOD }, changed]).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    let (_, end) = deliver(&mut client, &["a"], "x").await;
    assert!(end.starts_with("451 4.4.2"), "{end}");
}

/// What a home says about our dialogue with it is nothing that the sender could mend: never a bounce.
#[tokio::test]
async fn a_quarrel_with_the_home_is_no_verdict_on_the_recipient() {
    for reply in [
        "530 5.7.0 Must issue a STARTTLS command first",
        "500 5.5.2 what?",
        "502 5.5.1 not here",
        "503 5.5.1 order",
        "504 5.5.4 no such parameter",
        "555 5.5.4 no such parameter",
        "354 go",
    ] {
        for manners in [Manners { mail: reply, ..GOOD }, Manners { rcpt: reply, ..GOOD }] {
            let home = Home::start(manners).await;
            let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
            let mut client = greeted(&front).await;
            let (replies, _) = deliver(&mut client, &["a"], "x").await;
            assert!(replies[0].starts_with("451 "), "{reply}: {replies:?}");
        }
        let home = Home::start(Manners {
            end: match reply {
                "503 5.5.1 order" => &["503 5.5.1 order"],
                _ => &["500 5.5.2 what?"],
            },
            ..GOOD
        })
        .await;
        let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
        let mut client = greeted(&front).await;
        let (_, end) = deliver(&mut client, &["a"], "x").await;
        assert!(end.starts_with("451 "), "{end}");
    }
}

/// An LMTP home that dies in the middle of its replies has still said what it said.
#[tokio::test]
async fn lmtp_replies_before_the_end_count() {
    let home = Home::start(Manners {
        end: &["250 2.0.0 a", "die"],
        ..GOOD
    })
    .await;
    let spill = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |config| {
        config.home_protocol = HomeProtocol::Lmtp;
        config.spill_home = Some(spill.name.clone());
    })
    .await;
    let mut client = greeted(&front).await;
    let (_, end) = deliver(&mut client, &["a", "b"], "x").await;
    assert!(end.starts_with("250"), "{end}");
    assert_eq!(spill.heard("RCPT"), ["RCPT TO:<b@example.test>"]);
}

/// A home that takes no data must not hold the others up until they give up in turn.
#[tokio::test]
async fn a_slow_leg_is_broken_off_before_the_others_lose_patience() {
    let (one, two, spill) = (
        Home::start(GOOD).await,
        // It says go and then reads nothing for a long time.
        Home::start(Manners {
            data: "354 deaf",
            ..GOOD
        })
        .await,
        Home::start(GOOD).await,
    );
    let rules = [
        ("a@example.test", one.name.as_str()),
        ("stuck@example.test", &two.name),
    ];
    let front = smtp(&rules, |config| {
        config.spill_home = Some(spill.name.clone());
        config.home_data_timeout = 4;
        config.home_timeout = 30;
    })
    .await;
    let mut client = greeted(&front).await;
    let body = "0123456789abcdef\r\n".repeat(800_000);
    let (_, end) = deliver(&mut client, &["a", "stuck"], body.trim_end()).await;
    assert!(end.starts_with("250 2.0.0"), "{end}");
    assert_eq!(one.messages().len(), 1);
    assert!(two.messages().is_empty(), "it never got the final dot");
    assert_eq!(spill.heard("RCPT"), ["RCPT TO:<stuck@example.test>"]);
}

#[tokio::test]
async fn space_for_messages_is_bounded() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |config| {
        config.max_message_size = ByteSize(256 << 10);
        config.max_buffered = ByteSize(256 << 10);
    })
    .await;
    let (mut first, mut second) = (greeted(&front).await, greeted(&front).await);
    for client in [&mut first, &mut second] {
        client.ask("MAIL FROM:<>").await;
        client.ask("RCPT TO:<a@example.test>").await;
        assert!(client.ask("DATA").await.starts_with("354"));
    }
    // The first one keeps its message open, and with it all of the space.
    let part = "x".repeat(1_000) + "\r\n";
    first.send(&part.repeat(200));
    first.0.flush(crate::support::SOON).await.expect("sent");
    let mut end = second.ask(".").await;
    for _ in 0..200 {
        // Its data may not have been read yet.
        assert!(end.starts_with("250"), "{end}");
        end = deliver(&mut second, &["a"], "small").await.1;
        if end.starts_with("452") {
            break;
        }
    }
    assert!(end.starts_with("452 4.3.1"), "{end}");
    assert_eq!(first.ask(".").await, "250 2.0.0 kept");
    let (_, end) = deliver(&mut second, &["a"], &part.repeat(200)).await;
    assert_eq!(end, "250 2.0.0 kept", "the space is free again");
}

/// A transaction that has begun may end while we drain; then the session does.
#[tokio::test]
async fn draining_lets_a_transaction_end() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let (mut busy, mut idle) = (greeted(&front).await, greeted(&front).await);
    busy.ask("MAIL FROM:<>").await;
    front.trigger.request(crate::support::SOON);
    assert!(idle.line().await.starts_with("421 4.3.2"));
    assert!(idle.is_closed().await);
    assert!(busy.ask("RCPT TO:<a@example.test>").await.starts_with("250"));
    assert!(busy.ask("DATA").await.starts_with("354"));
    assert_eq!(busy.ask("x\r\n.").await, "250 2.0.0 kept");
    assert!(busy.line().await.starts_with("421 4.3.2"));
    assert!(busy.is_closed().await);
}

/// A home that is not there, hangs, babbles, breaks off, or does not begin TLS: its recipients are put off, the
/// session goes on, and the others get the message.
#[tokio::test]
async fn every_fault_of_a_home_is_try_later() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let hangs = silent.local_addr().expect("bound").port();
    let (garbage, mute, closing, plain) = (
        Home::start(Manners {
            rcpt: "\u{1}\u{2} what",
            ..GOOD
        })
        .await,
        Home::start(Manners {
            greeting: "220 home",
            hello: "slow 250-and never",
            ..GOOD
        })
        .await,
        crate::support::Home::start(&[&[
            Do::Say("220 home\r\n"),
            Do::Hear("EHLO"),
            Do::Say("250-home\r\n250 STARTTLS\r\n"),
            Do::Hear("STARTTLS"),
            Do::Say("220 go\r\n"),
        ]])
        .await,
        Home::start(GOOD).await,
    );
    let port = |name: &str| name.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    let homes = [
        ("refuses", Some(1), "none"),
        ("hangs", Some(hangs), "none"),
        ("garbage", port(&garbage.name), "none"),
        ("mute", port(&mute.name), "none"),
        ("closing", port(&closing.name), "starttls"),
        ("plain", port(&plain.name), "starttls"),
    ];
    let sections: Vec<serde_json::Value> = homes
        .iter()
        .map(|(name, port, tls)| {
            serde_json::json!({
                "name": name, "host": "localhost", "connect_timeout": 3, "smtp": { "port": port, "tls": tls },
            })
        })
        .collect();
    let good = Home::start(GOOD).await;
    let names: Vec<String> = homes
        .iter()
        .map(|(name, _, _)| format!("{name}@example.test"))
        .collect();
    let mut rules: Vec<(&str, &str)> = names
        .iter()
        .zip(&homes)
        .map(|(who, home)| (who.as_str(), home.0))
        .collect();
    rules.push(("good@example.test", &good.name));
    let front = smtp_with(
        context_with(&rules, &sections),
        |_| {},
        |config| {
            config.home_timeout = 3;
            config.spill_home = Some(good.name.clone());
            config.max_recipients = 20;
        },
    )
    .await;
    let mut client = greeted(&front).await;
    let mut everybody: Vec<&str> = homes.iter().map(|home| home.0).collect();
    everybody.push("good");
    let (mut replies, end) = deliver(&mut client, &everybody, "x").await;
    assert_eq!(replies.pop().as_deref(), Some("250 2.1.5 ok"));
    for (reply, home) in replies.iter().zip(&homes) {
        assert!(reply.starts_with("451 4.4.1"), "{}: {reply}", home.0);
    }
    assert_eq!(end, "250 2.0.0 kept", "only those that were refused are left out");
    assert!(
        plain.heard("MAIL").is_empty(),
        "nothing is said in the clear to a home that must have TLS"
    );
    assert_eq!(good.messages().len(), 1);
    drop(silent);
}

/// In the middle of the message: nobody else's copy is touched, and the spill home takes over.
#[tokio::test]
async fn a_home_that_dies_in_the_middle_of_the_message() {
    let (one, two, spill) = (
        Home::start(GOOD).await,
        Home::start(Manners {
            data: "354 half",
            ..GOOD
        })
        .await,
        Home::start(GOOD).await,
    );
    let body = "0123456789abcdef\r\n".repeat(400_000);
    let rules = [
        ("a@example.test", one.name.as_str()),
        ("b@example.test", &two.name),
    ];
    let front = smtp(&rules, |config| config.spill_home = Some(spill.name.clone())).await;
    let mut client = greeted(&front).await;
    let (_, end) = deliver(&mut client, &["a", "b"], body.trim_end()).await;
    assert!(end.starts_with("250"), "{end}");
    assert!(one.messages()[0].ends_with(&body) && spill.messages()[0].ends_with(&body));
    assert!(two.messages().is_empty());
    // Alone, its sender hears "try later".
    let (_, end) = deliver(&mut client, &["b"], body.trim_end()).await;
    assert!(end.starts_with("451 4.4.2"), "{end}");
}

/// A client that sends octet by octet, one that sends a line without end, and one that waits inside its message.
#[tokio::test]
async fn clients_that_only_hold_the_line() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |config| {
        config.command_timeout = 3
    })
    .await;
    let mut slow = greeted(&front).await;
    let trickle = async {
        loop {
            slow.send("N");
            if slow.0.flush(SOON).await.is_err() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            // Its octets do not buy it time.
            if slow.0.has_input()
                || slow
                    .0
                    .read_some(1, std::time::Duration::from_millis(1))
                    .await
                    .is_ok()
            {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, trickle).await.expect("it is given up");
    let mut waiting = greeted(&front).await;
    waiting.ask("MAIL FROM:<>").await;
    waiting.ask("RCPT TO:<a@example.test>").await;
    waiting.ask("DATA").await;
    assert!(waiting.ask("half of it").await.starts_with("421 4.4.2"));
    assert!(waiting.is_closed().await);
    for begin in [
        "MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nBDAT 10\r\nhalf",
        "NO",
    ] {
        let mut waiting = greeted(&front).await;
        waiting.send(begin);
        let last = waiting.until("", "421").await;
        assert!(last.starts_with("421 4.4.2"), "{last}");
        assert!(waiting.is_closed().await);
    }
    let mut endless = greeted(&front).await;
    let part = "x".repeat(65_536);
    let mut sent = 0;
    // More than all buffers on the way hold together.
    while sent < 1_024 {
        endless.send(&part);
        if endless.0.flush(SOON).await.is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent < 1_024, "the connection is cut");
    assert!(home.messages().is_empty());
}

/// A client that keeps its connection would otherwise go on for ever.
#[tokio::test]
async fn a_drained_home_gets_no_mail_over_an_open_connection() {
    let home = Home::start(GOOD).await;
    let context = context(&[("@example.test", home.name.as_str())]);
    let dialer = context.dialer.clone();
    let front = smtp_with(context, |_| {}, |_| {}).await;
    let mut client = greeted(&front).await;
    let (_, end) = deliver(&mut client, &["a"], "x").await;
    assert!(end.starts_with("250"), "{end}");
    let name = directory::HomeRef::parse(&home.name).expect("a home");
    dialer.drain(&name, "new disks").expect("in memory");
    let (replies, _) = deliver(&mut client, &["b"], "x").await;
    assert!(replies[0].starts_with("451 4."), "{replies:?}");
    assert_eq!(home.heard("RCPT").len(), 1);
    assert!(dialer.enable(&name).expect("in memory"));
    let (_, end) = deliver(&mut client, &["c"], "x").await;
    assert!(end.starts_with("250"), "{end}");
    assert_eq!(home.messages().len(), 2);
}

/// Octets count where they went.
#[tokio::test]
async fn a_home_that_refuses_the_message_has_not_got_it() {
    let home = Home::start(Manners {
        data: "554 5.7.1 no",
        ..GOOD
    })
    .await;
    let context = context(&[("@example.test", home.name.as_str())]);
    let metrics = context.metrics.clone();
    let front = smtp_with(context, |_| {}, |_| {}).await;
    let (_, end) = deliver(&mut greeted(&front).await, &["a"], "x").await;
    assert_eq!(end, "554 5.7.1 no");
    let text = metrics.render();
    assert!(text.contains("homing_proxy_deliveries_total{"), "{text}");
    assert!(!text.contains("homing_proxy_bytes_total{"), "{text}");
}
