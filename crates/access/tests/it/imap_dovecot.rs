//! What FETCH and SEARCH say of the sample messages, held against a real Dovecot.

use crate::server::{LOGIN, PASSWORD, start};
use testkit::{Dovecot, ImapClient};

const SECTIONS: [&str; 20] = [
    "",
    "HEADER",
    "TEXT",
    "HEADER.FIELDS (Subject From X-None)",
    "HEADER.FIELDS.NOT (Subject Received)",
    "1",
    "1.MIME",
    "1.1",
    "1.1.MIME",
    "1.2",
    "2",
    "2.MIME",
    "2.1",
    "2.HEADER",
    "2.TEXT",
    "2.HEADER.FIELDS (Subject)",
    "2.1.MIME",
    "2.2",
    "3",
    "3.MIME",
];

fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/eml");
    let listing = std::fs::read_dir(folder).expect("the samples");
    let mut samples: Vec<_> = listing
        .map(|file| {
            let path = file.expect("readable").path();
            (
                path.file_name().expect("a name").to_string_lossy().into_owned(),
                std::fs::read(&path).expect("readable"),
            )
        })
        .collect();
    samples.sort();
    samples
}

/// What both may say in their own way: Dovecot shows media types in lower case and the names of header
/// fields in upper case, and a part that is not there as an empty string where we have NIL.
fn plain(responses: &[String], item: &str) -> String {
    let text = responses
        .join("\n")
        .replace(" {0}\r\n)", " NIL)")
        .replace(" \"\")", " NIL)");
    match text.split_once("] ") {
        Some((name, rest)) if item.contains('[') => format!("{}] {rest}", name.to_ascii_uppercase()),
        _ => text.to_ascii_lowercase(),
    }
}

/// Where we differ on purpose.
fn is_known(name: &str, item: &str, ours: &str) -> bool {
    // Dovecot takes part 1 of a part that has no parts for the part itself; RFC 3501 says so of the message
    // alone.
    let below_leaf = item.contains(".1") && ours.ends_with(" NIL)");
    match name {
        // Dovecot leaves the line break in front of an outer delimiter to the part inside; RFC 2046 section 5.1.1
        // gives it to the delimiter.
        "07-deep.eml" => item.contains("[1"),
        // Dovecot takes a line that only begins like the boundary for it.
        "08-broken-mime.eml" => item == "BODYSTRUCTURE" || item.contains("[1"),
        // Dovecot shows source routes, and unfolds a tab to a space.
        "10-groups.eml" => item == "ENVELOPE",
        _ => below_leaf,
    }
}

fn compare(ours: u16, theirs: u16) {
    let mut clients = [(ours, PASSWORD), (theirs, PASSWORD)].map(|(port, password)| {
        let mut client = ImapClient::connect(port).expect("a greeting");
        assert!(
            client
                .login(LOGIN, password)
                .expect("an answer")
                .starts_with("OK")
        );
        client
    });
    let samples = samples();
    assert!(samples.len() >= 10);
    for client in &mut clients {
        for (name, message) in &samples {
            let result = client.append("INBOX", message).expect("an answer");
            assert!(result.starts_with("OK"), "{name}: {result}");
        }
        client.ok("SELECT INBOX").expect("selected");
    }
    let mut commands = vec![
        "ENVELOPE".to_owned(),
        "BODYSTRUCTURE".to_owned(),
        "RFC822.SIZE".to_owned(),
    ];
    commands.extend(SECTIONS.map(|section| format!("BODY.PEEK[{section}]")));
    commands.push("BODY.PEEK[]<10.50>".to_owned());
    commands.push("BODY.PEEK[TEXT]<5.7>".to_owned());
    let mut different = Vec::new();
    for (number, (name, _)) in (1..).zip(&samples) {
        for item in &commands {
            let command = format!("FETCH {number} {item}");
            let [one, other] = &mut clients;
            let one = plain(&one.ok(&command).expect("an answer"), item);
            let other = plain(&other.ok(&command).expect("an answer"), item);
            if one != other && !is_known(name, item, &one) {
                different.push(format!("{name} {item}\n  ours:   {one:?}\n  theirs: {other:?}"));
            }
        }
    }
    for program in [
        "TEXT \"the\"",
        "BODY \"point\"",
        "SUBJECT \"e\"",
        "FROM \"example\"",
        "HEADER Subject \"\"",
        "HEADER Content-Type multipart",
        "LARGER 500",
        "NOT SMALLER 1000",
        "SENTSINCE 1-Jan-2020",
        "SENTBEFORE 1-Jan-2024 HEADER Date \"\"",
        "TO \"b\"",
        "CC \"a\"",
        "OR FROM bob SUBJECT re",
        "SINCE 1-Jan-2000",
        "UNSEEN",
        "UID 2:5 3:*",
    ] {
        let command = format!("SEARCH CHARSET UTF-8 {program}");
        let [one, other] = &mut clients;
        let (one, other) = (
            one.ok(&command).expect("an answer"),
            other.ok(&command).expect("an answer"),
        );
        if one != other {
            different.push(format!("{command}\n  ours:   {one:?}\n  theirs: {other:?}"));
        }
    }
    assert!(
        different.is_empty(),
        "{}\n{} differences",
        different.join("\n"),
        different.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn agrees_with_dovecot() {
    let server = start().await;
    let ours = server.port;
    let work = move || {
        let dovecot = Dovecot::start(&[(LOGIN, PASSWORD)], "").expect("a Dovecot");
        compare(ours, dovecot.imap);
    };
    tokio::task::spawn_blocking(work).await.expect("no difference");
}
