//! Section 9: formal syntax; what does not follow it is BAD and changes nothing.

use crate::imap::{alice, bad, fetched, with_messages};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: nonsense_is_bad, keywords_have_no_case, a_line_without_a_command);

fn nonsense_is_bad(server: &Server) -> Result<()> {
    for command in [
        "FROBNICATE",
        "SELECT",
        "LOGIN onlyone",
        "LIST \"\"",
        "STATUS INBOX",
        "STATUS INBOX (NOSUCHITEM)",
        "STATUS INBOX ()",
        "FETCH 1",
        "FETCH 0 FLAGS",
        "FETCH abc FLAGS",
        "FETCH 1:: FLAGS",
        "FETCH 1 (FLAGS",
        "FETCH 1 NOSUCHITEM",
        "FETCH 1 BODY[",
        "FETCH 1 BODY[0]",
        "FETCH 1 BODY[TEXT]<1>",
        "STORE 1 FLAGS",
        "STORE 1 NOTFLAGS (\\Seen)",
        "SEARCH",
        "SEARCH NOSUCHKEY",
        "SEARCH SINCE 99-Foo-2024",
        "SEARCH (ALL",
        "UID",
        "UID NOOP",
        "UID FETCH 1",
        "COPY 1",
        "APPEND INBOX",
    ] {
        let mut client = with_messages(server, 0)?;
        bad(&mut client, command)?;
        client.ok("NOOP")?;
    }
    Ok(())
}

fn keywords_have_no_case(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 1)?;
    let untagged = client.ok("fEtCh 1 (fLaGs uId rfc822.SIZE)")?;
    let fetch = fetched(&untagged, 1)?;
    ensure!(
        fetch.contains("UID ") && fetch.contains("RFC822.SIZE "),
        "{fetch}"
    );
    client.ok("uid Fetch 1:* flags")?;
    client.ok("Status inbox (messages UIDnext)")?;
    client.ok("search nOt Deleted")?;
    Ok(())
}

fn a_line_without_a_command(server: &Server) -> Result<()> {
    // A tag alone, an empty line, a line that is no line: an error, and the session goes on.
    let mut client = alice(server)?;
    client.dialogue.send(b"tagonly\r\n")?;
    let reply = client.response()?;
    ensure!(
        reply.starts_with("tagonly BAD") || reply.starts_with("* BAD"),
        "{reply}"
    );
    client.dialogue.send(b"* NOOP\r\n")?;
    let reply = client.response()?;
    ensure!(reply.contains("BAD"), "{reply}");
    client.ok("NOOP")?;
    Ok(())
}
