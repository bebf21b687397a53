//! A new password for an account of the directory.
//!
//! The old one has been checked before, as for a login. Follows RFC 3062 on OpenLDAP, and MS-ADTS section
//! 3.1.1.3.1.5 (`unicodePwd`) on Active Directory, where a new account begins disabled and without a password: the
//! first one that an administrator sets enables it, in the same change.

use super::AccountEventKind;
use crate::account::DirectoryAccount;
use crate::config::{PasswordChangeMode, ServerType};
use crate::connector::Connector;
use crate::connector::identity::{Identity, options};
use crate::export::Disabled;
use ldap::control::{PasswordPolicy, PasswordPolicyError};
use ldap::extended::PasswordModify;
use ldap::message::{Modification, Modify, ModifyOperation};
use ldap::{
    Attribute, Client, ConnectOptions, Filter, LdapError, LdapUri, ResultCode, Scope, SearchRequest, StartTls,
};
use model::{ConfigProblem, Secret, Unavailable};

/// The flags of an account of Active Directory (MS-ADTS section 2.2.16), and the time of its password, 0 while it has
/// none.
const CONTROL: &str = "userAccountControl";
const PASSWORD_SET: &str = "pwdLastSet";
/// The flag ACCOUNTDISABLE.
const ACCOUNT_DISABLED: u32 = 2;

/// Who wants the new password.
#[derive(Debug, Clone, Copy)]
pub enum ChangedBy<'a> {
    /// The user, with the password of before.
    User {
        /// The password of before; it has been checked.
        old: &'a Secret,
    },
    /// An administrator.
    Administrator {
        /// Whether the account is switched off here. One of Active Directory that has never had a password is
        /// enabled with its first, unless it is.
        here: Disabled,
    },
}

/// Why the password is the same as before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordChangeError {
    /// The old password is wrong.
    #[error("the old password is wrong")]
    WrongPassword,
    /// The directory does not take the new one: too short, too simple, used before, changed too lately.
    #[error("{0}")]
    Refused(String),
    /// The configuration or the directory's rights forbid it.
    #[error("{0}")]
    NotAllowed(String),
    /// The directory cannot be written now.
    #[error("{0}")]
    Unavailable(Unavailable),
}

impl Connector {
    /// Gives an entry of this directory a new password, and ends what was begun with the old one. RFC 3062 lets
    /// the server hash it.
    pub async fn change_password(
        &self,
        account: &DirectoryAccount,
        by: ChangedBy<'_>,
        new: &Secret,
    ) -> Result<(), PasswordChangeError> {
        let identity = self.who_writes(account, by)?;
        let servers = options(self.config()).map_err(|problems| misconfigured(&problems))?;
        let mut last = "no server".to_owned();
        for server in &servers {
            if !is_confidential(server) {
                return Err(PasswordChangeError::NotAllowed(format!(
                    "{} would carry the new password in the clear: use starttls or ldaps:// for connector {}",
                    server.uri,
                    self.name()
                )));
            }
            match self.write_to(server, &identity, account, by, new).await {
                Ok(()) => {
                    let (uuid, address) = (account.uuid, Some(account.address.clone()));
                    self.publish_account_event(uuid, address, AccountEventKind::PasswordChanged);
                    return Ok(());
                }
                Err(Attempt::NotReached(error)) => last = format!("{}: {error}", server.uri),
                Err(Attempt::Ended(error)) => return Err(error),
            }
        }
        let why = format!("connector {}: {last}", self.name());
        Err(PasswordChangeError::Unavailable(Unavailable(why)))
    }

    fn who_writes(
        &self,
        account: &DirectoryAccount,
        by: ChangedBy<'_>,
    ) -> Result<Identity, PasswordChangeError> {
        let config = self.config();
        let refuse = |text: String| Err(PasswordChangeError::NotAllowed(text));
        let of_writes = || Identity::for_writes(config).map_err(|problem| misconfigured(&[problem]));
        if config.server_type == ServerType::Openldap && self.patterns().map.password != "userPassword" {
            return refuse(format!(
                "passwords of connector {} are kept in {}, and only userPassword can be changed from here",
                self.name(),
                self.patterns().map.password
            ));
        }
        match (config.password_change_mode(), by) {
            (PasswordChangeMode::Off, _) => refuse(format!(
                "connector {} does not write passwords: change it in the directory, or set password_change",
                self.name()
            )),
            (PasswordChangeMode::AsUser, ChangedBy::Administrator { .. }) => refuse(format!(
                "connector {} lets only the user change the password (password_change = \"as-user\"): use change-password, or set it in the directory",
                self.name()
            )),
            // The old password in the request is the user's right; who has to change it could not even bind.
            (PasswordChangeMode::AsUser, ChangedBy::User { .. })
                if config.server_type == ServerType::ActiveDirectory =>
            {
                of_writes()
            }
            (PasswordChangeMode::AsUser, ChangedBy::User { old }) => Ok(Identity::Simple {
                dn: account.dn.clone(),
                password: old.clone(),
            }),
            (PasswordChangeMode::WriteIdentity, _) => of_writes(),
        }
    }

    async fn write_to(
        &self,
        server: &ConnectOptions,
        identity: &Identity,
        account: &DirectoryAccount,
        by: ChangedBy<'_>,
        new: &Secret,
    ) -> Result<(), Attempt> {
        let client = Client::connect(server).await.map_err(Attempt::NotReached)?;
        identity
            .bind(&client)
            .await
            .map_err(|error| bind_failed(error, by))?;
        let policy = [PasswordPolicy::request()];
        let result = match self.config().server_type {
            ServerType::Openldap => {
                let change = PasswordModify {
                    user_identity: Some(account.dn.clone()),
                    old_password: match by {
                        ChangedBy::User { old } => Some(old.clone()),
                        ChangedBy::Administrator { .. } => None,
                    },
                    new_password: Some(new.clone()),
                };
                client.extended(change.to_request(), &policy).await.map(drop)
            }
            ServerType::ActiveDirectory => {
                // MS-ADTS section 3.1.1.3.1.2.4: by what no rename changes.
                let mut modify = unicode_pwd(&format!("<GUID={}>", account.uuid), by, new)?;
                if let ChangedBy::Administrator { here: Disabled::No } = by {
                    let enabled = enabled_with_first(&client, &modify.dn).await;
                    modify.changes.extend(enabled.map_err(Attempt::NotReached)?);
                }
                client.modify(modify, &[]).await.map(drop)
            }
        };
        client.close();
        result.map_err(|error| Attempt::Ended(refusal(&error)))
    }
}

/// How the attempt at one server ended.
enum Attempt {
    /// Nothing was asked of it; another one may be there.
    NotReached(LdapError),
    Ended(PasswordChangeError),
}

fn bind_failed(error: LdapError, by: ChangedBy<'_>) -> Attempt {
    match (error.code(), by) {
        (None, _) => Attempt::NotReached(error),
        (Some(ResultCode::InvalidCredentials), ChangedBy::User { .. }) => {
            // It was right a moment ago, so it has expired or is locked, unless the identity for writes is wrong.
            Attempt::Ended(PasswordChangeError::NotAllowed(format!(
                "the directory refuses the identity that would change the password: {error}"
            )))
        }
        _ if error.is_transient() => Attempt::NotReached(error),
        _ => Attempt::Ended(refusal(&error)),
    }
}

/// What the directory's answer to a change means.
fn refusal(error: &LdapError) -> PasswordChangeError {
    use PasswordChangeError::{NotAllowed, Refused};
    let Some(result) = error.result().filter(|_| !error.is_transient()) else {
        return PasswordChangeError::Unavailable(Unavailable(error.to_string()));
    };
    let policy = PasswordPolicy::find(error.controls()).ok().flatten();
    // draft-behera section 6.2.
    let text = match policy.and_then(|policy| policy.error) {
        Some(PasswordPolicyError::InsufficientPasswordQuality) => "the new password is too simple",
        Some(PasswordPolicyError::PasswordTooShort) => "the new password is too short",
        Some(PasswordPolicyError::PasswordTooYoung) => "the password was changed only lately",
        Some(PasswordPolicyError::PasswordInHistory) => "the new password was used before",
        Some(PasswordPolicyError::PasswordModNotAllowed) => {
            return NotAllowed("the directory does not let users change their password".to_owned());
        }
        _ => "",
    };
    if !text.is_empty() {
        return Refused(text.to_owned());
    }
    let words = &result.diagnostic;
    match result.code {
        ResultCode::InsufficientAccessRights => NotAllowed(format!(
            "the directory does not let this identity write the password: {error}"
        )),
        // ERROR_INVALID_PASSWORD: the value to be deleted is not the password.
        ResultCode::ConstraintViolation if words.starts_with("00000056") => {
            PasswordChangeError::WrongPassword
        }
        // ERROR_PASSWORD_RESTRICTION.
        ResultCode::ConstraintViolation if words.starts_with("0000052D") => Refused(format!(
            "the new password is too short, too simple, used before, or follows the last one too soon: {words}"
        )),
        _ => Refused(format!("the directory refuses the new password: {error}")),
    }
}

/// Who has the old password exchanges it; an administrator sets another one.
fn unicode_pwd(dn: &str, by: ChangedBy<'_>, new: &Secret) -> Result<Modify, Attempt> {
    let change = |operation, password: &Secret| {
        Ok(Modification {
            operation,
            attribute: Attribute::new("unicodePwd", vec![quoted(password)?.into()]),
        })
    };
    let changes = match by {
        ChangedBy::User { old } => vec![
            change(ModifyOperation::Delete, old)?,
            change(ModifyOperation::Add, new)?,
        ],
        ChangedBy::Administrator { .. } => vec![change(ModifyOperation::Replace, new)?],
    };
    Ok(Modify {
        dn: dn.to_owned(),
        changes,
    })
}

/// What enables an account that waits for its first password, as [`crate::write::Vocabulary::entry`] makes it. The
/// flags are compared and swapped, so that none that somebody sets in between is lost.
async fn enabled_with_first(client: &Client, dn: &str) -> Result<Vec<Modification>, LdapError> {
    let any = Filter::Present("objectClass".to_owned());
    let names = [CONTROL, PASSWORD_SET].map(str::to_owned);
    let request = SearchRequest::new(dn, Scope::Base, any).attributes(names);
    let found = client.search_all(request, 1).await?;
    let Some(entry) = found.first() else {
        return Ok(Vec::new());
    };
    let flags = entry
        .first_str(CONTROL)
        .and_then(|text| text.parse::<u32>().ok())
        .filter(|flags| flags & ACCOUNT_DISABLED != 0);
    let (Some(flags), Some("0")) = (flags, entry.first_str(PASSWORD_SET)) else {
        return Ok(Vec::new());
    };
    let change = |operation, flags: u32| Modification {
        operation,
        attribute: Attribute::new(CONTROL, flags.to_string()),
    };
    Ok(vec![
        change(ModifyOperation::Delete, flags),
        change(ModifyOperation::Add, flags & !ACCOUNT_DISABLED),
    ])
}

/// The password in quotation marks, as UTF-16 with the low octet first.
fn quoted(password: &Secret) -> Result<Vec<u8>, Attempt> {
    let text = std::str::from_utf8(password.expose()).map_err(|_| {
        let text = "Active Directory takes passwords of Unicode text only";
        Attempt::Ended(PasswordChangeError::Refused(text.to_owned()))
    })?;
    let quoted = format!("\"{text}\"");
    Ok(quoted.encode_utf16().flat_map(u16::to_le_bytes).collect())
}

/// TLS, a Unix socket, or this machine.
fn is_confidential(server: &ConnectOptions) -> bool {
    server.starttls == StartTls::Require
        || !matches!(server.uri, LdapUri::Ldap { .. })
        || server.uri.is_loopback()
}

fn misconfigured(problems: &[ConfigProblem]) -> PasswordChangeError {
    let texts: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.key, problem.message))
        .collect();
    PasswordChangeError::Unavailable(Unavailable(texts.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap::{LdapResult, Outcome};

    fn answer(code: ResultCode, words: &str) -> PasswordChangeError {
        let mut result = LdapResult::new(code);
        words.clone_into(&mut result.diagnostic);
        refusal(&LdapError::Result(Box::new(Outcome {
            result,
            controls: Vec::new(),
        })))
    }

    #[test]
    fn answers() {
        use PasswordChangeError::{NotAllowed, Refused, Unavailable, WrongPassword};
        let code = ResultCode::ConstraintViolation;
        assert_eq!(answer(code, "00000056: AtrErr: DSID-03190F80"), WrongPassword);
        assert!(matches!(
            answer(code, "0000052D: Constraint violation"),
            Refused(_)
        ));
        assert!(matches!(
            answer(code, "Password fails quality checking policy"),
            Refused(_)
        ));
        assert!(matches!(
            answer(ResultCode::InsufficientAccessRights, ""),
            NotAllowed(_)
        ));
        assert!(matches!(answer(ResultCode::Busy, ""), Unavailable(_)));
        assert!(matches!(refusal(&LdapError::TimedOut), Unavailable(_)));
    }

    #[test]
    fn the_value_of_unicode_pwd() {
        let value = quoted(&Secret::from("a\u{fc}")).ok();
        assert_eq!(value.as_deref(), Some(b"\"\0a\0\xfc\0\"\0".as_slice()));
        assert!(quoted(&Secret::new(vec![0xff])).is_err());
    }

    #[test]
    fn only_where_nobody_listens() {
        let server = |uri: &str, starttls| {
            let mut options = ConnectOptions::new(LdapUri::parse(uri).expect("a URI"));
            options.starttls = starttls;
            is_confidential(&options)
        };
        for uri in ["ldaps://a.test", "ldapi:///", "ldap://127.0.0.1", "ldap://[::1]"] {
            assert!(server(uri, StartTls::Off), "{uri}");
        }
        assert!(server("ldap://a.test", StartTls::Require));
        assert!(!server("ldap://a.test", StartTls::Off));
    }
}
