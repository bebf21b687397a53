//! SMTP at the edge: homes of mail that follow a script, a front end before them, and a client that delivers.

mod commands;
mod failures;
mod parallel;
mod strict;

use crate::support::{Client, Front, SOON, context, domains, front, listed_domains};
use frontend::smtp::{SmtpProxy, serve};
use frontend::{ProxyContext, SmtpProxyConfig};
use model::Protocol;
use net::{LineStream, ListenerConfig};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use wire::smtp::{BareLineEnds, DotDecoder, Progress};

type Replies = &'static [&'static str];

/// How a home answers at each step. A reply `die` closes the connection there.
#[derive(Debug, Clone)]
pub(crate) struct Manners {
    pub(crate) greeting: &'static str,
    pub(crate) hello: &'static str,
    pub(crate) mail: &'static str,
    pub(crate) rcpt: &'static str,
    pub(crate) data: &'static str,
    /// After the final dot; one for each recipient in LMTP.
    pub(crate) end: &'static [&'static str],
}

pub(crate) const GOOD: Manners = Manners {
    greeting: "220 home",
    hello: "250-home\r\n250-SIZE\r\n250-8BITMIME\r\n250-XCLIENT ADDR PORT HELO\r\n250 XFORWARD ADDR HELO IDENT SOURCE",
    mail: "250 2.1.0 ok",
    rcpt: "250 2.1.5 ok",
    data: "354 go",
    end: &["250 2.0.0 kept"],
};

/// What a home saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) lines: Vec<String>,
    pub(crate) messages: Vec<String>,
    /// The beginning of a message that comes in chunks.
    chunks: String,
    /// Sessions that ended inside the data, before the final dot.
    pub(crate) broken_off: usize,
}

pub(crate) struct Home {
    pub(crate) name: String,
    pub(crate) seen: Arc<Mutex<Seen>>,
}

impl Home {
    pub(crate) async fn start(manners: Manners) -> Self {
        Self::start_each(&[manners]).await
    }

    /// Has these manners in its first connections, and the last ones in all that follow.
    pub(crate) async fn start_each(manners: &[Manners]) -> Self {
        let mut manners: VecDeque<Manners> = manners.iter().cloned().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let name = listener.local_addr().expect("bound").to_string();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let next = match manners.len() {
                    0 | 1 => manners.front().cloned(),
                    _ => manners.pop_front(),
                };
                let (manners, log) = (next.expect("at least one"), log.clone());
                tokio::spawn(async move {
                    let mut stream = LineStream::new(stream.into(), 65_536);
                    let _ = host(&mut stream, &manners, &log).await;
                });
            }
        });
        Self { name, seen }
    }

    pub(crate) fn heard(&self, start: &str) -> Vec<String> {
        let seen = self.seen.lock();
        seen.lines
            .iter()
            .filter(|line| line.starts_with(start))
            .cloned()
            .collect()
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.seen.lock().messages.clone()
    }
}

/// Gives a reply, `slow` ones after a while; none when the home dies of it.
async fn say(stream: &mut LineStream, reply: &str) -> Option<()> {
    if reply == "die" {
        return None;
    }
    let reply = match reply.strip_prefix("slow ") {
        Some(reply) => {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            reply
        }
        None => reply,
    };
    stream.write(reply.as_bytes());
    stream.write(b"\r\n");
    Some(())
}

async fn host(stream: &mut LineStream, manners: &Manners, log: &Mutex<Seen>) -> Option<()> {
    say(stream, manners.greeting).await?;
    loop {
        let line = stream.read_line(SOON).await.ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        log.lock().lines.push(line.clone());
        if let Some(size) = line.strip_prefix("BDAT ") {
            chunk(stream, size, manners, log).await?;
            continue;
        }
        let reply = match line.get(..4)? {
            "EHLO" | "LHLO" => manners.hello,
            "MAIL" => manners.mail,
            // A recipient can ask for a reply of its own.
            "RCPT" if line.contains("slow") => "slow 250 2.1.5 ok",
            "RCPT" if line.contains("late") => "450 4.2.1 later",
            "RCPT" if line.contains("gone") => "550 5.1.1 gone",
            "RCPT" => manners.rcpt,
            "XCLI" if line.contains("198.51.100.99") => "501 5.5.4 what do you mean",
            "QUIT" => return None,
            "DATA" => manners.data,
            _ => "250 fine",
        };
        say(stream, reply).await?;
        if line == "DATA" && reply.starts_with("354") {
            if reply == "354 deaf" {
                let _ = stream.flush(SOON).await;
                tokio::time::sleep(SOON).await;
                return None;
            }
            if reply == "354 half" {
                // It dies when it has a part of the message.
                let _ = stream.read_some(1, SOON).await;
                return None;
            }
            let message = data(stream).await;
            match message {
                Some(message) => log.lock().messages.push(message),
                None => {
                    log.lock().broken_off += 1;
                    return None;
                }
            }
            for reply in manners.end {
                let _ = stream.flush(SOON).await;
                say(stream, reply).await?;
            }
        }
    }
}

async fn chunk(stream: &mut LineStream, size: &str, manners: &Manners, log: &Mutex<Seen>) -> Option<()> {
    let (size, last) = match size.strip_suffix(" LAST") {
        Some(size) => (size, true),
        None => (size, false),
    };
    let octets = stream.read_exact(size.parse().ok()?, SOON).await.ok()?;
    let text = String::from_utf8_lossy(&octets).into_owned();
    let begun = {
        let mut seen = log.lock();
        seen.chunks.push_str(&text);
        std::mem::take(&mut seen.chunks)
    };
    if !last {
        log.lock().chunks = begun;
        return say(stream, "250 2.0.0 chunk").await;
    }
    log.lock().messages.push(begun);
    for reply in manners.end {
        say(stream, reply).await?;
    }
    Some(())
}

async fn data(stream: &mut LineStream) -> Option<String> {
    let mut decoder = DotDecoder::new(BareLineEnds::Reject);
    let mut message = Vec::new();
    loop {
        let input = stream.read_some(65_536, SOON).await.ok()?;
        if let Progress::Done { consumed } = decoder.decode(&input, &mut message) {
            stream.unread(&input[consumed..]);
            assert!(!decoder.saw_bare_line_end(), "nothing that we send can smuggle");
            return String::from_utf8(message).ok();
        }
    }
}

pub(crate) async fn smtp(rules: &[(&str, &str)], configure: impl FnOnce(&mut SmtpProxyConfig)) -> Front {
    smtp_with(context(rules), |_| {}, configure).await
}

pub(crate) async fn smtp_with(
    context: ProxyContext,
    listener: fn(&mut ListenerConfig),
    configure: impl FnOnce(&mut SmtpProxyConfig),
) -> Front {
    let mut config = SmtpProxyConfig {
        domains: listed_domains(&["example.test"]),
        max_recipients: 5,
        ..SmtpProxyConfig::default()
    };
    configure(&mut config);
    let proxy =
        Arc::new(SmtpProxy::new(config.clone(), context, domains(&config.domains)).expect("good homes"));
    front(Protocol::Smtp, listener, move |accepted| {
        serve(accepted, proxy.clone())
    })
    .await
}

pub(crate) async fn greeted(front: &Front) -> Client {
    let mut client = Client::connect(front.address).await;
    assert!(client.line().await.starts_with("220 front.example.test"));
    client.until("EHLO client.test", "250 ").await;
    client
}

/// Sends one message to these local-parts; gives the replies to RCPT and to the message, as far as it came.
pub(crate) async fn deliver(client: &mut Client, to: &[&str], message: &str) -> (Vec<String>, String) {
    assert!(
        client
            .ask("MAIL FROM:<sender@elsewhere.test>")
            .await
            .starts_with("250")
    );
    let mut replies = Vec::new();
    for local in to {
        replies.push(client.ask(&format!("RCPT TO:<{local}@example.test>")).await);
    }
    let go = client.ask("DATA").await;
    if !go.starts_with("354") {
        client.ask("RSET").await;
        return (replies, go);
    }
    let end = client.ask(&format!("{message}\r\n.")).await;
    (replies, end)
}
