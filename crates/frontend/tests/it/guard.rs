//! Homes that would let a client log in again: the client does not get there.

use crate::cyrus::{USERS, home};
use crate::dovecot::{sieve_front, sieve_login};
use crate::support::{Client, Do, Front, Home, OnePassword, SOON, context, context_with, front};
use Do::{Answer, Echo, Hear, Say};
use frontend::{AuthenticateAt, ImapProxyConfig, ProxyContext, imap};
use model::Protocol;
use std::sync::Arc;
use testkit::Cyrus;

const ALICE: &str = "alice@example.test";
/// A letter that holds what may not be said.
const LETTER: &str = "Subject: x\r\n\r\nx UNAUTHENTICATE\r\ny COMPRESS DEFLATE\r\n";

async fn imap_front(context: ProxyContext) -> Front {
    let edge = Arc::new(OnePassword);
    let proxy = imap::ImapProxy::new(&ImapProxyConfig::default(), context, Some(edge));
    let proxy = Arc::new(proxy);
    front(
        Protocol::Imap,
        |_| {},
        move |accepted| imap::serve(accepted, proxy.clone()),
    )
    .await
}

/// A client that has logged in, and what it was told.
async fn logged_in(front: &Front) -> (Client, String) {
    let mut client = Client::connect(front.address).await;
    client.line().await;
    let done = client.ask("a LOGIN alice@example.test secret").await;
    assert!(done.starts_with("a OK"), "{done}");
    (client, done)
}

/// After the login: a command that may not be said, a letter that may, and whatever else.
const GUARDED: [Do; 10] = [
    Answer("b NOT-HERE", "BAD what"),
    Hear("c APPEND x {52}"),
    Say("* 1 EXISTS\r\n+ go on\r\n"),
    Hear("Subject: x"),
    Hear(""),
    Hear("x UNAUTHENTICATE"),
    Hear("y COMPRESS DEFLATE"),
    Hear(""),
    Answer("d NOOP", "OK done"),
    Echo("* ECHO "),
];

/// The ways in which a home tells it.
fn tells() -> Vec<Vec<Do>> {
    let greets = Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n");
    let logs_in = Answer("AUTHENTICATE PLAIN ", "OK in");
    let lists = |untagged| [Say(untagged), Answer("CAPABILITY", "OK listed")];
    vec![
        vec![
            Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN UNAUTHENTICATE] ready\r\n"),
            Answer(
                "AUTHENTICATE PLAIN ",
                "OK [CAPABILITY IMAP4rev1 IDLE COMPRESS=DEFLATE] in",
            ),
        ],
        vec![
            greets.clone(),
            Answer(
                "AUTHENTICATE PLAIN ",
                "OK [CAPABILITY IMAP4rev1 Unauthenticate IDLE COMPRESS=DEFLATE] in",
            ),
        ],
        [
            vec![greets, logs_in.clone()],
            lists("* CAPABILITY IMAP4rev1 IDLE COMPRESS=DEFLATE UNAUTHENTICATE\r\n").to_vec(),
        ]
        .concat(),
        [
            vec![Say("* OK ready\r\n")],
            lists("* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN UNAUTHENTICATE\r\n").to_vec(),
            vec![Say("* CAPABILITY IMAP4rev1 IDLE COMPRESS=DEFLATE\r\n"), logs_in],
        ]
        .concat(),
    ]
}

#[tokio::test]
async fn a_home_that_knows_unauthenticate_never_hears_it() {
    assert_eq!(LETTER.len(), 52);
    for before in tells() {
        let script = [&before[..], &GUARDED[..]].concat();
        let home = Home::start(&[&script]).await;
        let front = imap_front(context(&[(ALICE, &home.name)])).await;
        let (mut client, done) = logged_in(&front).await;
        assert_eq!(done, "a OK [CAPABILITY IMAP4rev1 IDLE] Logged in.");
        assert_eq!(client.ask("b UNAUTHENTICATE").await, "b BAD what");
        // In one go, as LITERAL+ lets a client do it. It hears no "+".
        let said = format!("c APPEND x {{{}+}}\r\n{LETTER}\r\nd NOOP", LETTER.len());
        assert_eq!(client.ask(&said).await, "* 1 EXISTS");
        let last = client.line().await;
        assert!(last.starts_with("d OK"), "{last}: {:?}", home.heard());
        assert_eq!(client.ask("e NOOP").await, "* ECHO e NOOP");
        assert_eq!(client.ask("f STARTTLS").await, "* ECHO f NOT-HERE");
        // What homes read in different ways ends the session.
        client.send("g APPEND x {5 }\r\n");
        assert!(client.is_closed().await);
        let heard = home.heard().join("\n");
        assert!(!heard.contains("{5 }") && !heard.contains("b UNAUTH"), "{heard}");
    }
}

#[tokio::test]
async fn other_homes_have_nobody_between() {
    let home = Home::start(&[&[
        Say("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n"),
        Answer(
            "AUTHENTICATE PLAIN ",
            "OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] in",
        ),
        Echo("* ECHO "),
    ]])
    .await;
    let front = imap_front(context(&[(ALICE, &home.name)])).await;
    let (mut client, done) = logged_in(&front).await;
    assert_eq!(done, "a OK [CAPABILITY IMAP4rev1 COMPRESS=DEFLATE] Logged in.");
    let odd = "b APPEND x {5 }";
    assert_eq!(client.ask(odd).await, format!("* ECHO {odd}"));
}

#[tokio::test]
async fn a_sieve_home_that_knows_unauthenticate_never_hears_it() {
    for (list, verb) in [("\"UNAUTHENTICATE\"\r\n", "NOT-HERE"), ("", "UNAUTHENTICATE")] {
        let greeting = format!("\"IMPLEMENTATION\" \"a home\"\r\n\"SASL\" \"PLAIN\"\r\n{list}OK\r\n");
        let home = Home::start(&[&[
            Say(Box::leak(greeting.into_boxed_str())),
            Hear("AUTHENTICATE \"PLAIN\" "),
            Say("OK \"in\"\r\n"),
            Echo("ECHO "),
        ]])
        .await;
        let sieve = sieve_front(context(&[(ALICE, &home.name)]), |_| {}).await;
        let mut client = Client::connect(sieve.address).await;
        assert!(sieve_login(&mut client).await.starts_with("OK"));
        assert_eq!(client.ask("UNAUTHENTICATE").await, format!("ECHO {verb}"));
        assert_eq!(client.ask("NOOP {2+}\r\nab").await, "ECHO NOOP {2+}");
        assert_eq!(client.line().await, "ECHO ab");
        // A home that gives up FOO takes what follows for a command.
        client.send("FOO {18+}\r\nUNAUTHENTICATE\r\n\r\n");
        if list.is_empty() {
            assert_eq!(client.line().await, "ECHO FOO {18+}");
        } else {
            assert!(client.is_closed().await);
        }
    }
}

/// A real one, by itself: it forgets a login exactly where it announces that. True for IMAP, where it does so for its
/// administrators only, and for ManageSieve.
async fn forgets(server: &Cyrus) {
    let plain = |text: &str| wire::sasl::encode_base64(text.as_bytes());
    let own = plain("\0alice@example.test\0secret");
    let master = plain("alice@example.test\0admin@example.test\0admin-secret");
    for (login, does) in [
        ("LOGIN alice@example.test secret", false),
        (&*format!("AUTHENTICATE PLAIN {own}"), false),
        (&*format!("AUTHENTICATE PLAIN {master}"), false),
        ("LOGIN admin@example.test admin-secret", true),
    ] {
        let mut client = Client::connect(([127, 0, 0, 1], server.imap).into()).await;
        client.line().await;
        let done = client.ask(&format!("a {login}")).await;
        assert!(done.starts_with("a OK"), "{done}");
        let list = client.until("b CAPABILITY", "* CAPABILITY").await;
        client.line().await;
        let left = client.until("c UNAUTHENTICATE", "c ").await;
        assert_eq!(
            (list.contains(" UNAUTHENTICATE"), left.starts_with("c OK")),
            (does, does),
            "{login}: {list}: {left}"
        );
    }
    let mut client = Client::connect(([127, 0, 0, 1], server.sieve).into()).await;
    let mut announced = false;
    loop {
        let line = client.line().await;
        announced |= line == "\"UNAUTHENTICATE\"";
        if line.starts_with("OK") {
            break;
        }
    }
    client.ask(&format!("AUTHENTICATE \"PLAIN\" \"{own}\"")).await;
    let left = client.ask("UNAUTHENTICATE").await;
    assert!(announced && left.starts_with("OK"), "{announced} {left}");
}

/// Behind a front end it never hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn cyrus_is_not_told_to_forget_the_login() {
    let server = Cyrus::start(&USERS, "").expect("Cyrus starts");
    forgets(&server).await;
    let (settings, _none) = home(&server, "replay");
    let context = context_with(&[("@example.test", "store")], &[settings]);
    let config = ImapProxyConfig {
        authenticate: AuthenticateAt::Home,
        ..ImapProxyConfig::default()
    };
    let proxy = Arc::new(imap::ImapProxy::new(&config, context.clone(), None));
    let serve = move |accepted| imap::serve(accepted, proxy.clone());
    let front = front(Protocol::Imap, |_| {}, serve).await;
    let mut client = Client::connect(front.address).await;
    client.line().await;
    let done = client.ask("a LOGIN admin@example.test admin-secret").await;
    assert!(
        done.starts_with("a OK [") && done.contains(" IDLE") && !done.contains("UNAUTH"),
        "{done}"
    );
    assert!(!done.contains("COMPRESS"), "{done}");
    for refused in ["b UNAUTHENTICATE", "b COMPRESS DEFLATE"] {
        let done = client.until(refused, "b ").await;
        assert!(done.starts_with("b BAD"), "{done}");
    }
    // A letter arrives as it is, whether the client waits or not, and after Cyrus has refused one.
    let size = LETTER.len();
    client.until("c CREATE user/letters", "c OK").await;
    let may = "c SETACL user/letters admin@example.test lrswipkxtecda";
    client.until(may, "c OK").await;
    let said = format!("d APPEND user/nobody {{{size}+}}\r\n{LETTER}");
    let done = client.until(&said, "d ").await;
    assert!(done.starts_with("d NO"), "{done}");
    let asked = client.ask(&format!("e APPEND user/nobody {{{size}}}")).await;
    assert!(asked.starts_with("e NO"), "{asked}");
    let said = format!("f APPEND user/letters {{{size}+}}\r\n{LETTER}");
    let done = client.until(&said, "f ").await;
    assert!(done.starts_with("f OK"), "{done}\n{}", server.log());
    let asked = client
        .ask(&format!("g APPEND user/letters (\\Seen) {{{size}}}"))
        .await;
    assert!(asked.starts_with("+ "), "{asked}");
    let done = client.until(LETTER, "g ").await;
    assert!(done.starts_with("g OK"), "{done}");
    client.until("h SELECT user/letters", "h OK").await;
    let line = client.until("i FETCH 1:2 BODY.PEEK[]", "* 1 FETCH").await;
    assert!(line.ends_with(&format!("BODY[] {{{size}}}")), "{line}");
    let letter = client.0.read_exact(size, SOON).await.expect("a letter");
    assert_eq!(&letter[..], LETTER.as_bytes());
    client.until("j IDLE", "+ ").await;
    client.until("DONE", "j OK").await;
    client.until("k LOGOUT", "k OK").await;
    assert!(client.is_closed().await);

    let sieve = sieve_front(context.clone(), |_| {}).await;
    let mut client = Client::connect(sieve.address).await;
    assert!(sieve_login(&mut client).await.starts_with("OK"));
    let done = client.ask("UNAUTHENTICATE").await;
    assert!(done.starts_with("NO"), "{done}");
    let script = "# for the authenticated\r\nkeep;\r\n";
    let put = format!("PUTSCRIPT \"mine\" {{{}+}}\r\n{script}", script.len());
    let done = client.ask(&put).await;
    assert!(done.starts_with("OK"), "{done}");
    assert_eq!(client.ask("LISTSCRIPTS").await, "\"mine\"");
    assert!(client.line().await.starts_with("OK"));
    // It says NO to the first word and takes the second for a command.
    client.send("LISTSCRIPTS UNAUTHENTICATE\r\n");
    while let Ok(line) = client.0.read_line(SOON).await {
        assert!(!line.starts_with(b"OK"), "{line:?}");
    }
}
