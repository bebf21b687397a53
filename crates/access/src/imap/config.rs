//! The `[imap]` section of the configuration.

use model::{ByteSize, ConfigProblem};
use net::ListenerConfig;

/// How accounts of this server are read over IMAP.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImapConfig {
    /// Where to listen. Default: nowhere.
    pub listener: Vec<ListenerConfig>,
    /// The largest message that APPEND takes; 1 KiB to 1 GiB, default 64 MiB. Clients see it as APPENDLIMIT.
    pub max_message_size: ByteSize,
    /// Memory for messages that are being appended, over all sessions; at least `max_message_size`, default
    /// 256 MiB. A client that finds it used up waits up to 30 seconds and is then told to try later.
    pub append_memory: ByteSize,
    /// Memory for messages that are being sent, over all sessions; up to 1 TiB, default 256 MiB. Messages of up
    /// to 64 KiB are not counted. When it is used up, large messages are read from disk piece by piece.
    pub fetch_memory: ByteSize,
    /// The largest command, its literals included but for APPEND's message; 8 KiB to 1 MiB, default 64 KiB.
    /// Before login the limit is 8 KiB.
    pub max_command_size: ByteSize,
    /// Seconds that a client may take from connecting to its login; 10 to 3600, default 180.
    pub login_timeout: u64,
    /// Failed logins after which a connection is closed; 1 to 100, default 5.
    pub max_login_failures: u32,
    /// Commands in a row that make no sense after which a connection is closed; 1 to 1000, default 20.
    pub max_errors: u32,
}

impl Default for ImapConfig {
    fn default() -> Self {
        Self {
            listener: Vec::new(),
            max_message_size: ByteSize(64 << 20),
            append_memory: ByteSize(256 << 20),
            fetch_memory: ByteSize(256 << 20),
            max_command_size: ByteSize(64 << 10),
            login_timeout: 180,
            max_login_failures: 5,
            max_errors: 20,
        }
    }
}

impl ImapConfig {
    /// Checks what the types cannot.
    #[must_use]
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = ListenerConfig::check_all(&self.listener);
        let mut check = |key: &str, fits: bool, message: &str| {
            if !fits {
                problems.push(ConfigProblem::new(key, message));
            }
        };
        check(
            "max_message_size",
            (1 << 10..=1 << 30).contains(&self.max_message_size.0),
            "the size must be between 1 KiB and 1 GiB",
        );
        check(
            "append_memory",
            self.append_memory.0 >= self.max_message_size.0 && self.append_memory.0 <= 1 << 40,
            "the memory must hold at least one message of max_message_size, and be at most 1 TiB",
        );
        check(
            "fetch_memory",
            self.fetch_memory.0 <= 1 << 40,
            "the memory must be at most 1 TiB",
        );
        check(
            "max_command_size",
            (8 << 10..=1 << 20).contains(&self.max_command_size.0),
            "the size must be between 8 KiB and 1 MiB",
        );
        check(
            "login_timeout",
            (10..=3600).contains(&self.login_timeout),
            "the timeout must be between 10 and 3600 seconds",
        );
        check(
            "max_login_failures",
            (1..=100).contains(&self.max_login_failures),
            "the number must be between 1 and 100",
        );
        check(
            "max_errors",
            (1..=1000).contains(&self.max_errors),
            "the number must be between 1 and 1000",
        );
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_name_their_key() {
        assert!(ImapConfig::default().check().is_empty());
        let config = ImapConfig {
            max_message_size: ByteSize(1 << 29),
            fetch_memory: ByteSize(1 << 41),
            max_command_size: ByteSize(1),
            login_timeout: 1,
            max_login_failures: 0,
            max_errors: 5_000,
            ..ImapConfig::default()
        };
        let keys: Vec<String> = config.check().into_iter().map(|problem| problem.key).collect();
        assert_eq!(
            keys,
            [
                "append_memory",
                "fetch_memory",
                "max_command_size",
                "login_timeout",
                "max_login_failures",
                "max_errors"
            ]
        );
    }
}
