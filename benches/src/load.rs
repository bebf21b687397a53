//! The load: closed loops over a fixed number of connections, for a span of time.
//!
//! A round has three parts: every worker prepares (connects, logs in, selects), then all of them work until the
//! time is up, then they leave. Only the middle part is measured.

use crate::client::{Dialect, Http, Imap, Login, Message, Pop3, Smtp, Target};
use anyhow::{Context, Result, bail};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// A server that does not answer for this long, in any part of a round, has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Connect, LOGIN, LOGOUT.
    ImapLogin,
    /// NOOP in a session that selected nothing.
    ImapNoop,
    /// APPEND of a message of this size to INBOX.
    ImapAppend { size: usize },
    /// SELECT INBOX.
    ImapSelect,
    /// `FETCH 1:* (FLAGS)` of a mailbox with this many messages.
    ImapFetchFlags { messages: u64 },
    /// `FETCH n BODY.PEEK[]` through a mailbox with this many messages.
    ImapFetchBody { messages: u64 },
    /// `STORE n ±FLAGS (\Flagged)`.
    ImapStoreOne { messages: u64 },
    /// `STORE 1:* ±FLAGS.SILENT (\Flagged)`.
    ImapStoreAll,
    /// Connect, USER, PASS, QUIT.
    Pop3Login,
    /// RETR through a maildrop with this many messages.
    Pop3Retrieve { messages: u64 },
    /// One transaction with one recipient and a message of this size.
    Deliver { dialect: Dialect, size: usize },
    /// GET of this path on a kept connection.
    HttpGet { path: &'static str, visitor: Visitor },
}

/// Whether an HTTP client logs in first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Visitor {
    /// By the form of our front end.
    LoggedIn,
    /// Nobody asks it to.
    Stranger,
}

/// A load on one server.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) work: Work,
    pub(crate) target: Target,
    /// Workers take turns with them; a delivery takes the next one each time.
    pub(crate) logins: Arc<[Login]>,
    pub(crate) connections: usize,
    /// Tells the messages of this round from those of all others.
    pub(crate) round: u64,
}

/// When workers stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After a time.
    Span(Duration),
    /// After this many operations of each worker.
    Count(u64),
}

/// What a round brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally<R> {
    pub(crate) operations: u64,
    /// Bytes of message text that were fetched.
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    /// What the two readings said before and after the measured part.
    pub(crate) readings: (R, R),
}

impl Load {
    /// Runs one round; `read` is called right before and right after the measured part.
    pub(crate) async fn run<R>(&self, until: Until, read: impl Fn() -> Result<R>) -> Result<Tally<R>> {
        let workers = self.prepare().await.context("preparing")?;
        let before = read()?;
        let start = Instant::now();
        let limit = match until {
            Until::Span(span) => span + PATIENCE,
            Until::Count(_) => 10 * PATIENCE,
        };
        let mut tasks = JoinSet::new();
        for mut worker in workers {
            tasks.spawn(async move {
                match until {
                    Until::Span(span) => {
                        while start.elapsed() < span {
                            worker.step().await?;
                        }
                    }
                    Until::Count(count) => {
                        while worker.done < count {
                            worker.step().await?;
                        }
                    }
                }
                anyhow::Ok(worker)
            });
        }
        let workers = join(tasks, limit).await?;
        let elapsed = start.elapsed();
        let after = read()?;
        let operations = workers.iter().map(|worker| worker.done).sum();
        let bytes = workers.iter().map(|worker| worker.bytes).sum();
        let mut tasks = JoinSet::new();
        for worker in workers {
            tasks.spawn(worker.leave());
        }
        join(tasks, PATIENCE).await.context("leaving")?;
        if operations == 0 {
            bail!("not one operation was done");
        }
        Ok(Tally {
            operations,
            bytes,
            elapsed,
            readings: (before, after),
        })
    }

    async fn prepare(&self) -> Result<Vec<Worker>> {
        let mut tasks = JoinSet::new();
        for index in 0..self.connections {
            let mut worker = Worker {
                load: self.clone(),
                index,
                session: Session::None,
                message: match self.work {
                    Work::ImapAppend { size } | Work::Deliver { size, .. } => Some(Message::new(size)),
                    _ => None,
                },
                done: 0,
                bytes: 0,
            };
            tasks.spawn(async move {
                worker.enter().await?;
                anyhow::Ok(worker)
            });
        }
        join(tasks, PATIENCE).await
    }
}

/// Opens `count` IMAP sessions that idle, at most 50 at the same time in their login, and keeps them.
pub(crate) async fn hold(target: &Target, logins: &[Login], count: usize) -> Result<Vec<Imap>> {
    let mut held = Vec::with_capacity(count);
    while held.len() < count {
        let mut tasks = JoinSet::new();
        for index in held.len()..count.min(held.len() + 50) {
            let login = logins.get(index % logins.len().max(1)).cloned();
            let target = target.clone();
            tasks.spawn(async move {
                let login = login.context("nobody to log in as")?;
                let mut imap = Imap::connect(&target).await?;
                imap.login(&login).await?;
                imap.command("SELECT INBOX").await?;
                imap.idle().await?;
                anyhow::Ok(imap)
            });
        }
        held.extend(join(tasks, PATIENCE).await?);
    }
    Ok(held)
}

/// Runs something to its end, or until Ctrl-C, so that the servers are stopped and the scratch folders removed.
pub(crate) fn drive<T>(runtime: &Runtime, work: impl Future<Output = Result<T>>) -> Result<T> {
    runtime.block_on(async {
        tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })
}

async fn join<T: 'static>(mut tasks: JoinSet<Result<T>>, limit: Duration) -> Result<Vec<T>> {
    let all = async {
        let mut results = Vec::with_capacity(tasks.len());
        while let Some(result) = tasks.join_next().await {
            results.push(result??);
        }
        anyhow::Ok(results)
    };
    timeout(limit, all)
        .await
        .with_context(|| format!("no answer within {limit:?}"))?
}

/// The connection of a worker, if its work keeps one.
#[derive(Debug)]
enum Session {
    None,
    Imap(Imap),
    Pop3(Pop3),
    Smtp(Smtp),
    Http(Http),
}

#[derive(Debug)]
struct Worker {
    load: Load,
    index: usize,
    session: Session,
    message: Option<Message>,
    done: u64,
    bytes: u64,
}

impl Worker {
    fn login(&self, turn: u64) -> Result<Login> {
        let count = self.load.logins.len().max(1);
        let index = (usize::try_from(turn)? + self.index) % count;
        self.load
            .logins
            .get(index)
            .cloned()
            .context("nobody to log in as")
    }

    async fn enter(&mut self) -> Result<()> {
        let target = self.load.target.clone();
        self.session = match self.load.work {
            Work::ImapLogin | Work::Pop3Login => Session::None,
            Work::Deliver { dialect, .. } => Session::Smtp(Smtp::connect(&target, dialect).await?),
            Work::HttpGet { visitor, .. } => {
                let mut http = Http::connect(&target).await?;
                if visitor == Visitor::LoggedIn {
                    http.log_in(&self.login(0)?).await?;
                }
                Session::Http(http)
            }
            Work::Pop3Retrieve { .. } => {
                let mut pop3 = Pop3::connect(&target).await?;
                pop3.login(&self.login(0)?).await?;
                Session::Pop3(pop3)
            }
            _ => {
                let mut imap = Imap::connect(&target).await?;
                imap.login(&self.login(0)?).await?;
                if !matches!(self.load.work, Work::ImapNoop | Work::ImapAppend { .. }) {
                    imap.command("SELECT INBOX").await?;
                }
                Session::Imap(imap)
            }
        };
        Ok(())
    }

    async fn step(&mut self) -> Result<()> {
        match self.load.work {
            Work::ImapLogin => {
                let mut imap = Imap::connect(&self.load.target).await?;
                imap.login(&self.login(self.done)?).await?;
                imap.logout().await?;
            }
            Work::Pop3Login => {
                let mut pop3 = Pop3::connect(&self.load.target).await?;
                // A maildrop has one session at a time: each worker keeps to its own.
                pop3.login(&self.login(0)?).await?;
                pop3.quit().await?;
            }
            work => self.step_in_session(work).await?,
        }
        self.done += 1;
        Ok(())
    }

    async fn step_in_session(&mut self, work: Work) -> Result<()> {
        let (serial, round, index) = (self.done, self.load.round, self.index);
        let recipient = self.login(serial)?;
        // Workers begin at different places.
        let number = |messages: u64| (serial + 37 * index as u64) % messages + 1;
        let sign = if serial % 2 == 0 { '+' } else { '-' };
        let message = self.message.as_mut();
        match (&mut self.session, work) {
            (Session::Imap(imap), Work::ImapAppend { .. }) => {
                let message = message.context("no message")?;
                imap.append(message.numbered(round, index, serial)).await?;
            }
            (Session::Imap(imap), work) => {
                let command = match work {
                    Work::ImapSelect => "SELECT INBOX".to_owned(),
                    Work::ImapFetchFlags { .. } => "FETCH 1:* (FLAGS)".to_owned(),
                    Work::ImapFetchBody { messages } => format!("FETCH {} BODY.PEEK[]", number(messages)),
                    // Set and cleared again, so that every one changes something.
                    Work::ImapStoreOne { messages } => {
                        format!("STORE {} {sign}FLAGS (\\Flagged)", serial / 2 % messages + 1)
                    }
                    Work::ImapStoreAll => format!("STORE 1:* {sign}FLAGS.SILENT (\\Flagged)"),
                    _ => "NOOP".to_owned(),
                };
                let brought = imap.command(&command).await?;
                self.bytes += brought.literals as u64;
                match work {
                    Work::ImapFetchFlags { messages } if (brought.lines as u64) < messages => {
                        bail!("{} lines for {messages} messages", brought.lines)
                    }
                    Work::ImapFetchBody { .. } if brought.literals == 0 => bail!("a fetch brought nothing"),
                    _ => {}
                }
            }
            (Session::Pop3(pop3), Work::Pop3Retrieve { messages }) => {
                pop3.retrieve(number(messages)).await?;
            }
            (Session::Http(http), Work::HttpGet { path, .. }) => {
                self.bytes += http.get(path).await? as u64;
            }
            (Session::Smtp(smtp), _) => {
                let message = message.context("no message")?;
                smtp.deliver(&recipient.address, message.numbered(round, index, serial))
                    .await?;
            }
            _ => bail!("this work has no such session"),
        }
        Ok(())
    }

    async fn leave(self) -> Result<()> {
        match self.session {
            Session::None | Session::Http(_) => Ok(()),
            Session::Imap(imap) => imap.logout().await,
            Session::Pop3(pop3) => pop3.quit().await,
            Session::Smtp(smtp) => smtp.quit().await,
        }
    }
}
