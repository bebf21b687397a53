//! Passwords: through the server's own operation, so that it hashes them and its policy has its say.

use super::openldap::OURS;
use super::{Fate, Precondition, Target, WriteError, Writer, Written, request};
use crate::config::ServerType;
use crate::connector::writing::Confidential;
use bytes::Bytes;
use ldap::extended::PasswordModify;
use ldap::message::Modify;
use ldap::{Attribute, LdapError, Modification, ModifyOperation, Request, ResultCode, Values};
use model::Secret;

/// When the password was changed last, by server.
const CHANGED: [&str; 2] = ["pwdChangedTime", "pwdLastSet"];

impl Writer {
    /// Changes a password. With the old one the server checks it, as when people change their own; without, it
    /// is set. The answer holds the stored value of the password attribute, where it can be read, and the time
    /// of the change: by these the caller knows its own change again.
    ///
    /// On Active Directory only over TLS: it refuses anything else, and so do we, before the password is sent.
    pub async fn set_password(
        &self,
        target: &Target,
        old: Option<&Secret>,
        new: &Secret,
    ) -> Result<Written, WriteError> {
        if new.is_empty() {
            // RFC 3062 section 2 lets the server make one up; an account whose password nobody knows.
            return Err(WriteError::Refused {
                code: ResultCode::ConstraintViolation,
                text: "the new password is empty".to_owned(),
            });
        }
        match self.server_type() {
            ServerType::Openldap => self.password_modify(target, old, new).await,
            ServerType::ActiveDirectory => self.unicode_password(target, old, new).await,
        }
    }

    /// RFC 3062. The operation takes no assertion, so the DN is looked up first; an entry that is renamed in
    /// between is not found, and one that takes its name in between is the risk that remains.
    async fn password_modify(
        &self,
        target: &Target,
        old: Option<&Secret>,
        new: &Secret,
    ) -> Result<Written, WriteError> {
        let lane = self.lanes.main().await?;
        let found = self
            .present(&lane, target, &Precondition::default(), &target.dn, &[])
            .await?;
        let change = PasswordModify {
            user_identity: Some(found.dn.clone()),
            old_password: old.cloned(),
            new_password: Some(new.clone()),
        };
        let place = self.lanes.place().await?;
        let result = lane.client.password_modify(&change).await;
        place.answered(result.as_ref().err());
        if let Err(error) = result {
            return Err(match error.code() {
                // slapd's words for an old password that is none of the stored ones.
                Some(ResultCode::UnwillingToPerform | ResultCode::InvalidCredentials)
                    if old.is_some() && says(&error, "old password") =>
                {
                    WriteError::WrongPassword
                }
                Some(ResultCode::InvalidCredentials) if old.is_some() => WriteError::WrongPassword,
                _ => self.refused(&lane, &error),
            });
        }
        let names = request::read_back(&self.password_names(), &OURS);
        match self.look(&lane, target.uuid, &found.dn, &names).await {
            Ok(Some(entry)) => {
                super::outcome::written(entry, Some(target.uuid)).ok_or_else(|| self.unreadable(&found.dn))
            }
            Ok(None) => Err(self.unreadable(&found.dn)),
            Err(error) => Err(error.but_done()),
        }
    }

    /// MS-ADTS section 3.1.1.3.1.5: the value is the password in quotation marks, in UTF-16LE. A replacement
    /// resets it; the removal of the old and the addition of the new one changes it.
    async fn unicode_password(
        &self,
        target: &Target,
        old: Option<&Secret>,
        new: &Secret,
    ) -> Result<Written, WriteError> {
        let lane = self.lanes.main().await?;
        if lane.confidential == Confidential::No {
            return Err(WriteError::Refused {
                code: ResultCode::ConfidentialityRequired,
                text: "Active Directory takes passwords over TLS only: use ldaps:// or tls = \"starttls\""
                    .to_owned(),
            });
        }
        let value = |operation, password: &Secret| {
            let quoted = quoted(password).ok_or_else(|| WriteError::Refused {
                code: ResultCode::ConstraintViolation,
                text: "the password is not UTF-8".to_owned(),
            })?;
            let attribute = Attribute::new("unicodePwd", Values::one(quoted));
            Ok::<_, WriteError>(Modification::new(operation, attribute))
        };
        let changes = match old {
            Some(old) => vec![
                value(ModifyOperation::Delete, old)?,
                value(ModifyOperation::Add, new)?,
            ],
            None => vec![value(ModifyOperation::Replace, new)?],
        };
        let dn = format!("<GUID={}>", target.uuid);
        let request = Request::Modify(Modify {
            dn: dn.clone(),
            changes,
        });
        if let Err(error) = self.send(&lane, &request, &[]).await {
            return Err(match error.code() {
                Some(ResultCode::NoSuchObject) => WriteError::NoSuchObject,
                // ERROR_INVALID_PASSWORD, at the start of the text.
                Some(ResultCode::ConstraintViolation) if old.is_some() && says(&error, "00000056") => {
                    WriteError::WrongPassword
                }
                _ => self.refused(&lane, &error),
            });
        }
        let names = request::read_back(&self.password_names(), &["objectGUID", "uSNChanged"]);
        match self.at(&lane, &dn, &names).await {
            Ok(Some(entry)) => {
                super::outcome::written(entry, Some(target.uuid)).ok_or_else(|| self.unreadable(&dn))
            }
            Ok(None) => Err(self.unreadable(&dn)),
            Err(error) => Err(error.but_done()),
        }
    }

    fn password_names(&self) -> Vec<String> {
        let stored = self.connector.patterns().map.password.clone();
        std::iter::once(stored)
            .chain(CHANGED.iter().map(|name| (*name).to_owned()))
            .collect()
    }
}

impl WriteError {
    /// A failed look after a write that took place: the write is not undone by it.
    pub(super) fn but_done(self) -> Self {
        match self {
            Self::Unavailable { why, .. } => Self::Unavailable {
                why,
                fate: Fate::Unknown,
            },
            other => other,
        }
    }

    /// A failed look without any write.
    pub(super) fn but_not_done(self) -> Self {
        match self {
            Self::Unavailable { why, .. } => Self::Unavailable {
                why,
                fate: Fate::NotDone,
            },
            other => other,
        }
    }
}

fn says(error: &LdapError, words: &str) -> bool {
    error
        .result()
        .is_some_and(|result| result.diagnostic.to_ascii_lowercase().contains(words))
}

fn quoted(password: &Secret) -> Option<Bytes> {
    let text = std::str::from_utf8(password.expose()).ok()?;
    let marks = std::iter::once(u16::from(b'"'));
    let units = marks.clone().chain(text.encode_utf16()).chain(marks);
    Some(units.flat_map(u16::to_le_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_active_directory() {
        let shown = |bytes: &[u8]| quoted(&Secret::new(bytes.to_vec()));
        assert_eq!(
            shown(b"a\xc3\xa9").as_deref(),
            Some(b"\"\0a\0\xe9\0\"\0".as_slice())
        );
        assert_eq!(shown(b"\xff"), None);
    }
}
