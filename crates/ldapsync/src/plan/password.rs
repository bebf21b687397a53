//! Passwords: only whether they changed, never what they are.
//!
//! The two sides hash one password differently, so they are never compared with each other: each has its own
//! digest of what it stores, and has changed when that differs from the one of the last common state. A change
//! made here is written through at once or refused; it is never planned, so no queue ever holds a password.

use directory::config::{ConflictResolution, Direction};

/// Stands for a stored password: the digest of a hash, or the moment of its last change. Opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Digest(pub [u8; 16]);

/// What both sides stored at the last common state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Passwords {
    pub(crate) local: Option<Digest>,
    pub(crate) remote: Option<Digest>,
}

/// What a plan says about the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordMove {
    /// Nothing is known to have changed.
    #[default]
    None,
    /// The value that the directory stores comes here; it is read again when the plan is carried out.
    TakeRemote,
    /// Only the digests are written down: the first sight of a pair, or a change that was written through.
    Note,
    /// The two differ and stay so, until the password is set again: a value is never queued.
    Held,
}

/// Decides.
#[must_use]
pub(crate) fn decide(
    base: Passwords,
    now: Passwords,
    direction: Direction,
    resolution: ConflictResolution,
) -> PasswordMove {
    // An attribute that cannot be read, or is not there, says nothing.
    let Some(remote) = now.remote else {
        return PasswordMove::None;
    };
    let local_changed = base.local != now.local;
    let remote_changed = base.remote != Some(remote);
    let never_seen = base.remote.is_none();
    match direction {
        Direction::LdapToLocal if local_changed || remote_changed => PasswordMove::TakeRemote,
        // The directory has a password of its own from before; what is set here next is written through.
        Direction::LocalToLdap if never_seen => PasswordMove::Note,
        Direction::LocalToLdap if local_changed || remote_changed => PasswordMove::Held,
        Direction::BothWays => match (local_changed, remote_changed) {
            (false, false) => PasswordMove::None,
            (false, true) => PasswordMove::TakeRemote,
            // A first sight: what is here has never been compared.
            (true, true) if never_seen && now.local.is_none() => PasswordMove::TakeRemote,
            (true, true) if resolution == ConflictResolution::LdapWins => PasswordMove::TakeRemote,
            (true, _) => PasswordMove::Held,
        },
        Direction::LdapToLocal | Direction::LocalToLdap => PasswordMove::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_move_to_this_side_only() {
        use ConflictResolution as R;
        use Direction as D;
        use PasswordMove as M;
        let digest = |letter: char| (letter != '-').then(|| Digest([letter as u8; 16]));
        let pair = |text: &str| {
            let mut letters = text.chars().map(digest);
            Passwords {
                local: letters.next().flatten(),
                remote: letters.next().flatten(),
            }
        };
        for (base, now, direction, resolution, expected) in [
            ("ax", "ax", D::BothWays, R::LdapWins, M::None),
            ("ax", "ay", D::BothWays, R::LocalWins, M::TakeRemote),
            ("ax", "bx", D::BothWays, R::LdapWins, M::Held),
            ("ax", "by", D::BothWays, R::LdapWins, M::TakeRemote),
            ("ax", "by", D::BothWays, R::LocalWins, M::Held),
            ("ax", "by", D::BothWays, R::NoChange, M::Held),
            ("--", "-x", D::BothWays, R::NoChange, M::TakeRemote),
            ("--", "ax", D::BothWays, R::NoChange, M::Held),
            ("ax", "b-", D::BothWays, R::LdapWins, M::None),
            ("ax", "ax", D::LdapToLocal, R::LdapWins, M::None),
            ("ax", "bx", D::LdapToLocal, R::LdapWins, M::TakeRemote),
            ("ax", "ay", D::LdapToLocal, R::LocalWins, M::TakeRemote),
            ("ax", "a-", D::LdapToLocal, R::LdapWins, M::None),
            ("--", "ax", D::LocalToLdap, R::LdapWins, M::Note),
            ("ax", "ay", D::LocalToLdap, R::LdapWins, M::Held),
            ("ax", "bx", D::LocalToLdap, R::LocalWins, M::Held),
            ("ax", "ax", D::LocalToLdap, R::LocalWins, M::None),
        ] {
            let got = decide(pair(base), pair(now), direction, resolution);
            assert_eq!(got, expected, "{base} {now} {direction:?} {resolution:?}");
        }
    }
}
