//! SMTP clients before LMTP homes, which answer for each recipient.

use crate::smtp::{GOOD, Home, Manners, deliver, greeted, smtp};
use crate::support::Client;
use frontend::HomeProtocol;

#[tokio::test]
async fn lmtp_homes_answer_for_each_recipient() {
    let table: [(&'static [&'static str], &str, usize); 4] = [
        (&["250 2.0.0 a", "250 2.0.0 b"], "250", 0),
        (&["550 5.2.2 a", "452 4.2.2 b"], "452 4.2.2 b", 0),
        (&["550 5.2.2 a", "550 5.2.2 b"], "550 5.2.2 a", 0),
        (&["250 2.0.0 a", "452 4.2.2 b"], "250", 1),
    ];
    for (end, reply, spilled) in table {
        let home = Home::start(Manners { end, ..GOOD }).await;
        let spill = Home::start(GOOD).await;
        let front = smtp(&[("@example.test", &home.name)], |config| {
            config.home_protocol = HomeProtocol::Lmtp;
            config.spill_home = Some(spill.name.clone());
        })
        .await;
        let mut client = greeted(&front).await;
        let (_, found) = deliver(&mut client, &["a", "b"], "x").await;
        assert!(found.starts_with(reply), "{end:?}: {found}");
        assert!(home.heard("EHLO").is_empty() && !home.heard("LHLO").is_empty());
        assert_eq!(spill.heard("RCPT TO:<b@example.test>").len(), spilled, "{end:?}");
    }
}

/// Nobody takes over whom a home refuses beside others: then nobody is beside others, or a retry would bring the
/// message to those who have it.
#[tokio::test]
async fn lmtp_homes_without_a_spill_home_get_one_recipient_at_a_time() {
    let home = Home::start(Manners {
        end: &["250 2.0.0 taken"],
        ..GOOD
    })
    .await;
    let front = smtp(&[("@example.test", &home.name)], |config| {
        config.home_protocol = HomeProtocol::Lmtp
    })
    .await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    let hello = client.until("EHLO client.test", "250 ").await;
    // RFC 9422 section 4.2.
    assert_eq!(hello, "250 LIMITS RCPTMAX=1");
    // Pipelined or not, and one that is refused does not count.
    client.ask("MAIL FROM:<sender@elsewhere.test>").await;
    client.send("RCPT TO:<gone@example.test>\r\nRCPT TO:<a@example.test>\r\nRCPT TO:<b@example.test>\r\n");
    for wanted in ["550 5.1.1", "250", "452 4.5.3"] {
        let reply = client.line().await;
        assert!(reply.starts_with(wanted), "{wanted}: {reply}");
    }
    let reply = client.ask("RCPT TO:<c@example.test>").await;
    assert!(reply.starts_with("452 4.5.3"), "{reply}");
    client.ask("DATA").await;
    let reply = client.ask("x\r\n.").await;
    assert!(reply.starts_with("250"), "{reply}");
    for later in ["b", "c"] {
        let (recipients, reply) = deliver(&mut client, &[later], "x").await;
        assert!(
            recipients[0].starts_with("250") && reply.starts_with("250"),
            "{reply}"
        );
    }
    assert_eq!(home.heard("RCPT TO:<").len(), 4, "each was offered once");
    assert_eq!(home.messages().len(), 3);
}
