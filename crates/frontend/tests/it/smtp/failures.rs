//! One home that fails: what the client hears then.

use super::*;

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
