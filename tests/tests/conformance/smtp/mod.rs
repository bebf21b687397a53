//! SMTP receiving: RFC 5321 and the extensions that both subjects announce.

mod rfc1870;
mod rfc2920;
mod rfc3030;
mod rfc5321;
mod rfc6152;

use crate::subject::Server;
use anyhow::{Result, ensure};
use testkit::{SmtpClient, SmtpReply};

/// A session after EHLO.
fn smtp(server: &Server) -> Result<SmtpClient> {
    let mut client = server.smtp()?;
    expect(&mut client, "EHLO client.example.test", 250)?;
    Ok(client)
}

/// A command that must be answered with this code.
fn expect(client: &mut SmtpClient, command: &str, code: u16) -> Result<SmtpReply> {
    let reply = client.command(command)?;
    ensure!(reply.code == code, "{command}: {reply:?}, not {code}");
    Ok(reply)
}

/// A command that must be refused for good.
fn refused(client: &mut SmtpClient, command: &str) -> Result<SmtpReply> {
    let reply = client.command(command)?;
    ensure!((500..600).contains(&reply.code), "{command}: {reply:?}, not 5yz");
    Ok(reply)
}

/// MAIL, RCPT to alice and DATA; the message is awaited.
fn until_data(client: &mut SmtpClient) -> Result<()> {
    expect(client, "MAIL FROM:<erika@example.test>", 250)?;
    expect(client, "RCPT TO:<alice@example.test>", 250)?;
    expect(client, "DATA", 354)?;
    Ok(())
}

/// The parameters of an EHLO keyword.
fn keyword(client: &mut SmtpClient, name: &str) -> Result<Option<String>> {
    let reply = expect(client, "EHLO client.example.test", 250)?;
    Ok(reply.lines.iter().skip(1).find_map(|line| {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        word.eq_ignore_ascii_case(name).then(|| rest.to_owned())
    }))
}
