//! What the answer to a bind says about the account.

use ldap::control::{PasswordPolicy, PasswordPolicyError};
use ldap::{LdapError, Outcome, ResultCode};
use model::{AuthOutcome, RejectReason, Unavailable};

/// Reads the answer to a bind as `dn`.
pub(super) fn read(dn: &str, result: &Result<Outcome, LdapError>) -> Result<(), AuthOutcome> {
    let controls = match result {
        Ok(outcome) => outcome.controls.as_slice(),
        Err(error) => error.controls(),
    };
    // A control that cannot be read changes nothing about the answer beside it.
    let policy = PasswordPolicy::find(controls)
        .ok()
        .flatten()
        .and_then(|policy| policy.error);
    match (result, policy) {
        // draft-behera section 9.1: the bind succeeded, but only to change the password.
        (_, Some(PasswordPolicyError::ChangeAfterReset | PasswordPolicyError::PasswordExpired)) => {
            Err(AuthOutcome::Rejected(RejectReason::Expired))
        }
        (_, Some(PasswordPolicyError::AccountLocked)) => Err(AuthOutcome::Rejected(RejectReason::Locked)),
        (Ok(_), _) => Ok(()),
        (Err(error), _) => Err(refusal(dn, error)),
    }
}

fn refusal(dn: &str, error: &LdapError) -> AuthOutcome {
    let Some(result) = error.result() else {
        return AuthOutcome::Unavailable(Unavailable(error.to_string()));
    };
    let reason = match result.code {
        ResultCode::InvalidCredentials => {
            let data = data(&result.diagnostic);
            if let Some(data) = data {
                tracing::info!(entry = dn, data, "Active Directory refuses the bind");
            }
            data.and_then(sub_code).unwrap_or(RejectReason::WrongCredential)
        }
        // The entry has no password that a simple bind could be checked with.
        ResultCode::InappropriateAuthentication => RejectReason::NoPassword,
        // It was deleted or renamed after the lookup.
        ResultCode::NoSuchObject => RejectReason::WrongCredential,
        _ => {
            tracing::error!(entry = dn, %error, "the directory refuses to check passwords");
            return AuthOutcome::Unavailable(Unavailable(error.to_string()));
        }
    };
    AuthOutcome::Rejected(reason)
}

/// Active Directory's reason: `... AcceptSecurityContext error, data 52e, v2580`.
fn data(diagnostic: &str) -> Option<&str> {
    let (_, rest) = diagnostic.split_once("data ")?;
    let code = rest.split(|c: char| !c.is_ascii_hexdigit()).next()?;
    // A number of 32 bits.
    (1..=8).contains(&code.len()).then_some(code)
}

fn sub_code(data: &str) -> Option<RejectReason> {
    Some(match data {
        // 525: no such user; 52e: wrong password.
        "525" | "52e" => RejectReason::WrongCredential,
        // Not at this hour, not from here.
        "530" | "531" => RejectReason::NotAllowed,
        // Password expired, account expired, password must be changed.
        "532" | "701" | "773" => RejectReason::Expired,
        "533" => RejectReason::Disabled,
        "775" => RejectReason::Locked,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap::LdapResult;

    fn error(code: ResultCode, diagnostic: &str) -> Result<Outcome, LdapError> {
        let mut result = LdapResult::new(code);
        diagnostic.clone_into(&mut result.diagnostic);
        Err(LdapError::Result(Box::new(Outcome {
            result,
            controls: Vec::new(),
        })))
    }

    #[test]
    fn reasons() {
        let ad = |data: &str| {
            format!(
                "80090308: LdapErr: DSID-0C090446, comment: AcceptSecurityContext error, data {data}, v2580"
            )
        };
        let code = ResultCode::InvalidCredentials;
        for (result, reason) in [
            (error(code, ""), RejectReason::WrongCredential),
            (error(code, &ad("525")), RejectReason::WrongCredential),
            (error(code, &ad("52e")), RejectReason::WrongCredential),
            (error(code, &ad("530")), RejectReason::NotAllowed),
            (error(code, &ad("531")), RejectReason::NotAllowed),
            (error(code, &ad("532")), RejectReason::Expired),
            (error(code, &ad("533")), RejectReason::Disabled),
            (error(code, &ad("701")), RejectReason::Expired),
            (error(code, &ad("773")), RejectReason::Expired),
            (error(code, &ad("775")), RejectReason::Locked),
            (error(code, &ad("999")), RejectReason::WrongCredential),
            (
                error(ResultCode::InappropriateAuthentication, ""),
                RejectReason::NoPassword,
            ),
        ] {
            assert_eq!(
                read("uid=a", &result),
                Err(AuthOutcome::Rejected(reason)),
                "{result:?}"
            );
        }
        for code in [
            ResultCode::Busy,
            ResultCode::Unavailable,
            ResultCode::ConfidentialityRequired,
            ResultCode::Other,
        ] {
            assert!(
                matches!(read("uid=a", &error(code, "")), Err(AuthOutcome::Unavailable(_))),
                "{code}"
            );
        }
        assert!(matches!(
            read("uid=a", &Err(LdapError::TimedOut)),
            Err(AuthOutcome::Unavailable(_))
        ));
        let success = LdapResult::new(ResultCode::Success);
        assert_eq!(
            read(
                "uid=a",
                &Ok(Outcome {
                    result: success,
                    controls: Vec::new()
                })
            ),
            Ok(())
        );
    }
}
