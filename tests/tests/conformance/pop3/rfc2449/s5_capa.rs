//! Sections 5 and 6: CAPA and what it lists.

use crate::pop3::{alice, lines};
use crate::subject::{ALICE, Server};
use anyhow::{Context, Result, ensure};

against_both!(Pop3: capabilities_before_and_after_login, pipelined_commands_are_all_answered);

fn capabilities_before_and_after_login(server: &Server) -> Result<()> {
    let mut client = server.pop3()?;
    let before = lines(&mut client, "CAPA")?;
    for capability in ["USER", "TOP", "UIDL"] {
        ensure!(
            before.iter().any(|line| line == capability),
            "{capability} is not in {before:?}"
        );
    }
    let sasl = before
        .iter()
        .find_map(|line| line.strip_prefix("SASL "))
        .context("no SASL")?;
    ensure!(sasl.split(' ').any(|word| word == "PLAIN"), "{sasl}");
    let mut client = alice(server)?;
    let after = lines(&mut client, "CAPA")?;
    for capability in ["TOP", "UIDL"] {
        ensure!(
            after.iter().any(|line| line == capability),
            "{capability} is not in {after:?}"
        );
    }
    // Section 6.4: RESP-CODES; who announces it says why a login failed.
    if before.iter().any(|line| line == "AUTH-RESP-CODE") {
        let reply = server.pop3()?.login(ALICE.address, "wrong")?;
        ensure!(reply.starts_with("-ERR [AUTH]"), "{reply}");
    }
    Ok(())
}

fn pipelined_commands_are_all_answered(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    let capabilities = lines(&mut client, "CAPA")?;
    ensure!(
        capabilities.iter().any(|line| line == "PIPELINING"),
        "{capabilities:?}"
    );
    client
        .dialogue
        .send(b"NOOP\r\nSTAT\r\nNOSUCH\r\nLIST 1\r\nQUIT\r\n")?;
    for expected in ["+OK", "+OK 0 0", "-ERR", "-ERR", "+OK"] {
        let reply = client.dialogue.line()?;
        ensure!(reply.starts_with(expected), "{reply}, not {expected}");
    }
    Ok(())
}
