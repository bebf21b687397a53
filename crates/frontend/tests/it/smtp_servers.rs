//! Real servers as homes of the SMTP proxy: Postfix over SMTP, Dovecot over LMTP.

use crate::smtp::{deliver, smtp_with};
use crate::support::{Client, Front, context};
use frontend::HomeProtocol;
use frontend::smtp::OfferedExtension;
use net::ListenerConfig;
use std::time::Duration;
use testkit::{Dovecot, Postfix};

const ALICE: &str = "alice@example.test";
const ERIKA: &str = "erika@example.test";
/// Postfix believes XCLIENT and XFORWARD of whom it is told to.
const BELIEVES: &str = "smtpd_authorized_xclient_hosts = 127.0.0.0/8\nsmtpd_authorized_xforward_hosts = 127.0.0.0/8\n\
    smtpd_error_sleep_time = 0\n";

fn postfix(settings: &str) -> Postfix {
    Postfix::start(&[ALICE, ERIKA], &format!("{BELIEVES}{settings}")).expect("Postfix starts")
}

fn trusting(listener: &mut ListenerConfig) {
    listener.trusted_networks = vec!["127.0.0.0/8".parse().expect("a network")];
}

/// A session from 198.51.100.7, which a trusted front end names.
async fn from_afar(front: &Front) -> Client {
    let mut client = Client::connect(front.address).await;
    client.line().await;
    client.until("EHLO balancer.test", "250 ").await;
    let again = client.ask("XCLIENT ADDR=198.51.100.7 PORT=4242").await;
    assert!(again.starts_with("220"), "{again}");
    client.until("EHLO client.test", "250 ").await;
    client
}

/// The messages of somebody, once there are so many.
async fn messages(server: &Postfix, who: &str, count: usize) -> Vec<String> {
    for _ in 0..4_000 {
        if server.delivered(who) >= count {
            let found = server.messages(who).expect("readable");
            return found
                .iter()
                .map(|message| String::from_utf8_lossy(message).into_owned())
                .collect();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{who} has fewer than {count} messages:\n{}", server.log());
}

async fn before_postfix(server: &Postfix, offer: Option<Vec<OfferedExtension>>) -> Front {
    let name = format!("127.0.0.1:{}", server.smtp);
    smtp_with(context(&[("@example.test", &name)]), trusting, |config| {
        config.offer = offer
    })
    .await
}

/// Postfix learns who the client is, does what the sender asked about notifications, and gets chunks as data.
#[tokio::test(flavor = "multi_thread")]
async fn postfix_is_told_everything() {
    let server = postfix("smtputf8_enable = yes\n");
    let offer = vec![
        OfferedExtension::EightBitMime,
        OfferedExtension::SmtpUtf8,
        OfferedExtension::Chunking,
        OfferedExtension::Dsn,
    ];
    let front = before_postfix(&server, Some(offer)).await;
    let mut client = from_afar(&front).await;
    client.send(&format!(
        "MAIL FROM:<{ERIKA}> BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=Q7+2B\r\n\
         RCPT TO:<{ALICE}> NOTIFY=SUCCESS ORCPT=rfc822;Alias@old.test\r\n\
         RCPT TO:<nobody@example.test>\r\n"
    ));
    for wanted in ["250", "250", "550 5.1.1"] {
        let line = client.line().await;
        assert!(line.starts_with(wanted), "{line}\n{}", server.log());
    }
    let text = "Subject: gr\u{fc}\u{df}e\r\n\r\n.dot\r\n.\r\nlast";
    let (first, second) = text.split_at(20);
    client.send(&format!("BDAT {}\r\n{first}", first.len()));
    assert!(client.line().await.starts_with("250"));
    client.send(&format!("BDAT {} LAST\r\n{second}", second.len()));
    let end = client.line().await;
    assert!(end.starts_with("250"), "{end}\n{}", server.log());
    let mail = messages(&server, ALICE, 1).await;
    assert!(
        mail[0].ends_with("Subject: gr\u{fc}\u{df}e\n\n.dot\n.\nlast\n"),
        "{}",
        mail[0]
    );
    assert!(mail[0].contains("with UTF8SMTP id"), "{}", mail[0]);
    assert!(
        server.log().contains("client=unknown[198.51.100.7]"),
        "{}",
        server.log()
    );
    let told = messages(&server, ERIKA, 1).await;
    for part in ["Original-Envelope-Id: Q7+", "Alias@old.test", "Action: delivered"] {
        assert!(told[0].contains(part), "{part} in {}", told[0]);
    }
}

/// What this Postfix does not announce is refused for its recipients, and never sent to it.
#[tokio::test(flavor = "multi_thread")]
async fn postfix_without_extensions() {
    let server = postfix("smtpd_discard_ehlo_keywords = 8bitmime, dsn, pipelining\n");
    let front = before_postfix(&server, None).await;
    let mut client = from_afar(&front).await;
    for (parameters, refusal) in [("BODY=8BITMIME", "550 5.6.3"), ("SMTPUTF8", "550 5.6.7")] {
        client.ask(&format!("MAIL FROM:<{ERIKA}> {parameters}")).await;
        let reply = client.ask(&format!("RCPT TO:<{ALICE}>")).await;
        assert!(reply.starts_with(refusal), "{parameters}: {reply}");
        client.ask("RSET").await;
    }
    let (_, end) = deliver(&mut client, &["alice"], "Subject: x\r\n\r\ngr\u{fc}n").await;
    assert!(end.starts_with("550 5.6.3"), "{end}");
    let (_, end) = deliver(&mut client, &["alice"], "Subject: x\r\n\r\nplain").await;
    assert!(end.starts_with("250"), "{end}");
    assert!(messages(&server, ALICE, 1).await[0].ends_with("plain\n"));
}

/// Dovecot's LMTP knows no DSN: the sender is told by way of the spill home.
#[tokio::test(flavor = "multi_thread")]
async fn dovecot_and_a_sender_who_wants_to_know() {
    let server = Dovecot::start(&[(ALICE, "secret")], "").expect("Dovecot starts");
    let spill = postfix("");
    let name = format!("127.0.0.1:{}", server.lmtp);
    let front = smtp_with(context(&[("@example.test", &name)]), trusting, |config| {
        config.home_protocol = HomeProtocol::Lmtp;
        config.spill_home = Some(format!("127.0.0.1:{}", spill.smtp));
    })
    .await;
    let mut client = from_afar(&front).await;
    for line in [
        format!("MAIL FROM:<{ERIKA}> ENVID=Q8 BODY=8BITMIME"),
        format!("RCPT TO:<{ALICE}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Alias@old.test"),
    ] {
        let reply = client.ask(&line).await;
        assert!(reply.starts_with("250"), "{reply}\n{}", server.log());
    }
    client.ask("DATA").await;
    let end = client.ask("Subject: to Dovecot\r\n\r\ngr\u{fc}n\r\n.").await;
    assert!(end.starts_with("250"), "{end}\n{}", server.log());
    let told = messages(&spill, ERIKA, 1).await;
    for part in [
        "Original-Envelope-Id: Q8",
        "Original-Recipient: rfc822;Alias@old.test",
        "Final-Recipient: rfc822; alice@example.test",
        "Action: relayed",
        "Subject: to Dovecot",
    ] {
        assert!(told[0].contains(part), "{part} in {}", told[0]);
    }
    assert_eq!(spill.delivered(ALICE), 0, "the message itself is at home");
}
