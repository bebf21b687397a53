//! What was observed of slapd and what the design rests on. A server version that behaves otherwise fails here first.

use super::push::set;
use super::*;
use directory::feed::{
    Change, ChangeSource, Cookie, Coverage, FeedError, FeedEvent, Following, PollEnd, Step,
};
use model::EntryUuid;
use std::process::{Command, Stdio};
use std::time::Duration;

fn source(slapd: &Slapd) -> Box<dyn ChangeSource> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let connector = Connector::new(Home::config(slapd, &serde_json::json!({})), clock).expect("a connector");
    directory::feed::open(&connector)
}

/// Follows from the present.
async fn follow(source: &mut dyn ChangeSource) -> Following {
    let mut stream = source.follow(None).await.expect("opens");
    loop {
        match stream.next().await.expect("an event").expect("no error") {
            FeedEvent::Refreshed(_) => return stream,
            FeedEvent::Refreshing(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// What a change was about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    uuid: EntryUuid,
    dn: String,
    name: Option<String>,
    csn: Option<String>,
}

/// The messages up to the one of this entry.
async fn until(stream: &mut Following, marker: &str) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        let event = tokio::time::timeout(Duration::from_secs(20), stream.next()).await;
        let event = event.expect("in time").expect("an event").expect("no error");
        let FeedEvent::Live { changes, .. } = event else {
            panic!("{event:?}")
        };
        for change in changes {
            let message = match change {
                Change::Entry(entry) => Message {
                    uuid: entry.uuid,
                    dn: entry.entry.dn.clone(),
                    name: entry.entry.first_str("displayName").map(str::to_owned),
                    csn: entry.entry.first_str("entryCSN").map(str::to_owned),
                },
                Change::Deleted(uuid) | Change::Present(uuid) => Message {
                    uuid,
                    dn: String::new(),
                    name: None,
                    csn: None,
                },
            };
            if message.dn == marker {
                return messages;
            }
            messages.push(message);
        }
    }
}

async fn poll(
    source: &mut dyn ChangeSource,
    cookie: Option<&Cookie>,
) -> Result<(Vec<Change>, PollEnd), FeedError> {
    let mut changes = source.poll(cookie).await?;
    let mut all = Vec::new();
    while let Some(step) = changes.next().await {
        match step? {
            Step::Changes(some) => all.extend(some),
            Step::Done(end) => return Ok((all, end)),
        }
    }
    panic!("the poll has no end");
}

fn few() -> String {
    ["one", "two", "marker"]
        .map(|name| person(name, "a.test"))
        .concat()
        + &group("team", &["one", "two"])
}

// Fact 1.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_overlays_rewrite_is_silent() {
    let slapd = Slapd::start(&few());
    let mut source = source(&slapd);
    let mut stream = follow(&mut *source).await;
    let csn = |filter: &str| slapd.csn(filter);
    let (one, team) = (csn("(uid=one)"), csn("(cn=team)"));
    // memberOf on the person follows, and nobody hears of the person.
    slapd.modify(&format!(
        "dn: cn=team,ou=Groups,{BASE}\nchangetype: modify\ndelete: member\nmember: {}\n\n",
        dn("one")
    ));
    assert_eq!(csn("(uid=one)"), one);
    slapd.modify(&change("marker", "replace", "displayName", "1"));
    let messages = until(&mut stream, &dn("marker")).await;
    let dns: Vec<&str> = messages.iter().map(|message| message.dn.as_str()).collect();
    assert_eq!(dns, [format!("cn=team,ou=Groups,{BASE}")]);
    // The group follows a renamed member, and nobody hears of the group.
    let edited = csn("(cn=team)");
    assert_ne!(edited, team);
    slapd.modify(&format!(
        "dn: {}\nchangetype: modrdn\nnewrdn: uid=second\ndeleteoldrdn: 1\n\n",
        dn("two")
    ));
    slapd.modify(&change("marker", "replace", "displayName", "2"));
    let messages = until(&mut stream, &dn("marker")).await;
    let dns: Vec<&str> = messages.iter().map(|message| message.dn.as_str()).collect();
    assert_eq!(dns, [dn("second")]);
    assert_eq!(slapd.values("(cn=team)", "member"), set(&[&dn("second")]));
    assert_eq!(csn("(cn=team)"), edited);
}

// Fact 2.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_branch_is_one_message() {
    let branch = format!("dn: ou=team,ou=Users,{BASE}\nobjectClass: organizationalUnit\nou: team\n\n");
    let below = |name: &str| person(name, "a.test").replace(",ou=Users,", ",ou=team,ou=Users,");
    let slapd = Slapd::start(&(few() + &branch + &below("x") + &below("y")));
    let csn = slapd.csn("(uid=x)");
    // Everything is watched, or the branch would be no entry of ours at all.
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let more = serde_json::json!({ "accounts": { "base_dn": [format!("ou=Users,{BASE}")], "filter": "(objectClass=*)" } });
    let connector = Connector::new(Home::config(&slapd, &more), clock).expect("a connector");
    let mut source = directory::feed::open(&connector);
    let mut stream = follow(&mut *source).await;
    slapd.modify(&format!(
        "dn: ou=team,ou=Users,{BASE}\nchangetype: modrdn\nnewrdn: ou=crew\ndeleteoldrdn: 1\n\n"
    ));
    slapd.modify(&change("marker", "replace", "displayName", "1"));
    let messages = until(&mut stream, &dn("marker")).await;
    assert!(
        messages.iter().all(|message| !message.dn.starts_with("uid=")),
        "{messages:?}"
    );
    assert_eq!(slapd.csn("(uid=x)"), csn, "those below have no new version");
    assert!(slapd.has("(uid=x)"));
}

// Facts 5 and 6.
#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_are_damaged_or_from_the_future() {
    let slapd = Slapd::start(&few());
    let mut source = source(&slapd);
    // Accepted, and no deletion would ever be named: this is why stored cookies have a checksum.
    let garbage = Cookie::new("rid=000,csn=garbage").expect("short enough");
    match poll(&mut *source, Some(&garbage)).await {
        Ok((_, end)) => assert_eq!(end.coverage, Coverage::NamedDeletes),
        // A feed that looks at what it sends refuses it before slapd can accept it.
        Err(error) => assert!(matches!(error, FeedError::Protocol(_)), "{error:?}"),
    }
    let future = Cookie::new("rid=000,csn=20990101000000.000000Z#000000#001#000000").expect("short enough");
    let answer = poll(&mut *source, Some(&future)).await;
    assert!(matches!(answer, Err(FeedError::CookieTooNew(_))), "{answer:?}");
}

// Fact 6: a restarted slapd has an empty session log.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_log_is_a_present_phase() {
    let mut slapd = Slapd::start(&few());
    let mut first = source(&slapd);
    let (all, end) = poll(&mut *first, None).await.expect("reads");
    assert_eq!((all.len() >= 4, end.coverage), (true, Coverage::Everything));
    let cookie = end.cookie.expect("a cookie");
    // The log reaches back: the deletion is named.
    slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn("one")));
    let (changes, end) = poll(&mut *first, Some(&cookie)).await.expect("reads");
    assert_eq!(end.coverage, Coverage::NamedDeletes);
    assert!(
        changes.iter().any(|change| matches!(change, Change::Deleted(_))),
        "{changes:?}"
    );
    slapd.modify(&format!("dn: {}\nchangetype: delete\n\n", dn("two")));
    slapd.restart();
    slapd.modify(&change("marker", "replace", "displayName", "1"));
    let mut second = source(&slapd);
    let (changes, end) = poll(&mut *second, Some(&cookie)).await.expect("no error");
    assert_eq!(end.coverage, Coverage::Everything, "{changes:?}");
    assert!(
        changes.iter().all(|change| !matches!(change, Change::Deleted(_))),
        "{changes:?}"
    );
}

// Fact 9: what a transaction wrote and took back was told all the same, under a version of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_rolled_back_leaks() {
    let slapd = Slapd::start(&few());
    let mut source = source(&slapd);
    let mut stream = follow(&mut *source).await;
    let before = slapd.csn("(uid=one)");
    let leaks = change("one", "replace", "displayName", "Leaked");
    // The second one fails, and takes the first one with it.
    let fails = change("one", "add", "sn", "Person");
    transaction(&slapd, &(leaks + &fails));
    assert_eq!(slapd.values("(uid=one)", "displayName"), set(&["Person one"]));
    assert_eq!(slapd.csn("(uid=one)"), before);
    let server = source.fingerprint().await.expect("answers");
    slapd.modify(&change("marker", "replace", "displayName", "1"));
    let messages = until(&mut stream, &dn("marker")).await;
    let leaked = messages
        .iter()
        .find(|message| message.name.as_deref() == Some("Leaked"));
    let leaked = leaked.unwrap_or_else(|| panic!("{messages:?}"));
    assert!(leaked.csn.as_ref() > before.first(), "{leaked:?} {before:?}");
    // Nor does the server's own figure tell: it has come as far as what it took back.
    assert_eq!(leaked.csn.as_ref(), server.context_csns.get("001"));
}

// And what comes of it: the entry is read once more by itself, and what is read wins, although its version is the older
// one. Nobody asks for a round here.
#[tokio::test(flavor = "multi_thread")]
async fn what_leaked_does_not_stay() {
    let slapd = Slapd::start(&few());
    let a = Home::new(&slapd, "a.test");
    a.sync_well().await;
    let leaks = change("one", "replace", "displayName", "Leaked");
    transaction(&slapd, &(leaks + &change("one", "add", "sn", "Person")));
    slapd.modify(&change("marker", "replace", "displayName", "1"));
    let name = |home: &Home, name: &str| home.account(name).expect("here").display_name.clone();
    a.until("the message after it", |home| {
        name(home, "marker").as_deref() == Some("1")
    })
    .await;
    a.until("what it was before", |home| {
        name(home, "one").as_deref() == Some("Person one")
    })
    .await;
    // A deletion that was taken back.
    let goes = format!("dn: {}\nchangetype: delete\n\n", dn("two"));
    transaction(&slapd, &(goes + &change("one", "add", "sn", "Person")));
    slapd.modify(&change("marker", "replace", "displayName", "2"));
    a.until("the message after it", |home| {
        name(home, "marker").as_deref() == Some("2")
    })
    .await;
    a.until("as it was", |home| home.can_log_in("two")).await;
    let status = a.sync_well().await;
    assert!(
        status.quarantine.is_empty() && status.error.is_none(),
        "{status:?}"
    );
}

/// One transaction (RFC 5805) that fails.
fn transaction(slapd: &Slapd, ldif: &str) {
    let url = slapd.url();
    let args = [
        "-x",
        "-H",
        &url,
        "-D",
        "cn=homing-write,dc=localdomain,dc=test",
        "-w",
        "secret",
        "-E",
        "txn=commit",
    ];
    let mut command = Command::new("ldapmodify");
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("ldap-utils is installed");
    let mut pipe = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut pipe, ldif.as_bytes()).expect("written");
    drop(pipe);
    let output = child.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && !said.contains("option"), "{said}");
}
