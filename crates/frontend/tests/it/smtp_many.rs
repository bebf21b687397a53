//! Many recipients and many homes, and no way to make a relay of it.

use crate::smtp::{GOOD, Home, Manners, deliver, greeted, smtp};
use model::ByteSize;
use proptest::prelude::*;
use std::collections::BTreeMap;

const PIPELINING: Manners = Manners {
    hello: "250-home\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 XFORWARD ADDR",
    ..GOOD
};

async fn homes(count: usize) -> Vec<Home> {
    let mut homes = Vec::new();
    for _ in 0..count {
        homes.push(Home::start(PIPELINING).await);
    }
    homes
}

/// A thousand recipients over fifty homes in one transaction: one connection and one copy for each home, and the
/// message is held once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_recipients_over_fifty_homes() {
    let (homes, spill) = (homes(50).await, Home::start(PIPELINING).await);
    let people: Vec<(String, String)> = (0..1_000)
        .map(|number| (format!("r{number}@example.test"), homes[number % 50].name.clone()))
        .collect();
    let rules: Vec<(&str, &str)> = people
        .iter()
        .map(|(who, home)| (who.as_str(), home.as_str()))
        .collect();
    let front = smtp(&rules, |config| {
        config.max_recipients = 1_000;
        config.spill_home = Some(spill.name.clone());
        // Space for one copy and no second one; all but a part of it in a temporary file.
        config.max_message_size = ByteSize(2 << 20);
        config.max_buffered = ByteSize(2 << 20);
        config.buffer_memory = ByteSize(64 << 10);
    })
    .await;
    let mut client = greeted(&front).await;
    client.send("MAIL FROM:<s@elsewhere.test>\r\n");
    for (who, _) in &people {
        client.send(&format!("RCPT TO:<{who}>\r\n"));
    }
    client.send("DATA\r\n");
    for number in 0..=people.len() {
        let line = client.line().await;
        assert!(line.starts_with("250"), "{number}: {line}");
    }
    assert!(client.line().await.starts_with("354"));
    let body = "0123456789abcdef\r\n".repeat(100_000);
    let end = client.ask(&format!("Subject: all\r\n\r\n{body}.")).await;
    assert!(end.starts_with("250"), "{end}");
    for (number, home) in homes.iter().enumerate() {
        let wanted: Vec<String> = (0..20)
            .map(|step| format!("RCPT TO:<r{}@example.test>", number + step * 50))
            .collect();
        assert_eq!(home.heard("RCPT"), wanted, "in the client's order");
        assert_eq!(
            (home.heard("EHLO").len(), home.heard("DATA").len()),
            (1, 1),
            "one connection"
        );
        let messages = home.messages();
        assert!(
            messages.len() == 1 && messages[0].ends_with(&body),
            "one whole copy"
        );
        assert!(!messages[0].contains("for <"), "no recipient is told of another");
    }
    assert!(spill.messages().is_empty());
    // The space is free again.
    let (_, end) = deliver(&mut client, &["r0"], body.trim_end()).await;
    assert!(end.starts_with("250"), "{end}");
}

/// One transaction has at most 64 homes; the other recipients go into the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_of_a_transaction_are_bounded() {
    let (homes, spill) = (homes(70).await, Home::start(PIPELINING).await);
    let people: Vec<(String, String)> = homes
        .iter()
        .enumerate()
        .map(|(number, home)| (format!("r{number}@example.test"), home.name.clone()))
        .collect();
    let rules: Vec<(&str, &str)> = people
        .iter()
        .map(|(who, home)| (who.as_str(), home.as_str()))
        .collect();
    let front = smtp(&rules, |config| {
        config.max_recipients = 100;
        config.spill_home = Some(spill.name.clone());
    })
    .await;
    let mut client = greeted(&front).await;
    let mut left: Vec<String> = (0..70).map(|number| format!("r{number}")).collect();
    for wanted in [64, 6] {
        let names: Vec<&str> = left.iter().map(String::as_str).collect();
        let (replies, end) = deliver(&mut client, &names, "x").await;
        assert!(end.starts_with("250"), "{end}");
        let refused = |reply: &String| reply.starts_with("452 4.5.3");
        let taken = replies.iter().filter(|reply| !refused(reply)).count();
        assert_eq!(taken, wanted, "{replies:?}");
        let mut replies = replies.iter();
        left.retain(|_| replies.next().is_some_and(refused));
    }
    assert!(left.is_empty() && homes.iter().all(|home| home.messages().len() == 1));
}

/// Whatever the maps say, mail for a domain that is not listed goes nowhere.
#[test]
fn no_map_makes_an_open_relay() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let domains = || {
        let near = [
            "example.test",
            "example.test.evil.test",
            "other.test",
            "sub.example.test",
        ];
        prop_oneof![
            proptest::sample::select(near.to_vec()).prop_map(str::to_owned),
            "[a-z]{1,8}\\.test"
        ]
    };
    let locals = || {
        let odd = ["a", "postmaster", "\"a@example.test\"", "a%example.test"];
        prop_oneof![
            proptest::sample::select(odd.to_vec()).prop_map(str::to_owned),
            "[a-z]{1,6}"
        ]
    };
    let rule = (prop_oneof![Just(String::new()), locals()], domains());
    let strategy = (
        proptest::collection::vec(rule, 1..6),
        proptest::collection::vec((locals(), domains()), 1..8),
    );
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |((rules, recipients) in strategy)| {
        runtime.block_on(async {
            let home = Home::start(PIPELINING).await;
            // Catch-alls for any domain among them: `@domain`. A file has one rule for each.
            let rules: BTreeMap<String, String> = rules
                .iter()
                .map(|(local, domain)| (format!("{local}@{domain}"), home.name.clone()))
                .collect();
            let rules: Vec<(&str, &str)> = rules.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let front = smtp(&rules, |config| {
                config.group_home = Some(home.name.clone());
                config.max_recipients = 100;
            }).await;
            let mut client = greeted(&front).await;
            client.ask("MAIL FROM:<s@example.test>").await;
            for (local, domain) in &recipients {
                let reply = client.ask(&format!("RCPT TO:<{local}@{domain}>")).await;
                let listed = domain == "example.test";
                prop_assert!(listed || reply.starts_with("550 5.7.1"), "{local}@{domain}: {reply}");
            }
            for line in home.heard("RCPT") {
                prop_assert!(line.ends_with("@example.test>"), "{line}");
            }
            Ok(())
        })?;
    });
}
