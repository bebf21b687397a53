//! RFC 3501 section 6.4.4, RFC 4731. The keys themselves are tested where they are evaluated.

use super::*;

#[tokio::test]
async fn search() {
    let server = server().await;
    let mut client = server
        .alice_with(&[
            "From: a@example.test\r\nSubject: one\r\n\r\nred",
            "From: b@example.test\r\nSubject: two\r\n\r\ngreen",
            "From: a@example.test\r\nSubject: three\r\n\r\nred and green",
        ])
        .await;
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    for (program, want) in [
        ("SEARCH ALL", "* SEARCH 1 2"),
        ("UID SEARCH ALL", "* SEARCH 2 3"),
        ("SEARCH BODY red", "* SEARCH 2"),
        ("SEARCH FROM A@example", "* SEARCH 2"),
        ("SEARCH SUBJECT four", "* SEARCH"),
        ("SEARCH UID 2 1:*", "* SEARCH 1"),
        ("SEARCH HEADER subject TWO", "* SEARCH 1"),
        ("SEARCH CHARSET UTF-8 TEXT green LARGER 10", "* SEARCH 1 2"),
        ("SEARCH SINCE 2-Feb-2024 BEFORE 3-Feb-2024", "* SEARCH 1 2"),
        (
            "UID SEARCH RETURN (MIN MAX COUNT) ALL",
            "* ESEARCH (TAG \"t20\") UID MIN 2 MAX 3 COUNT 2",
        ),
    ] {
        client.tags = 19;
        assert_eq!(client.ok(program).await, [want], "{program}");
    }
    starts(
        &client.result("SEARCH CHARSET KOI8-R TEXT x").await,
        "NO [BADCHARSET (US-ASCII UTF-8)]",
    );
    starts(&client.result("SEARCH BOGUS").await, "BAD");
    let large = format!("Subject: large\r\n\r\n{}needle", "hay hay hay\r\n".repeat(30_000));
    client.append("INBOX", "", &large).await;
    client.ok("NOOP").await;
    assert_eq!(
        client.ok("SEARCH BODY \"hay needle\" SUBJECT large").await,
        ["* SEARCH"]
    );
    assert_eq!(
        client.ok("SEARCH BODY needle SUBJECT large").await,
        ["* SEARCH 3"]
    );
}
