//! Section 4: the AUTHORIZATION state.

use crate::pop3::{err, ok};
use crate::subject::{ALICE, Server};
use anyhow::{Result, ensure};

against_both!(Pop3: user_and_pass, nothing_is_reached_without_login, quit_before_login);

fn user_and_pass(server: &Server) -> Result<()> {
    let mut client = server.pop3()?;
    ensure!(client.greeting.starts_with("+OK"), "{}", client.greeting);
    err(&mut client, "PASS before-user")?;
    let reply = client.login(ALICE.address, "wrong")?;
    ensure!(reply.starts_with("-ERR"), "{reply}");
    let reply = client.login(ALICE.address, ALICE.password)?;
    ensure!(reply.starts_with("+OK"), "after a wrong password: {reply}");
    err(&mut client, &format!("USER {}", ALICE.address))?;
    ok(&mut client, "STAT")?;
    Ok(())
}

fn nothing_is_reached_without_login(server: &Server) -> Result<()> {
    for command in [
        "STAT", "LIST", "RETR 1", "DELE 1", "NOOP", "RSET", "UIDL", "TOP 1 0",
    ] {
        let mut client = server.pop3()?;
        err(&mut client, command)?;
    }
    Ok(())
}

fn quit_before_login(server: &Server) -> Result<()> {
    let mut client = server.pop3()?;
    ok(&mut client, "QUIT")?;
    ensure!(client.dialogue.is_closed(), "the connection stays open");
    Ok(())
}
