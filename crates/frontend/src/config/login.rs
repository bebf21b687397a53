//! `[managesieve_proxy]` and `[submission_proxy]`: login proxies that have keys of their own.

use super::{AuthenticateAt, LoginProxyConfig, in_range};
use model::{ByteSize, ConfigProblem};
use net::ListenerConfig;

/// Defines a section with the keys of [`LoginProxyConfig`] and some more. (Serde cannot both flatten a struct and
/// refuse keys that nobody knows.)
macro_rules! login_section {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $key:ident: $kind:ty = $default:expr;)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Where to listen. Default: nowhere, which turns the service off.
            pub listener: Vec<ListenerConfig>,
            /// Names of the `[[user_map]]` that are asked for an account's home, in this order. Required when there
            /// is a listener.
            pub user_maps: Vec<String>,
            /// `edge` (default) checks the password here, `home` leaves it to the home.
            pub authenticate: AuthenticateAt,
            /// Names of the sources that check passwords with `authenticate = "edge"`, in order: user maps of an
            /// LDAP kind, or `local`. Default: the LDAP maps of `user_maps`.
            pub auth: Vec<String>,
            /// Seconds that a client has to log in; 10 to 3600, default 180.
            pub login_timeout: u64,
            /// Seconds to wait for a home's reply during login; 1 to 600, default 30.
            pub home_timeout: u64,
            /// Failed logins after which a session ends; 1 to 100, default 5.
            pub max_login_failures: u32,
            $($(#[$doc])* pub $key: $kind,)*
        }

        impl Default for $name {
            fn default() -> Self {
                let login = LoginProxyConfig::default();
                Self {
                    listener: login.listener,
                    user_maps: login.user_maps,
                    authenticate: login.authenticate,
                    auth: login.auth,
                    login_timeout: login.login_timeout,
                    home_timeout: login.home_timeout,
                    max_login_failures: login.max_login_failures,
                    $($key: $default,)*
                }
            }
        }

        impl $name {
            /// The keys that every login proxy has.
            #[must_use]
            pub fn login(&self) -> LoginProxyConfig {
                LoginProxyConfig {
                    listener: self.listener.clone(),
                    user_maps: self.user_maps.clone(),
                    authenticate: self.authenticate,
                    auth: self.auth.clone(),
                    login_timeout: self.login_timeout,
                    home_timeout: self.home_timeout,
                    max_login_failures: self.max_login_failures,
                }
            }
        }
    };
}

/// What scripts may require at every home of today: the extensions that Dovecot and Cyrus both have on
/// by default.
const SIEVE: [&str; 17] = [
    "fileinto",
    "reject",
    "envelope",
    "encoded-character",
    "vacation",
    "subaddress",
    "comparator-i;ascii-numeric",
    "relational",
    "regex",
    "imap4flags",
    "copy",
    "include",
    "variables",
    "body",
    "mailbox",
    "date",
    "index",
];

login_section! {
    /// What `[managesieve_proxy]` holds.
    ManageSieveProxyConfig {
        /// The Sieve extensions that are announced before the login, when the home is not known yet: those that
        /// every home has. After the login the home itself answers CAPABILITY. Default: what Dovecot and Cyrus both
        /// have.
        sieve_extensions: Vec<String> = SIEVE.map(str::to_owned).to_vec();
    }
}

/// What submission may announce: extensions that need nothing of the front end but to pass them on.
const SUBMISSION: [&str; 8] = [
    "PIPELINING",
    "SIZE",
    "8BITMIME",
    "ENHANCEDSTATUSCODES",
    "DSN",
    "SMTPUTF8",
    "CHUNKING",
    "BINARYMIME",
];
/// Those that every submission server has had for years.
const EVERYWHERE: [&str; 4] = ["PIPELINING", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES"];

login_section! {
    /// What `[submission_proxy]` holds.
    SubmissionProxyConfig {
        /// The extensions that are announced before the login, when the home is not known yet; a client keeps to
        /// them after the login. Each home must have all of them: the login at one that does not is put off. Any
        /// of `PIPELINING`, `SIZE`, `8BITMIME`, `ENHANCEDSTATUSCODES` (default: these four), `DSN`, `SMTPUTF8`,
        /// `CHUNKING`, `BINARYMIME`.
        extensions: Vec<String> = EVERYWHERE.map(str::to_owned).to_vec();
        /// The largest message that every home takes, announced with `SIZE`; 1 KiB to 1 GiB. Default: `SIZE` says
        /// no number, and the home refuses what is too large.
        max_message_size: Option<ByteSize> = None;
    }
}

impl ManageSieveProxyConfig {
    /// Everything wrong with this section; keys are relative to it.
    #[must_use]
    pub fn check(&self, maps: &[&str], sources: &[&str]) -> Vec<ConfigProblem> {
        let mut problems = self.login().check(maps, sources);
        let word = |word: &String| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
        for (index, name) in self.sieve_extensions.iter().enumerate() {
            if !word(name) || name.contains(['"', '\\']) {
                let message = format!("{name:?} is not the name of a Sieve extension");
                problems.push(ConfigProblem::new(format!("sieve_extensions.{index}"), message));
            }
        }
        problems
    }
}

impl SubmissionProxyConfig {
    /// Everything wrong with this section; keys are relative to it.
    #[must_use]
    pub fn check(&self, maps: &[&str], sources: &[&str]) -> Vec<ConfigProblem> {
        let mut problems = self.login().check(maps, sources);
        for (index, name) in self.extensions.iter().enumerate() {
            if !SUBMISSION.contains(&name.as_str()) {
                let message = format!("{name:?} is none of: {}", SUBMISSION.join(", "));
                problems.push(ConfigProblem::new(format!("extensions.{index}"), message));
            }
        }
        let has = |name: &str| self.extensions.iter().any(|known| known == name);
        // RFC 3030 section 3: BINARYMIME goes in chunks only.
        if has("BINARYMIME") && !has("CHUNKING") {
            problems.push(ConfigProblem::new("extensions", "BINARYMIME needs CHUNKING"));
        }
        if let Some(size) = self.max_message_size {
            in_range(&mut problems, "max_message_size", size.0, 1 << 10..=1 << 30);
            if !has("SIZE") {
                let message = "is announced by SIZE, which extensions does not name";
                problems.push(ConfigProblem::new("max_message_size", message));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(problems: Vec<ConfigProblem>) -> Vec<String> {
        problems.into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn what_is_announced_must_be_something() {
        assert!(ManageSieveProxyConfig::default().check(&[], &[]).is_empty());
        assert!(SubmissionProxyConfig::default().check(&[], &[]).is_empty());
        let sieve = ManageSieveProxyConfig {
            sieve_extensions: vec!["fileinto".to_owned(), "two words".to_owned(), "\"".to_owned()],
            home_timeout: 0,
            ..ManageSieveProxyConfig::default()
        };
        assert_eq!(
            keys(sieve.check(&[], &[])),
            ["home_timeout", "sieve_extensions.1", "sieve_extensions.2"]
        );
        let submission = SubmissionProxyConfig {
            extensions: vec!["BINARYMIME".to_owned(), "STARTTLS".to_owned()],
            max_message_size: Some(ByteSize(1)),
            ..SubmissionProxyConfig::default()
        };
        assert_eq!(
            keys(submission.check(&[], &[])),
            [
                "extensions.1",
                "extensions",
                "max_message_size",
                "max_message_size"
            ]
        );
    }
}
