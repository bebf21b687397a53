//! The keys of a connector that govern passwords and the binds that check them.

use super::{ConnectorConfig, Direction, ServerType, in_range};
use model::ConfigProblem;
use std::time::Duration;

/// Fewer binds than this leave nothing for the owner beside a guesser.
const FEWEST_BINDS: u32 = 3;

/// How a password that `password_upgrade` rewrites is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordScheme {
    /// `{CRYPT}$6$`: every OpenLDAP on a current system can check it at a bind.
    #[default]
    Sha512Crypt,
    /// `{ARGON2}`: needs OpenLDAP's module `argon2`.
    Argon2,
}

/// Who writes a changed password to the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordChangeMode {
    /// Nobody: passwords are changed in the directory.
    Off,
    /// The user, with the old password. An administrator cannot set one through Homing.
    AsUser,
    /// The identity that writes.
    WriteIdentity,
}

impl ConnectorConfig {
    /// Who writes a changed password, the default filled in.
    #[must_use]
    pub(crate) fn password_change_mode(&self) -> PasswordChangeMode {
        self.password_change
            .unwrap_or(if self.direction == Direction::LdapToLocal {
                PasswordChangeMode::Off
            } else {
                PasswordChangeMode::WriteIdentity
            })
    }

    /// The failed binds that this server may cause for one account in one window; none is no limit.
    pub(crate) fn binds_that_may_fail(&self) -> Option<u32> {
        match self.lockout_budget {
            0 => None,
            budget => Some(budget / self.front_ends.max(1)),
        }
    }

    /// The time after which the directory has forgotten a failed bind.
    pub(crate) fn lockout_time(&self) -> Duration {
        Duration::from_secs(self.lockout_window)
    }

    pub(super) fn check_passwords(&self, problems: &mut Vec<ConfigProblem>) {
        in_range(problems, "front_ends", u64::from(self.front_ends), 1..=1000);
        in_range(
            problems,
            "lockout_budget",
            u64::from(self.lockout_budget),
            0..=10_000,
        );
        in_range(problems, "lockout_window", self.lockout_window, 1..=2_592_000);
        if self
            .binds_that_may_fail()
            .is_some_and(|binds| binds < FEWEST_BINDS)
        {
            let message = format!(
                "lockout_budget divided by front_ends is {}; below {FEWEST_BINDS} a guesser would shut the owner out: let the directory lock an account later, after at least {} failed binds",
                self.lockout_budget / self.front_ends.max(1),
                FEWEST_BINDS * self.front_ends + 1
            );
            problems.push(ConfigProblem::new("lockout_budget", message));
        }
        if self.copy_passwords {
            let why = match (self.server_type, self.direction) {
                (ServerType::ActiveDirectory, _) => {
                    Some("Active Directory never shows a password hash, so there is none to copy")
                }
                (_, Direction::LocalToLdap) => Some("local-to-ldap takes nothing from the directory"),
                _ => None,
            };
            problems.extend(why.map(|why| ConfigProblem::new("copy_passwords", why)));
        }
        if self.password_upgrade && self.server_type == ServerType::ActiveDirectory {
            let message =
                "Active Directory never shows a password, so there is none to keep in another scheme";
            problems.push(ConfigProblem::new("password_upgrade", message));
        }
        if self.password_upgrade
            && self.bind_dn.is_none()
            && self.write_bind_dn.is_none()
            && !self.sasl_external
        {
            let message = "an anonymous connection cannot write; set write_bind_dn";
            problems.push(ConfigProblem::new("password_upgrade", message));
        }
    }
}
