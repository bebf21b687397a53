//! What goes wrong, and what everybody hears then: "no" only where it is no, else "try later".

mod ambiguous;
mod configuration;
mod directory_away;
mod foreign_home;
mod front_limits;
mod homes_away;
mod passwords;

use anyhow::{Context, Result};
use system_tests::{Cluster, ClusterOptions};
use testkit::{Person, SmtpClient, SmtpReply};

/// The reply to RCPT for one address.
fn recipient(smtp: u16, address: &str) -> Result<SmtpReply> {
    let mut client = SmtpClient::connect(smtp)?;
    client.command("EHLO client.example.test")?;
    client.command("MAIL FROM:<erika@example.test>")?;
    client.command(&format!("RCPT TO:<{address}>"))
}

/// Sends one message; the reply to the final dot, or to the first command that failed.
fn send(smtp: u16, to: &str, subject: &str) -> Result<SmtpReply> {
    let mut client = SmtpClient::connect(smtp)?;
    client.command("EHLO client.example.test")?;
    let message = format!("From: erika@example.test\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nx\r\n");
    let (recipients, last) = client.deliver("erika@example.test", &[to], message.as_bytes())?;
    Ok(recipients
        .into_iter()
        .find(|reply| reply.code != 250)
        .unwrap_or(last))
}

fn person(cluster: &Cluster, uid: &str) -> Result<Person> {
    cluster
        .people
        .find(uid)
        .cloned()
        .with_context(|| format!("nobody is called {uid}"))
}

/// Runs a test on a small cluster; on failure every server's log is shown.
fn on_cluster(test: fn(&mut Cluster) -> Result<()>) -> Result<()> {
    let mut cluster = Cluster::start(&ClusterOptions::default())?;
    test(&mut cluster).with_context(|| cluster.log_tails())
}
