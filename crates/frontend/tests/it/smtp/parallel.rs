//! Several homes and a spill home: every mix of replies in one, and no message that nobody answers for.

use super::*;
use model::ByteSize;

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
