//! Which of a connector's servers to use: a pure record of what happened to each.

use std::time::Duration;

/// An earlier server is used again when it has answered for this long.
const FAIL_BACK_AFTER: Duration = Duration::from_secs(30);
/// Between two probes of an earlier server that answers.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// The longest wait after failures to connect: somebody is waiting to log in.
const MAX_BACK_OFF: Duration = Duration::from_secs(5);

/// The servers in the order of the configuration.
#[derive(Debug)]
pub(super) struct Health {
    servers: Vec<Server>,
    /// The one in use.
    current: usize,
    retry_interval: Duration,
}

#[derive(Debug, Clone, Default)]
struct Server {
    failures: u32,
    /// Not tried before this moment.
    retry_at: Duration,
    /// Since when probes succeed; only kept for servers before the current one.
    healthy_since: Option<Duration>,
}

impl Health {
    pub(super) fn new(servers: usize, retry_interval: Duration) -> Self {
        Self {
            servers: vec![Server::default(); servers.max(1)],
            current: 0,
            retry_interval,
        }
    }

    /// The server in use.
    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// The servers to try now, best first: the current one, then the others in order. Those that failed a
    /// moment ago are left out; when that leaves nothing, nothing is to be tried yet.
    pub(super) fn candidates(&self, now: Duration) -> Vec<usize> {
        let others = (0..self.servers.len()).filter(|index| *index != self.current);
        std::iter::once(self.current)
            .chain(others)
            .filter(|index| {
                self.servers
                    .get(*index)
                    .is_some_and(|server| server.retry_at <= now)
            })
            .collect()
    }

    /// Whether every server failed, and none of them has been used since.
    pub(super) fn is_down(&self) -> bool {
        self.servers.iter().all(|server| server.failures > 0)
    }

    /// A connection to this server works and is going to be used.
    pub(super) fn succeeded(&mut self, index: usize) {
        if let Some(server) = self.servers.get_mut(index) {
            *server = Server::default();
            self.current = index;
        }
    }

    /// This server could not be reached or did not answer. `jitter` is a number from 0 to 255.
    pub(super) fn failed(&mut self, index: usize, now: Duration, jitter: u8) {
        let retry = self.retry_interval;
        if let Some(server) = self.servers.get_mut(index) {
            let doubled = retry
                .saturating_mul(1 << server.failures.min(6))
                .min(MAX_BACK_OFF);
            server.failures = server.failures.saturating_add(1);
            // Between half and all of the wait, so that a thousand clients do not come back at once.
            let wait = doubled / 2 + doubled / 2 * u32::from(jitter) / 255;
            server.retry_at = now.saturating_add(wait);
            server.healthy_since = None;
        }
    }

    /// An earlier server that should be tried in the background now. The caller must report the result.
    pub(super) fn due_probe(&mut self, now: Duration) -> Option<usize> {
        let current = self.current;
        let (index, server) = self
            .servers
            .iter_mut()
            .take(current)
            .enumerate()
            .find(|(_, s)| s.retry_at <= now)?;
        server.retry_at = now.saturating_add(PROBE_EVERY);
        Some(index)
    }

    /// A probe of an earlier server succeeded; true when it is the current one from now on.
    pub(super) fn probe_succeeded(&mut self, index: usize, now: Duration) -> bool {
        let Some(server) = self.servers.get_mut(index).filter(|_| index < self.current) else {
            return false;
        };
        server.failures = 0;
        let since = *server.healthy_since.get_or_insert(now);
        if now.saturating_sub(since) < FAIL_BACK_AFTER {
            return false;
        }
        self.succeeded(index);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn fails_over_and_waits() {
        let mut health = Health::new(2, at(1));
        assert_eq!(health.candidates(at(0)), [0, 1]);
        health.failed(0, at(0), 255);
        assert_eq!(health.candidates(at(0)), [1]);
        health.succeeded(1);
        assert_eq!(health.current(), 1);
        assert_eq!(health.candidates(at(0)), [1], "the failed one waits");
        health.failed(1, at(1), 255);
        assert_eq!(health.candidates(at(1)), [0], "a second is over for the first");
        health.failed(0, at(1), 255);
        assert_eq!(health.candidates(at(1)), Vec::<usize>::new());
        assert_eq!(health.candidates(at(2)), [1]);
        for _ in 0..100 {
            health.failed(0, at(2), 255);
        }
        assert_eq!(
            health.candidates(at(2) + MAX_BACK_OFF),
            [1, 0],
            "the wait is bounded"
        );
    }

    #[test]
    fn jitter_is_at_most_half() {
        for (jitter, wait) in [(0, 500), (255, 1000)] {
            let mut health = Health::new(1, at(1));
            health.failed(0, at(0), jitter);
            assert_eq!(health.candidates(Duration::from_millis(wait - 1)).len(), 0);
            assert_eq!(health.candidates(Duration::from_millis(wait)), [0]);
        }
    }

    #[test]
    fn fails_back_after_thirty_healthy_seconds() {
        let mut health = Health::new(2, at(1));
        health.failed(0, at(0), 255);
        health.succeeded(1);
        assert_eq!(health.due_probe(at(0)), None);
        assert_eq!(health.due_probe(at(1)), Some(0));
        assert_eq!(health.due_probe(at(1)), None, "one probe at a time");
        assert!(!health.probe_succeeded(0, at(1)));
        assert!(!health.probe_succeeded(0, at(20)));
        health.failed(0, at(21), 255);
        assert!(
            !health.probe_succeeded(0, at(40)),
            "the failure began the count anew"
        );
        assert!(health.probe_succeeded(0, at(70)));
        assert_eq!((health.current(), health.due_probe(at(1000))), (0, None));
        assert!(!health.probe_succeeded(0, at(1001)), "it is in use already");
    }
}
