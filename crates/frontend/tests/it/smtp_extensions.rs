//! What a message asks of the servers on its way: carried to homes that know it, refused for those that do not.

use crate::smtp::{GOOD, Home, Manners, deliver, greeted, smtp, smtp_with};
use crate::support::{Client, Do, Front, SOON, certificate, context_with};
use frontend::smtp::{BareLineEndPolicy, OfferedExtension};
use net::{LineStream, ServerTls};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::net::TcpListener;

const EVERYTHING: Manners = Manners {
    hello: "250-home\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250 DSN",
    ..GOOD
};
const NOTHING: Manners = Manners {
    hello: "250 home",
    ..GOOD
};
const ALL: [OfferedExtension; 6] = [
    OfferedExtension::EightBitMime,
    OfferedExtension::SmtpUtf8,
    OfferedExtension::Chunking,
    OfferedExtension::BinaryMime,
    OfferedExtension::Dsn,
    OfferedExtension::RequireTls,
];

async fn offering_all(rules: &[(&str, &str)]) -> Front {
    smtp(rules, |config| config.offer = Some(ALL.to_vec())).await
}

// RFC 3461 section 5.2.1, RFC 6152, RFC 6531.
#[tokio::test]
async fn parameters_travel_to_homes_that_know_them() {
    let home = Home::start(EVERYTHING).await;
    let front = offering_all(&[("@example.test", &home.name)]).await;
    let mut client = greeted(&front).await;
    let mail = "MAIL FROM:<j\u{f6}rg@elsewhere.test> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B7";
    let rcpt = "RCPT TO:<a@example.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Alias+2Bx@old.test";
    assert!(client.ask(mail).await.starts_with("250"));
    assert!(client.ask(rcpt).await.starts_with("250"));
    assert!(client.ask("DATA").await.starts_with("354"));
    assert!(
        client
            .ask("Subject: gr\u{fc}\u{df}e\r\n\r\nx\r\n.")
            .await
            .starts_with("250")
    );
    assert_eq!(
        (home.heard("MAIL"), home.heard("RCPT")),
        (vec![mail.to_owned()], vec![rcpt.to_owned()])
    );
    assert!(
        home.messages()[0].contains("with UTF8SMTP id "),
        "RFC 6531 section 4.3"
    );
    assert!(home.messages()[0].ends_with("Subject: gr\u{fc}\u{df}e\r\n\r\nx\r\n"));
}

/// Recipients at a home that cannot have the message are refused; those at another home get it.
#[tokio::test]
async fn what_a_home_cannot_do_is_refused_there() {
    for (parameters, refusal) in [
        ("BODY=8BITMIME", "550 5.6.3"),
        ("SMTPUTF8", "550 5.6.7"),
        ("BODY=BINARYMIME", "550 5.6.3"),
        // Neither home is reached over TLS.
        ("REQUIRETLS", "555 5.5.4"),
    ] {
        let (able, unable) = (Home::start(EVERYTHING).await, Home::start(NOTHING).await);
        let rules = [
            ("a@example.test", able.name.as_str()),
            ("b@example.test", &unable.name),
        ];
        let front = offering_all(&rules).await;
        let mut client = greeted(&front).await;
        let mail = client
            .ask(&format!("MAIL FROM:<s@elsewhere.test> {parameters}"))
            .await;
        if mail.starts_with("555") {
            assert!(mail.starts_with(refusal), "announced over TLS only: {mail}");
            continue;
        }
        let reply = client.ask("RCPT TO:<b@example.test>").await;
        assert!(reply.starts_with(refusal), "{parameters}: {reply}");
        let reply = client.ask("RCPT TO:<a@example.test>").await;
        assert!(reply.starts_with("250"), "{parameters}: {reply}");
        assert!(client.ask("BDAT 3 LAST\r\nx\r\n").await.starts_with("250"));
        assert!(unable.heard("MAIL").is_empty() && able.messages().len() == 1);
    }
}

/// Nobody declared the eighth bit, and a home that has not promised to keep it may clear it.
#[tokio::test]
async fn eight_bits_that_nobody_declared() {
    for (manners, wanted) in [(NOTHING, "550 5.6.3"), (EVERYTHING, "250")] {
        let home = Home::start(manners).await;
        let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
        let mut client = greeted(&front).await;
        let (_, end) = deliver(&mut client, &["a"], "Subject: x\r\n\r\ngr\u{fc}\u{df}e").await;
        assert!(end.starts_with(wanted), "{end}");
        assert_eq!(home.messages().len(), usize::from(wanted == "250"));
        let (_, end) = deliver(&mut client, &["a"], "Subject: x\r\n\r\nplain").await;
        assert!(end.starts_with("250"), "{end}");
    }
}

// RFC 3030 section 2: chunks become DATA, with dots and a last line end.
#[tokio::test]
async fn chunks_become_data() {
    let home = Home::start(NOTHING).await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    client.send(
        "MAIL FROM:<>\r\nRCPT TO:<a@example.test>\r\nBDAT 14\r\nSubject: x\r\n\r\nBDAT 9\r\n.\r\nQUIT\r\nBDAT 3 LAST\r\n\r\n.NOOP\r\n",
    );
    for wanted in [
        "250",
        "250",
        "250 2.0.0 Chunk",
        "250 2.0.0 Chunk",
        "250 2.0.0 kept",
        "250 2.0.0 Done",
    ] {
        let line = client.line().await;
        assert!(line.starts_with(wanted), "{line}");
    }
    assert!(
        home.messages()[0].ends_with("Subject: x\r\n\r\n.\r\nQUIT\r\n\r\n.\r\n"),
        "{:?}",
        home.messages()
    );
    assert!(home.heard("BDAT").is_empty());
}

/// A chunk that is refused is read all the same, and ends the transaction: the next must not begin a message that
/// lacks it.
#[tokio::test]
async fn chunks_out_of_order() {
    let home = Home::start(NOTHING).await;
    let front = smtp(&[("@example.test", &home.name)], |config| {
        config.max_message_size = model::ByteSize(2_000)
    })
    .await;
    let mut client = greeted(&front).await;
    assert!(client.ask("BDAT 6\r\nQUIT").await.starts_with("503"));
    client.ask("MAIL FROM:<>").await;
    assert!(client.ask("BDAT 6 LAST\r\nQUIT").await.starts_with("554"));
    assert!(client.ask("RCPT TO:<a@example.test>").await.starts_with("503"));
    for (chunk, wanted) in [
        (format!("BDAT 2002\r\n{}", "x".repeat(2_000)), "552 5.3.4"),
        (format!("BDAT 2002 LAST\r\n{}", "x".repeat(2_000)), "552 5.3.4"),
        ("BDAT 5 LAST\r\na\nb".to_owned(), "550 5.6.0"),
        (
            format!("BDAT 392 LAST\r\n{}", "Received: x\r\n".repeat(30)),
            "554 5.4.6",
        ),
    ] {
        client.ask("MAIL FROM:<>").await;
        client.ask("RCPT TO:<a@example.test>").await;
        assert!(client.ask(&chunk).await.starts_with(wanted), "{wanted}");
        assert!(client.ask("BDAT 3 LAST\r\na").await.starts_with("503"));
    }
    client.ask("MAIL FROM:<>").await;
    client.ask("RCPT TO:<a@example.test>").await;
    assert!(client.ask("BDAT 3\r\na").await.starts_with("250"));
    for line in ["DATA", "RCPT TO:<a@example.test>", "MAIL FROM:<>"] {
        assert!(client.ask(line).await.starts_with("503"), "{line}");
    }
    assert!(client.ask("RSET").await.starts_with("250"));
    assert!(client.ask("BDAT 3 LAST\r\nb").await.starts_with("503"));
    assert!(home.messages().is_empty() && home.heard("DATA").is_empty());
    assert!(client.ask("BDAT what").await.starts_with("501"));
    assert!(client.is_closed().await, "where its data ends is not known");
}

// RFC 3030 section 3.
#[tokio::test]
async fn binary_messages_go_in_chunks() {
    let home = Home::start(EVERYTHING).await;
    let front = offering_all(&[("@example.test", &home.name)]).await;
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<> BODY=BINARYMIME").await;
    client.ask("RCPT TO:<a@example.test>").await;
    assert!(client.ask("DATA").await.starts_with("503"));
    client.send("BDAT 12 LAST\r\nS: x\r\n\r\n\0\n\r.");
    assert_eq!(client.line().await, "250 2.0.0 kept");
    assert!(
        home.messages()[0].ends_with("S: x\r\n\r\n\0\n\r."),
        "{:?}",
        home.messages()
    );
    let chunks = home.heard("BDAT");
    assert!(
        chunks.len() == 2 && chunks[1] == "BDAT 0 LAST" && home.heard("DATA").is_empty(),
        "{chunks:?}"
    );
    assert_eq!(home.heard("MAIL"), ["MAIL FROM:<> BODY=BINARYMIME"]);
}

#[tokio::test]
async fn bare_line_ends_are_normalised_where_asked() {
    let home = Home::start(GOOD).await;
    let front = smtp(&[("@example.test", &home.name)], |config| {
        config.bare_line_ends = BareLineEndPolicy::Normalise
    })
    .await;
    let mut client = greeted(&front).await;
    for ending in ["\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r\n.\r"] {
        let message = format!("a{ending}MAIL FROM:<smuggled@example.test>\r\nend");
        let (_, end) = deliver(&mut client, &["alice"], &message).await;
        assert_eq!(end, "250 2.0.0 kept", "{ending:?}");
        let last = home.messages().pop().expect("it has arrived");
        assert!(
            last.contains("MAIL FROM:<smuggled@example.test>\r\nend\r\n"),
            "{ending:?}: {last:?}"
        );
        assert!(!last.replace("\r\n", "").contains(['\r', '\n']), "{ending:?}");
    }
    assert!(home.heard("MAIL").iter().all(|line| !line.contains("smuggled")));
}

/// The home answers only when it has heard everything: a proxy that waits for each reply would wait for ever.
#[tokio::test]
async fn pipelining_goes_through_to_the_home() {
    let home = crate::support::Home::start(&[&[
        Do::Say("220 home\r\n"),
        Do::Hear("EHLO"),
        Do::Say("250-home\r\n250-XFORWARD ADDR\r\n250 PIPELINING\r\n"),
        Do::Hear("XFORWARD"),
        Do::Hear("MAIL"),
        Do::Hear("RCPT TO:<a@"),
        Do::Hear("RCPT TO:<b@"),
        Do::Hear("RCPT TO:<c@"),
        Do::Say("250 x\r\n250 m\r\n250 a\r\n550 b\r\n451 c\r\n"),
        Do::Hear("RCPT TO:<d@"),
        Do::Hear("RCPT TO:<e@"),
        Do::Say("250 d\r\n250-e\r\n250 e\r\n"),
        Do::Hang,
    ]])
    .await;
    let front = smtp(&[("@example.test", &home.name)], |config| {
        config.max_recipients = 3
    })
    .await;
    let mut client = greeted(&front).await;
    let rcpt = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("RCPT TO:<{name}@example.test>\r\n"))
            .collect::<String>()
    };
    client.send(&format!("MAIL FROM:<>\r\n{}NOOP\r\n", rcpt(&["a", "b", "c"])));
    for wanted in [
        "250 2.1.0",
        "250 2.0.0 a",
        "550 5.0.0 b",
        "451 4.0.0 c",
        "250 2.0.0 Done",
    ] {
        let line = client.line().await;
        assert!(line.starts_with(wanted), "{line}");
    }
    // The limit holds within a batch, too.
    client.send(&rcpt(&["d", "e", "f"]));
    for wanted in ["250 2.0.0 d", "250-2.0.0 e", "250 2.0.0 e", "452 4.5.3"] {
        let line = client.line().await;
        assert!(line.starts_with(wanted), "{line}");
    }
    assert!(home.line_with("EXPECTED").is_none());
}

// RFC 9422 section 4.
#[tokio::test]
async fn limits_of_a_home_are_kept() {
    let home = Home::start(Manners {
        hello: "250-home\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=2 MAILMAX=1",
        ..GOOD
    })
    .await;
    let front = smtp(&[("@example.test", &home.name)], |_| {}).await;
    let mut client = greeted(&front).await;
    let (replies, end) = deliver(&mut client, &["a", "b", "c"], "x").await;
    assert!(replies[2].starts_with("452 4.5.3"), "{replies:?}");
    assert_eq!(end, "250 2.0.0 kept");
    let (replies, end) = deliver(&mut client, &["c"], "x").await;
    assert!(
        replies[0].starts_with("250") && end == "250 2.0.0 kept",
        "{replies:?}"
    );
    assert_eq!(
        (home.heard("RCPT").len(), home.heard("EHLO").len()),
        (3, 2),
        "the second over a new connection"
    );
}

/// A home behind STARTTLS; `hello` is what it announces after the handshake.
async fn tls_home(tls: ServerTls, hello: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, log) = (tls.clone(), log.clone());
            tokio::spawn(async move {
                let mut stream = LineStream::new(stream.into(), 4096);
                stream.write(b"220 home\r\n");
                while let Ok(line) = stream.read_line(SOON).await {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    let reply = match line.get(..4) {
                        Some("EHLO") if stream.is_encrypted() => hello,
                        Some("EHLO") => "250-home\r\n250 STARTTLS",
                        Some("DATA") => "354 go",
                        _ => "250 fine",
                    };
                    stream.write(format!("{reply}\r\n").as_bytes());
                    if line == "STARTTLS" && stream.start_tls(&tls, SOON).await.is_err() {
                        return;
                    }
                    log.lock().push(line);
                }
            });
        }
    });
    (port, heard)
}

// RFC 8689 sections 2 and 4.2.1.
#[tokio::test]
async fn required_tls_is_kept_up_to_the_home() {
    for (hello, verify, wanted) in [
        ("250-home\r\n250 REQUIRETLS", true, "250"),
        ("250 home", true, "550 5.7.30"),
        // Encrypted, and with whom nobody knows.
        ("250-home\r\n250 REQUIRETLS", false, "550 5.7.30"),
    ] {
        let (files, server, _) = certificate();
        let (port, heard) = tls_home(server, hello).await;
        let mut home = serde_json::json!({
            "name": "store", "host": "localhost", "smtp": { "port": port, "tls": "starttls" },
        });
        match verify {
            true => home["ca_file"] = serde_json::json!(files.path().join("cert.pem")),
            false => home["verify"] = serde_json::json!(false),
        }
        let context = context_with(&[("@example.test", "store")], &[home]);
        let front = smtp_with(context, |_| {}, |_| {}).await;
        let mut client = Client::connect(front.address).await;
        client.line().await;
        client.ask("STARTTLS").await;
        let tls = client.0.start_tls_client(&front.tls, "localhost", SOON).await;
        tls.expect("a handshake");
        client.until("EHLO client.test", "250-REQUIRETLS").await;
        client.until("NOOP", "250 2.0.0").await;
        assert!(
            client
                .ask("MAIL FROM:<a@b.test> REQUIRETLS")
                .await
                .starts_with("250")
        );
        let reply = client.ask("RCPT TO:<a@example.test>").await;
        assert!(reply.starts_with(wanted), "{hello} {verify}: {reply}");
        let mails: Vec<String> = heard
            .lock()
            .iter()
            .filter(|line| line.starts_with("MAIL"))
            .cloned()
            .collect();
        match wanted {
            "250" => assert_eq!(mails, ["MAIL FROM:<a@b.test> REQUIRETLS"]),
            _ => assert!(mails.is_empty(), "{mails:?}"),
        }
        // A message that does not ask for it goes there.
        client.ask("RSET").await;
        client.ask("MAIL FROM:<a@b.test>").await;
        assert!(client.ask("RCPT TO:<a@example.test>").await.starts_with("250"));
    }
}

// RFC 3461 section 5.2.2.
#[tokio::test]
async fn the_sender_hears_of_homes_that_tell_nobody() {
    let (silent, telling) = (Home::start(NOTHING).await, Home::start(EVERYTHING).await);
    let spill = Home::start(EVERYTHING).await;
    let rules = [
        ("a@example.test", silent.name.as_str()),
        ("b@example.test", &silent.name),
        ("c@example.test", &telling.name),
    ];
    let front = smtp(&rules, |config| config.spill_home = Some(spill.name.clone())).await;
    let mut client = greeted(&front).await;
    client
        .ask("MAIL FROM:<erika@sender.example> ENVID=Q7 RET=FULL")
        .await;
    for (name, notify) in [("a", "SUCCESS"), ("b", "FAILURE"), ("c", "SUCCESS")] {
        let reply = client
            .ask(&format!("RCPT TO:<{name}@example.test> NOTIFY={notify}"))
            .await;
        assert!(reply.starts_with("250"), "{reply}");
    }
    client.ask("DATA").await;
    assert!(
        client
            .ask("Subject: hello\r\n\r\nbody\r\n.")
            .await
            .starts_with("250")
    );
    assert_eq!(silent.heard("MAIL"), ["MAIL FROM:<erika@sender.example>"]);
    assert_eq!(
        silent.heard("RCPT"),
        ["RCPT TO:<a@example.test>", "RCPT TO:<b@example.test>"]
    );
    assert_eq!(telling.heard("RCPT"), ["RCPT TO:<c@example.test> NOTIFY=SUCCESS"]);
    assert_eq!(spill.heard("MAIL"), ["MAIL FROM:<>"]);
    assert_eq!(
        spill.heard("RCPT"),
        ["RCPT TO:<erika@sender.example> NOTIFY=NEVER"]
    );
    let told = spill.messages();
    assert_eq!(told.len(), 1);
    for part in [
        "Original-Envelope-Id: Q7",
        "Final-Recipient: rfc822; a@example.test",
        "Action: relayed",
        "Subject: hello",
    ] {
        assert!(told[0].contains(part), "{part} in {}", told[0]);
    }
    assert!(
        !told[0].contains("b@example.test")
            && !told[0].contains("c@example.test")
            && !told[0].contains("body")
    );
    // Nobody is told of a message from nobody.
    client.ask("MAIL FROM:<>").await;
    client.ask("RCPT TO:<a@example.test> NOTIFY=SUCCESS").await;
    client.ask("DATA").await;
    assert!(client.ask("x\r\n.").await.starts_with("250"));
    assert_eq!(spill.messages().len(), 1);
}

/// DSN is offered only where the promise can be kept; an administrator who offers it all the same gets no silent
/// loss.
#[tokio::test]
async fn without_a_spill_home_no_notification_is_promised() {
    let home = Home::start(NOTHING).await;
    let rules = [("@example.test", home.name.as_str())];
    let front = smtp(&rules, |_| {}).await;
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<a@b.test>").await;
    assert!(
        client
            .ask("RCPT TO:<a@example.test> NOTIFY=SUCCESS")
            .await
            .starts_with("555")
    );
    let front = offering_all(&rules).await;
    let mut client = greeted(&front).await;
    client.ask("MAIL FROM:<a@b.test>").await;
    assert!(
        client
            .ask("RCPT TO:<a@example.test> NOTIFY=SUCCESS")
            .await
            .starts_with("451 4.3.5")
    );
    assert!(home.heard("RCPT").is_empty());
    assert!(
        client
            .ask("RCPT TO:<a@example.test> NOTIFY=NEVER")
            .await
            .starts_with("250")
    );
}
