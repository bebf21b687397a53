//! The rows of `frontend`, and the bars that are set for them.

use super::stage::Home;
use crate::compare::Figure;
use crate::stats::Bar;

/// What is done in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// LOGIN and LOGOUT, so many at once.
    Login { sessions: usize },
    /// The same, and ours binds for each.
    LoginBind,
    /// NOOP over so many sessions.
    Noop { sessions: usize },
    /// FETCH of a large message.
    Fetch,
    /// Mail with one recipient.
    Deliver,
    /// GET of a page over so many kept connections.
    Get { page: Page, sessions: usize },
    /// Sessions that wait.
    Idle,
}

/// What is asked for by HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Small,
    Large,
}

/// Whether the client speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    Plain,
    Tls,
}

/// One contest: what is done, and the one or two figures that its rounds give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) security: Security,
    /// Whose people it is about.
    pub(super) home: Home,
    /// The peer whose ratio the bar is for.
    pub(super) against: &'static str,
    pub(super) first: Figure,
    pub(super) second: Option<Figure>,
}

impl Row {
    /// Memory of servers that have done nothing else.
    pub(super) fn is_idle(&self) -> bool {
        self.kind == Kind::Idle
    }

    /// The same before the home with mailboxes.
    fn before_the_real_home(self) -> Self {
        Self {
            home: Home::Real,
            ..self
        }
    }

    /// Whether its second figure is what a front end adds to the time of one operation.
    pub(super) fn is_latency(&self) -> bool {
        self.first.unit == "ms"
    }

    pub(super) fn figures(&self) -> Vec<Figure> {
        [Some(self.first), self.second].into_iter().flatten().collect()
    }
}

const fn rate(name: &'static str, title: &'static str, bar: Bar) -> Figure {
    Figure {
        name,
        title,
        unit: "op/s",
        higher_is_better: true,
        bar,
    }
}

const fn cost(name: &'static str, title: &'static str, bar: Bar) -> Figure {
    Figure {
        name,
        title,
        unit: "CPU ms",
        higher_is_better: false,
        bar,
    }
}

const fn of(
    unit: &'static str,
    higher_is_better: bool,
    name: &'static str,
    title: &'static str,
    bar: Bar,
) -> Figure {
    Figure {
        name,
        title,
        unit,
        higher_is_better,
        bar,
    }
}

/// All rows, memory first.
pub(super) fn rows() -> Vec<Row> {
    let row = |name, kind, security, against, first, second| Row {
        name,
        kind,
        security,
        home: Home::Null,
        against,
        first,
        second,
    };
    let (login, noop) = (Kind::Login { sessions: 10 }, Kind::Noop { sessions: 100 });
    let get = |page| Kind::Get { page, sessions: 10 };
    let idle = |name, title, bar| of("KiB/session", false, name, title, bar);
    let speed = |name, title, bar| of("MB/s", true, name, title, bar);
    let time = |name, title| of("ms", false, name, title, Bar::None);
    let added = |name| of("ms", false, name, "what the front end adds to it", Bar::None);
    vec![
        row(
            "idle",
            Kind::Idle,
            Security::Plain,
            "haproxy",
            idle("idle-1000", "memory of each of 1,000 idle sessions", Bar::None),
            Some(idle("idle-5000", "of each of 5,000", Bar::AtMost(3.0))),
        ),
        row(
            "idle-tls",
            Kind::Idle,
            Security::Tls,
            "haproxy",
            idle(
                "idle-tls-1000",
                "the same with TLS to the client, 1,000",
                Bar::None,
            ),
            Some(idle("idle-tls-5000", "and 5,000", Bar::AtMost(16.0))),
        ),
        row(
            "login",
            login,
            Security::Plain,
            "nginx",
            rate("login", "IMAP login and logout, 10 at once", Bar::None),
            Some(cost("login-cpu", "CPU of each", Bar::AtMost(0.18))),
        ),
        row(
            "login-bind",
            Kind::LoginBind,
            Security::Plain,
            "nginx",
            rate("login-bind", "the same with a bind each time", Bar::None),
            Some(cost("login-bind-cpu", "CPU of each", Bar::AtMost(0.25))),
        ),
        row(
            "login-tls",
            login,
            Security::Tls,
            "nginx",
            rate(
                "login-tls",
                "login over TLS 1.3, a full handshake each",
                Bar::None,
            ),
            Some(cost("login-tls-cpu", "CPU of each", Bar::AtMost(0.70))),
        ),
        row(
            "login-real",
            login,
            Security::Plain,
            "nginx",
            rate("login-real", "login and logout, Dovecot behind", Bar::None),
            Some(cost("login-real-cpu", "CPU of each in the front end", Bar::None)),
        )
        .before_the_real_home(),
        row(
            "noop",
            noop,
            Security::Plain,
            "haproxy",
            rate("noop", "NOOP over 100 sessions", Bar::None),
            Some(cost("noop-cpu", "CPU of each", Bar::RatioAtMost(1.0))),
        ),
        row(
            "noop-tls",
            noop,
            Security::Tls,
            "haproxy",
            rate("noop-tls", "NOOP over 100 sessions, TLS", Bar::None),
            Some(cost("noop-tls-cpu", "CPU of each", Bar::RatioAtMost(1.0))),
        ),
        row(
            "noop-real",
            noop,
            Security::Plain,
            "haproxy",
            rate("noop-real", "NOOP over 100 sessions, Dovecot behind", Bar::None),
            Some(cost("noop-real-cpu", "CPU of each in the front end", Bar::None)),
        )
        .before_the_real_home(),
        row(
            "fetch",
            Kind::Fetch,
            Security::Plain,
            "haproxy",
            speed("fetch", "FETCH of 1 MiB, 4 sessions", Bar::RatioAtLeast(1.0)),
            Some(cost("fetch-cpu", "CPU of each", Bar::None)),
        ),
        row(
            "fetch-tls",
            Kind::Fetch,
            Security::Tls,
            "haproxy",
            speed(
                "fetch-tls",
                "FETCH of 1 MiB over TLS, 4 sessions",
                Bar::RatioAtLeast(1.0),
            ),
            Some(cost("fetch-tls-cpu", "CPU of each", Bar::None)),
        ),
        row(
            "fetch-real",
            Kind::Fetch,
            Security::Plain,
            "haproxy",
            speed("fetch-real", "FETCH of 1 MiB, Dovecot behind", Bar::None),
            Some(cost("fetch-real-cpu", "CPU of each in the front end", Bar::None)),
        )
        .before_the_real_home(),
        row(
            "latency-login",
            Kind::Login { sessions: 1 },
            Security::Plain,
            "nginx",
            time("latency-login", "one login and logout at a time"),
            Some(added("added-login")),
        ),
        row(
            "latency-noop",
            Kind::Noop { sessions: 1 },
            Security::Plain,
            "haproxy",
            time("latency-noop", "one NOOP at a time"),
            Some(added("added-noop")),
        ),
        row(
            "latency-http",
            Kind::Get {
                page: Page::Small,
                sessions: 1,
            },
            Security::Plain,
            "nginx",
            time("latency-http", "one GET of 4 KiB at a time"),
            Some(added("added-http")),
        ),
        row(
            "smtp",
            Kind::Deliver,
            Security::Plain,
            "dovecot",
            rate(
                "smtp",
                "4 KiB mail routed home, 20 connections (Dovecot proxies LMTP)",
                Bar::RatioAtLeast(3.0),
            ),
            Some(cost("smtp-cpu", "CPU of each", Bar::None)),
        ),
        row(
            "http",
            get(Page::Small),
            Security::Plain,
            "nginx",
            rate(
                "http",
                "GET of 4 KiB with a session cookie, 10 connections",
                Bar::None,
            ),
            Some(cost("http-cpu", "CPU of each", Bar::None)),
        ),
        row(
            "http-large",
            get(Page::Large),
            Security::Plain,
            "nginx",
            speed("http-large", "GET of 1 MiB, 10 connections", Bar::None),
            Some(cost("http-large-cpu", "CPU of each", Bar::None)),
        ),
    ]
}

/// All figures, for `list`.
pub(crate) fn figures() -> Vec<Figure> {
    rows().iter().flat_map(Row::figures).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = figures().iter().map(|figure| figure.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
