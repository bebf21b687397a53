//! The figures of `smoke`, and the bars that are set for them.

use crate::client::Dialect;
use crate::load::Work;
use crate::stage::{Place, Port, Sizes, Who};
use crate::stats::Bar;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Operations a second.
    Rate,
    /// Milliseconds an operation takes, as one client sees it.
    Millis,
    /// Milliseconds of CPU time that the servers spend on an operation.
    CpuMillis,
    /// Megabytes of message text a second.
    Megabytes,
    /// KiB of memory for one idle session.
    Memory,
}

impl Measure {
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Rate => "op/s",
            Self::Millis => "ms",
            Self::CpuMillis => "CPU ms",
            Self::Megabytes => "MB/s",
            Self::Memory => "KiB/session",
        }
    }

    pub(crate) fn higher_is_better(self) -> bool {
        matches!(self, Self::Rate | Self::Megabytes)
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) place: Place,
    pub(crate) port: Port,
    pub(crate) who: Who,
    pub(crate) connections: usize,
    pub(crate) what: What,
    pub(crate) measure: Measure,
    pub(crate) bar: Bar,
}

/// Rounds of load, or sessions that are held.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Load(Work),
    /// Sessions that selected INBOX and wait in IDLE. Measured once, on servers that have done nothing else:
    /// memory that was freed and kept would count as nothing when it is used again.
    Idle,
}

impl Figure {
    /// Whether it is measured on servers that have done nothing else.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.what, What::Idle)
    }

    /// A row whose load comes over IMAP to the back end, from accounts with mail to read.
    const fn imap(name: &'static str, title: &'static str, work: Work, connections: usize) -> Self {
        Self {
            name,
            title,
            place: Place::BackEnd,
            port: Port::Imap,
            who: Who::Readers,
            connections,
            what: What::Load(work),
            measure: Measure::Rate,
            bar: Bar::None,
        }
    }

    const fn by(self, measure: Measure, bar: Bar) -> Self {
        Self { measure, bar, ..self }
    }

    const fn from(self, who: Who) -> Self {
        Self { who, ..self }
    }

    const fn at(self, place: Place, port: Port) -> Self {
        Self { place, port, ..self }
    }

    const fn idle(self) -> Self {
        Self {
            what: What::Idle,
            measure: Measure::Memory,
            ..self
        }
    }
}

const MESSAGE: usize = 4096;

/// All figures.
pub(crate) fn smoke(sizes: Sizes) -> Vec<Figure> {
    let mut all = memory();
    all.extend(back_end(sizes));
    all.extend(front_end());
    all
}

fn memory() -> Vec<Figure> {
    vec![
        Figure::imap(
            "imap-idle-memory",
            "1,000 idle IMAP sessions",
            Work::ImapNoop,
            1000,
        )
        .idle()
        .by(Measure::Memory, Bar::AtMost(16.0)),
        Figure::imap(
            "front-idle-memory",
            "5,000 idle IMAP sessions through the front end",
            Work::ImapNoop,
            5000,
        )
        .from(Who::Remote)
        .at(Place::FrontEnd, Port::Imap)
        .idle()
        .by(Measure::Memory, Bar::AtMost(3.0)),
    ]
}

fn back_end(sizes: Sizes) -> Vec<Figure> {
    let Sizes { big, read } = sizes;
    let deliver = Work::Deliver {
        dialect: Dialect::Lmtp,
        size: MESSAGE,
    };
    let append = Work::ImapAppend { size: MESSAGE };
    vec![
        Figure::imap(
            "lmtp-delivery",
            "durable LMTP deliveries of 4 KiB, 20 connections",
            deliver,
            20,
        )
        .from(Who::Receivers)
        .at(Place::BackEnd, Port::Lmtp)
        .by(Measure::Rate, Bar::RatioAtLeast(3.0)),
        Figure::imap(
            "smtp-delivery",
            "the same over SMTP (the peer keeps LMTP)",
            deliver,
            20,
        )
        .from(Who::Receivers)
        .at(Place::BackEnd, Port::Smtp),
        Figure::imap("imap-append-1", "APPEND of 4 KiB, 1 connection", append, 1)
            .from(Who::Receivers)
            .by(Measure::Rate, Bar::RatioAtLeast(1.0)),
        Figure::imap("imap-append-10", "APPEND of 4 KiB, 10 connections", append, 10)
            .from(Who::Receivers)
            .by(Measure::Rate, Bar::RatioAtLeast(3.0)),
        Figure::imap(
            "imap-login",
            "IMAP login and logout, 10 at once",
            Work::ImapLogin,
            10,
        )
        .from(Who::Receivers)
        .by(Measure::CpuMillis, Bar::AtMost(0.15)),
        Figure::imap(
            "pop3-login",
            "POP3 login and quit, 10 at once",
            Work::Pop3Login,
            10,
        )
        .at(Place::BackEnd, Port::Pop3)
        .by(Measure::CpuMillis, Bar::None),
        Figure::imap("imap-noop", "NOOP over 100 sessions", Work::ImapNoop, 100)
            .from(Who::Receivers)
            .by(Measure::CpuMillis, Bar::None),
        Figure::imap("imap-select", "SELECT of the large mailbox", Work::ImapSelect, 1)
            .from(Who::Big)
            .by(Measure::Millis, Bar::RatioAtMost(1.0)),
        Figure::imap(
            "imap-fetch-flags",
            "FETCH 1:* (FLAGS) of the large mailbox",
            Work::ImapFetchFlags { messages: big },
            1,
        )
        .from(Who::Big)
        .by(Measure::Millis, Bar::RatioAtMost(1.0 / 3.0)),
        Figure::imap(
            "imap-store-one",
            "STORE of one message's flag",
            Work::ImapStoreOne { messages: big },
            1,
        )
        .from(Who::Big)
        .by(Measure::Rate, Bar::RatioAtLeast(1.0)),
        Figure::imap(
            "imap-store-all",
            "STORE 1:* of the large mailbox",
            Work::ImapStoreAll,
            1,
        )
        .from(Who::Big)
        .by(Measure::Millis, Bar::RatioAtMost(1.0)),
        Figure::imap(
            "imap-fetch",
            "FETCH of 4 KiB bodies, 10 sessions",
            Work::ImapFetchBody { messages: read },
            10,
        ),
        Figure::imap(
            "pop3-retr",
            "RETR of 4 KiB, 10 sessions",
            Work::Pop3Retrieve { messages: read },
            10,
        )
        .at(Place::BackEnd, Port::Pop3)
        .by(Measure::Rate, Bar::RatioAtLeast(3.0)),
    ]
}

fn front_end() -> Vec<Figure> {
    let deliver = Work::Deliver {
        dialect: Dialect::Smtp,
        size: MESSAGE,
    };
    let front = |figure: Figure, port| figure.from(Who::Remote).at(Place::FrontEnd, port);
    vec![
        front(
            Figure::imap(
                "front-imap-login",
                "IMAP login and logout through the front end, 10 at once",
                Work::ImapLogin,
                10,
            ),
            Port::Imap,
        )
        .by(Measure::CpuMillis, Bar::AtMost(0.18)),
        front(
            Figure::imap(
                "front-imap-noop",
                "NOOP over 100 sessions through the front end",
                Work::ImapNoop,
                100,
            ),
            Port::Imap,
        )
        .by(Measure::CpuMillis, Bar::None),
        front(
            Figure::imap(
                "front-imap-fetch",
                "FETCH of 1 MiB through the front end, 4 sessions",
                Work::ImapFetchBody { messages: 1 },
                4,
            ),
            Port::Imap,
        )
        .by(Measure::Megabytes, Bar::None),
        front(
            Figure::imap(
                "front-delivery",
                "4 KiB mail routed home, 20 connections (the peer proxies LMTP)",
                deliver,
                20,
            ),
            Port::Smtp,
        )
        .by(Measure::Rate, Bar::RatioAtLeast(3.0)),
        Figure::imap(
            "cluster-imap-login",
            "IMAP login and logout, front end and back end together, 10 at once",
            Work::ImapLogin,
            10,
        )
        .from(Who::Receivers)
        .at(Place::Cluster, Port::Imap)
        .by(Measure::CpuMillis, Bar::None),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_deliveries_have_people_to_themselves() {
        let all = smoke(Sizes { big: 100, read: 10 });
        let mut names: Vec<&str> = all.iter().map(|figure| figure.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        for figure in &all {
            let writes = matches!(
                figure.what,
                What::Load(Work::Deliver { .. } | Work::ImapAppend { .. })
            );
            assert!(
                !writes || matches!(figure.who, Who::Receivers | Who::Remote),
                "{} would change mailboxes that others count on",
                figure.name
            );
        }
    }
}
