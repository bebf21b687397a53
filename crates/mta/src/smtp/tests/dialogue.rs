//! What the service promises beyond single sections: recipients, limits, delivery.

use super::*;

#[tokio::test]
async fn a_message_is_delivered_with_its_trace() {
    let bench = Bench::new().await;
    let mut client = bench.smtp().await;
    client
        .play(&[
            (
                "EHLO client.test",
                "250-mx.example.test greets client.test\n250-PIPELINING\n250-SIZE 67108864\n",
            ),
            ("MAIL FROM:<me@elsewhere.test> SIZE=40 BODY=8BITMIME", "250 2.1.0"),
            ("RCPT TO:<Alice+news@EXAMPLE.test>", "250 2.1.5"),
            ("DATA", "354"),
        ])
        .await;
    client.send(MESSAGE).await;
    client.expect("250 2.0.0 delivered as 0000000000000007").await;
    assert!(client.say("QUIT").await.starts_with("221"));
    client.closed().await;
    let inbox = bench.inbox("alice@example.test").await;
    assert_eq!(
        inbox,
        ["Return-Path: <me@elsewhere.test>\r\n\
          Received: from client.test ([192.0.2.1])\r\n\
          \tby mx.example.test with ESMTP id 0000000000000007\r\n\
          \tfor <Alice+news@example.test>;\r\n\
          \tSun, 22 Nov 2026 05:15:57 +0000\r\n\
          Message-ID: <1@x.test>\r\nSubject: hello\r\n\r\nbody\r\n.dot\r\n"]
    );
}

/// Three answers that must never be mixed up: nobody, not ours, nobody knows.
#[tokio::test]
async fn unknown_foreign_and_unavailable_are_told_apart() {
    for (outcome, unknown, foreign) in [
        (None, "550 5.1.1", "550 5.7.1"),
        (Some(OnDemandOutcome::NoSuchName), "550 5.1.1", "550 5.1.1"),
        (Some(OnDemandOutcome::NotConnected), "550 5.1.1", "550 5.7.1"),
        (Some(OnDemandOutcome::Unavailable), "451 4.4.3", "451 4.4.3"),
        // The directory said it is here now, and it is not: nobody is certain.
        (Some(OnDemandOutcome::Synced), "451 4.4.3", "451 4.4.3"),
    ] {
        let mut bench = Bench::new().await;
        bench.on_demand = outcome;
        let mut client = bench.smtp().await;
        client
            .play(&[
                ("EHLO x", "250"),
                ("MAIL FROM:<>", "250"),
                ("RCPT TO:<nobody@example.test>", unknown),
                ("RCPT TO:<a@elsewhere.test>", foreign),
                ("RCPT TO:<alice@example.test>", "250"),
            ])
            .await;
    }
}

#[tokio::test]
async fn a_name_that_the_directory_has_is_taken_after_the_sync() {
    let bench = Bench::new().await;
    let store = bench.store.clone();
    let clock = Arc::new(ManualClock::default());
    let on_demand: model::OnDemand = Arc::new(move |address| {
        let store = store.clone();
        Box::pin(async move {
            store
                .create_account(NewAccount::new(address), &Origin::System)
                .await
                .expect("created");
            OnDemandOutcome::Synced
        })
    });
    let parts = ReceiverParts {
        dialect: Dialect::Smtp,
        server_name: Domain::parse("mx.test").expect("a domain"),
        store: bench.store.clone(),
        clock,
        on_demand: Some(on_demand),
    };
    let receiver = Receiver::new(parts, &SmtpConfig::default());
    let path = wire::smtp::ForwardPath::Address(address("new@example.test"));
    let accounts = crate::recipient::judge(&receiver, &path, None)
        .await
        .expect("accepted");
    assert_eq!(accounts.len(), 1);
    assert!(bench.inbox("new@example.test").await.is_empty());
}

#[tokio::test]
async fn states_of_an_account() {
    let bench = Bench::new().await;
    for (name, enabled, state) in [
        ("off@example.test", false, AccountState::Active),
        (
            "moved@example.test",
            true,
            AccountState::MovedAway { to: "store2".into() },
        ),
        (
            "coming@example.test",
            true,
            AccountState::AwaitingMail {
                from: "store2".into(),
            },
        ),
    ] {
        let mut account = NewAccount::new(address(name));
        account.enabled = enabled;
        account.state = state;
        bench.add(account).await;
    }
    let mut full = NewAccount::new(address("full@example.test"));
    full.quota = Some(model::ByteSize(10));
    bench.add(full).await;
    let mut client = bench.smtp().await;
    client
        .play(&[
            ("EHLO x", "250"),
            ("MAIL FROM:<> SIZE=100", "250"),
            ("RCPT TO:<off@example.test>", "550 5.2.1"),
            ("RCPT TO:<moved@example.test>", "451 4.2.1"),
            ("RCPT TO:<coming@example.test>", "451 4.2.1"),
            ("RCPT TO:<full@example.test>", "452 4.2.2"),
        ])
        .await;
}

#[tokio::test]
async fn mail_for_a_disabled_account() {
    use crate::DisabledDelivery::{Accept, Reject, Tempfail};
    for (policy, answer, mails) in [
        (Accept, "250", 2),
        (Tempfail, "450 4.2.1", 0),
        (Reject, "550 5.2.1", 0),
    ] {
        let mut bench = Bench::new().await;
        bench.config.disabled_delivery = policy;
        let mut account = NewAccount::new(address("off@example.test"));
        account.aliases = vec![address("alias@example.test")];
        account.enabled = false;
        bench.add(account).await;
        let mut both = store::NewGroup::new(address("both@example.test"));
        both.members = vec![
            store::Member::Local(address("off@example.test")),
            store::Member::Local(address("alice@example.test")),
        ];
        bench
            .store
            .create_group(both, &Origin::System)
            .await
            .expect("a group");
        let mut client = bench.smtp().await;
        client
            .play(&[
                ("EHLO x", "250"),
                ("MAIL FROM:<>", "250"),
                ("RCPT TO:<alias@example.test>", answer),
                ("RSET", "250"),
                ("MAIL FROM:<>", "250"),
                ("RCPT TO:<off+detail@example.test>", answer),
                ("RCPT TO:<alice@example.test>", "250"),
                ("DATA", "354"),
                ("Subject: x\r\n\r\nHello\r\n.", "250"),
                ("MAIL FROM:<>", "250"),
                ("RCPT TO:<both@example.test>", "250"),
                ("DATA", "354"),
                ("Subject: y\r\n\r\nHello\r\n.", "250"),
            ])
            .await;
        assert_eq!(bench.inbox("off@example.test").await.len(), mails, "{policy:?}");
        assert_eq!(bench.inbox("alice@example.test").await.len(), 2);
    }
}

#[tokio::test]
async fn a_group_reaches_every_member_once_or_nobody() {
    let bench = Bench::new().await;
    let member = |name: &str| store::Member::Local(address(name));
    for (name, members) in [
        (
            "all@example.test",
            vec![member("alice@example.test"), member("bob@example.test")],
        ),
        (
            "far@example.test",
            vec![member("alice@example.test"), member("x@elsewhere.test")],
        ),
        ("empty@example.test", vec![]),
    ] {
        let mut group = NewGroup::new(address(name));
        group.members = members;
        bench
            .store
            .create_group(group, &Origin::System)
            .await
            .expect("created");
    }
    let mut client = bench.smtp().await;
    client
        .play(&[
            ("EHLO x", "250"),
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<far@example.test>", "451 4.2.4"),
            ("RCPT TO:<empty@example.test>", "550 5.2.4"),
            ("RCPT TO:<all@example.test>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send(MESSAGE).await;
    client.expect("250 2.0.0").await;
    assert_eq!(bench.inbox("alice@example.test").await.len(), 1);
    let bobs = bench.inbox("bob@example.test").await;
    // Several recipients: naming one of them would tell the others (RFC 5321 section 7.2).
    assert!(bobs.len() == 1 && !bobs[0].contains("\tfor <"), "{bobs:?}");
}

#[tokio::test]
async fn a_retry_after_a_lost_answer_delivers_once() {
    let bench = Bench::new().await;
    for hop in ["first", "second"] {
        let mut client = bench.smtp().await;
        client
            .play(&[
                ("EHLO x", "250"),
                ("MAIL FROM:<a@b.test>", "250"),
                ("RCPT TO:<alice@example.test>", "250"),
                ("DATA", "354"),
            ])
            .await;
        client
            .send(&format!("Received: from {hop}\r\n\tby edge\r\n{MESSAGE}"))
            .await;
        client.expect("250 2.0.0").await;
    }
    assert_eq!(bench.inbox("alice@example.test").await.len(), 1);
}

#[tokio::test]
async fn limits() {
    let mut bench = Bench::new().await;
    bench.config.max_message_size = model::ByteSize(1000);
    bench.config.max_recipients = 1;
    bench.config.max_received = 2;
    let mut client = bench.smtp().await;
    let start: &[(&str, &str)] = &[
        ("MAIL FROM:<>", "250"),
        ("RCPT TO:<alice@example.test>", "250"),
        ("DATA", "354"),
    ];
    client
        .play(&[("EHLO x", "250"), ("MAIL FROM:<> SIZE=1001", "552 5.3.4")])
        .await;
    client.play(start).await;
    client.send(&format!("{}\r\n.\r\n", "x".repeat(200_000))).await;
    client.expect("552 5.3.4").await;
    client.play(start).await;
    client
        .send(&format!("{}\r\n.\r\n", "Received: x\r\n".repeat(3)))
        .await;
    client.expect("554 5.4.6").await;
    client.play(&start[..2]).await;
    client
        .play(&[("RCPT TO:<bob@example.test>", "452 4.5.3"), ("RSET", "250")])
        .await;
    assert!(bench.inbox("alice@example.test").await.is_empty());
}

#[tokio::test]
async fn memory_for_messages_is_bounded() {
    let mut bench = Bench::new().await;
    bench.config.max_buffered = model::ByteSize(64 << 10);
    let mut client = bench.smtp().await;
    let start: &[(&str, &str)] = &[
        ("EHLO x", "250"),
        ("MAIL FROM:<>", "250"),
        ("RCPT TO:<alice@example.test>", "250"),
        ("DATA", "354"),
    ];
    client.play(start).await;
    client.send(&format!("{}.\r\n", "x\r\n".repeat(40_000))).await;
    client.expect("452 4.3.1").await;
    // The memory is free again.
    client.play(start).await;
    client.send(MESSAGE).await;
    client.expect("250 2.0.0").await;
}

#[tokio::test]
async fn too_many_errors_end_the_session() {
    let mut bench = Bench::new().await;
    bench.config.max_errors = 2;
    let mut client = bench.smtp().await;
    client
        .play(&[("EHLO x", "250"), ("FOO", "500 5.5.2"), ("BAR", "500 5.5.2")])
        .await;
    client.expect("421 4.7.0").await;
    client.closed().await;
}

#[tokio::test]
async fn going_down_is_said_between_transactions_only() {
    let bench = Bench::new().await;
    let mut idle = bench.smtp().await;
    let mut busy = bench.smtp().await;
    idle.play(&[("EHLO x", "250")]).await;
    busy.play(&[("EHLO x", "250"), ("MAIL FROM:<>", "250")]).await;
    bench.trigger.request(WAIT);
    idle.expect("421 4.3.2").await;
    idle.closed().await;
    busy.play(&[("RCPT TO:<alice@example.test>", "250"), ("DATA", "354")])
        .await;
    busy.send(MESSAGE).await;
    busy.expect("250 2.0.0").await;
    busy.expect("421 4.3.2").await;
    assert_eq!(bench.inbox("alice@example.test").await.len(), 1);
}

#[tokio::test]
async fn postmaster_always_has_an_answer() {
    let mut bench = Bench::new().await;
    let script = |bare, named| {
        [
            ("EHLO x", "250"),
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<Postmaster>", bare),
            ("RCPT TO:<postmaster@example.test>", named),
        ]
    };
    bench.smtp().await.play(&script("451 4.3.5", "550 5.1.1")).await;
    bench.config.postmaster = Some(address("bob@example.test"));
    bench.smtp().await.play(&script("250", "250")).await;
}

/// 250 only when it is durable: a store that cannot write is "try later", for one and for each.
#[tokio::test]
async fn a_store_that_is_gone_is_try_later() {
    let bench = Bench::new().await;
    let script: &[(&str, &str)] = &[
        ("MAIL FROM:<>", "250"),
        ("RCPT TO:<alice@example.test>", "250"),
        ("RCPT TO:<bob@example.test>", "250"),
        ("DATA", "354"),
    ];
    let mut smtp = bench.smtp().await;
    let mut lmtp = bench.lmtp().await;
    smtp.say("EHLO x").await;
    smtp.play(script).await;
    lmtp.play(script).await;
    bench.store.close().await.expect("closed");
    smtp.send(MESSAGE).await;
    smtp.expect("451 4.3.0").await;
    lmtp.send(MESSAGE).await;
    lmtp.expect("451 4.3.0").await;
    lmtp.expect("451 4.3.0").await;
    smtp.play(&[("NOOP", "250")]).await;
}

/// A catch-all is for names that nobody has, and only the directory knows that.
#[tokio::test]
async fn the_catch_all_comes_after_the_directory() {
    for (outcome, answer) in [
        (None, "250"),
        (Some(OnDemandOutcome::NoSuchName), "250"),
        (Some(OnDemandOutcome::NotConnected), "250"),
        (Some(OnDemandOutcome::Unavailable), "451 4.4.3"),
    ] {
        let mut bench = Bench::new().await;
        bench.on_demand = outcome;
        let domain = Domain::parse("example.test").expect("a domain");
        let bob = address("bob@example.test");
        bench
            .store
            .set_catch_all(&domain, Some(bob), &Origin::System)
            .await
            .expect("set");
        let mut client = bench.smtp().await;
        client
            .play(&[
                ("EHLO x", "250"),
                ("MAIL FROM:<>", "250"),
                ("RCPT TO:<new@example.test>", answer),
                ("RCPT TO:<alice+x@example.test>", "250"),
            ])
            .await;
    }
}
