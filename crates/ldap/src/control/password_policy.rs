//! The password policy control (draft-behera-ldap-password-policy section 6): why a bind failed, or will soon.

use bytes::Bytes;

use super::{Control, decode_sequence, find_value};
use crate::ber::{DecodeError, Reader, Tag};

const WARNING: Tag = Tag::context_constructed(0);
const ERROR: Tag = Tag::context(1);
const TIME_BEFORE_EXPIRATION: Tag = Tag::context(0);
const GRACE_LOGINS_REMAINING: Tag = Tag::context(1);

/// What the server says about the password, beside the result of the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PasswordPolicy {
    /// What will happen soon.
    pub warning: Option<PasswordPolicyWarning>,
    /// What is wrong.
    pub error: Option<PasswordPolicyError>,
}

/// What will happen soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordPolicyWarning {
    /// The password expires in this many seconds.
    TimeBeforeExpiration(u32),
    /// The password has expired; this many logins are left.
    GraceLoginsRemaining(u32),
}

/// What is wrong with the account or the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordPolicyError {
    /// The password has expired.
    PasswordExpired,
    /// The account is locked.
    AccountLocked,
    /// The password must be changed before anything else.
    ChangeAfterReset,
    /// The policy forbids changing it.
    PasswordModNotAllowed,
    /// The old password must come with the new one.
    MustSupplyOldPassword,
    /// The new password is too weak.
    InsufficientPasswordQuality,
    /// The new password is too short.
    PasswordTooShort,
    /// The password was changed only a moment ago.
    PasswordTooYoung,
    /// The new password was used before.
    PasswordInHistory,
    /// A number that is not in the draft.
    Unknown(i32),
}

impl PasswordPolicy {
    /// The OID of the request and of the response.
    pub const OID: &'static str = "1.3.6.1.4.1.42.2.27.8.5.1";

    /// Asks for it.
    #[must_use]
    pub const fn request() -> Control {
        Control::new(Self::OID)
    }

    /// Finds the answer in the controls of a response.
    pub fn find(controls: &[Control]) -> Result<Option<Self>, DecodeError> {
        find_value(controls, Self::OID)?.map(Self::decode).transpose()
    }

    /// Reads the value of the response control.
    pub fn decode(value: &Bytes) -> Result<Self, DecodeError> {
        decode_sequence(value, &[0, 1], |reader| {
            let warning = reader.optional(WARNING)?.map(decode_warning).transpose()?;
            let error = reader.optional(ERROR)?.map(Reader::to_integer).transpose()?;
            Ok(Self {
                warning,
                error: error.map(PasswordPolicyError::from_number),
            })
        })
    }
}

fn decode_warning(mut choice: Reader<'_>) -> Result<PasswordPolicyWarning, DecodeError> {
    let (tag, contents) = choice.any()?;
    choice.finish()?;
    let number = u32::try_from(contents.to_integer()?).map_err(|_| DecodeError::BadInteger)?;
    match tag {
        TIME_BEFORE_EXPIRATION => Ok(PasswordPolicyWarning::TimeBeforeExpiration(number)),
        GRACE_LOGINS_REMAINING => Ok(PasswordPolicyWarning::GraceLoginsRemaining(number)),
        tag => Err(DecodeError::UnknownTag(tag)),
    }
}

impl PasswordPolicyError {
    const fn from_number(number: i32) -> Self {
        match number {
            0 => Self::PasswordExpired,
            1 => Self::AccountLocked,
            2 => Self::ChangeAfterReset,
            3 => Self::PasswordModNotAllowed,
            4 => Self::MustSupplyOldPassword,
            5 => Self::InsufficientPasswordQuality,
            6 => Self::PasswordTooShort,
            7 => Self::PasswordTooYoung,
            8 => Self::PasswordInHistory,
            number => Self::Unknown(number),
        }
    }
}
