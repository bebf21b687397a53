//! The section `[pop3]`.

use model::ConfigProblem;
use net::ListenerConfig;

/// Reading mail over POP3.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pop3Config {
    /// Where to listen. Default: nowhere, which turns the service off.
    pub listener: Vec<ListenerConfig>,
    /// Whether a mailbox is for one POP3 session at a time; a second one hears `[IN-USE]`. Default false: each
    /// session has its own snapshot, and two of them do no harm.
    pub exclusive: bool,
    /// Seconds that a client may take from connecting to its login; 10 to 3600, default 180.
    pub login_timeout: u64,
    /// After this many failed logins a session ends; 1 to 100, default 3.
    pub max_login_failures: u32,
    /// After this many commands that are wrong or out of place a session ends; 1 to 1000, default 20.
    pub max_errors: u32,
}

impl Default for Pop3Config {
    fn default() -> Self {
        Self {
            listener: Vec::new(),
            exclusive: false,
            login_timeout: 180,
            max_login_failures: 3,
            max_errors: 20,
        }
    }
}

impl Pop3Config {
    /// What is wrong with the section. Keys are relative to it.
    #[must_use]
    pub fn check(&self) -> Vec<ConfigProblem> {
        let mut problems = ListenerConfig::check_all(&self.listener);
        for (key, value, most) in [
            ("max_login_failures", self.max_login_failures, 100),
            ("max_errors", self.max_errors, 1000),
        ] {
            if !(1..=most).contains(&value) {
                problems.push(ConfigProblem::new(
                    key,
                    format!("{value} is not between 1 and {most}"),
                ));
            }
        }
        if !(10..=3600).contains(&self.login_timeout) {
            let message = format!("{} is not between 10 and 3600 seconds", self.login_timeout);
            problems.push(ConfigProblem::new("login_timeout", message));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_good_and_problems_name_their_key() {
        assert!(Pop3Config::default().check().is_empty());
        let bad = Pop3Config {
            max_login_failures: 0,
            max_errors: 1001,
            login_timeout: 9,
            ..Pop3Config::default()
        };
        let keys: Vec<_> = bad.check().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["max_login_failures", "max_errors", "login_timeout"]);
    }
}
