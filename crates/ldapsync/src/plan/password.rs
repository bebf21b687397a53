//! Passwords: only whether they changed, never what they are.
//!
//! The two sides hash one password differently, so they are never compared with each other: each has its own
//! digest of what it stores, and has changed when that differs from the one of the last common state. A change
//! made here is written through at once or refused; it is never planned, so no queue ever holds a password.

use directory::PasswordOrigin;
use directory::config::{ConflictResolution, Direction};

/// Stands for a stored password: eight octets for its hash, and eight for the moment of its last change; zeros where
/// a side does not tell. Opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Whether the two are of different passwords, as far as they tell of the same thing. Rights that come and go
    /// change no password.
    fn differs(self, other: Self) -> bool {
        let halves = self.0.chunks(8).zip(other.0.chunks(8));
        let told = |half: &[u8]| half.iter().any(|octet| *octet != 0);
        halves
            .filter(|(one, other)| told(one) && told(other))
            .any(|(one, other)| one != other)
    }
}

/// What is seen of an entry's password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RemotePassword {
    /// What stands for it.
    pub(crate) digest: Option<Digest>,
    /// Whether its hash is at hand, and to be copied.
    pub(crate) hash: Hash,
    /// Who stored it.
    pub(crate) origin: PasswordOrigin,
}

/// Whether a hash can be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Hash {
    #[default]
    NotCopied,
    Copied,
}

/// Whether sessions that were opened with the password of before are still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Credentials {
    #[default]
    Same,
    Changed,
}

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
    // Neither does an account that has no hash of its own: its logins go to the directory.
    let local_changed = match (base.local, now.local) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(base), Some(now)) => base.differs(now),
    };
    let remote_changed = base.remote.is_none_or(|base| base.differs(remote));
    let never_seen = base.remote.is_none();
    match direction {
        // Told more, or less, than before.
        _ if !local_changed && !remote_changed && base.remote != Some(remote) => PasswordMove::Note,
        Direction::LdapToLocal if local_changed || remote_changed => PasswordMove::TakeRemote,
        // The directory has a password of its own from before; what is set here next is written through.
        Direction::LocalToLdap if never_seen => PasswordMove::Note,
        // Nothing here that could differ: it was written through, or changed there.
        Direction::LocalToLdap if remote_changed && now.local.is_none() => PasswordMove::Note,
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

/// What both sides stand at after a move.
#[must_use]
pub(crate) fn after(base: Passwords, now: Passwords, step: PasswordMove) -> Passwords {
    match step {
        PasswordMove::None | PasswordMove::Held => base,
        PasswordMove::Note | PasswordMove::TakeRemote => now,
    }
}

/// Whether a move means that another password opens the account than before.
#[must_use]
pub(crate) fn credentials(base: Passwords, remote: RemotePassword, step: PasswordMove) -> Credentials {
    let both = base.remote.zip(remote.digest);
    let another = both.is_some_and(|(base, now)| base.differs(now));
    let noted = matches!(step, PasswordMove::Note | PasswordMove::TakeRemote);
    if another && noted && remote.origin == PasswordOrigin::Unknown {
        Credentials::Changed
    } else {
        Credentials::Same
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
        let digest = |letter: char| (letter != '-').then_some(Digest([letter as u8; 16]));
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
            ("-x", "-y", D::LocalToLdap, R::LocalWins, M::Note),
            ("ax", "-y", D::BothWays, R::NoChange, M::TakeRemote),
            ("ax", "ax", D::LocalToLdap, R::LocalWins, M::None),
        ] {
            let got = decide(pair(base), pair(now), direction, resolution);
            assert_eq!(got, expected, "{base} {now} {direction:?} {resolution:?}");
        }
    }

    #[test]
    fn halves_that_one_side_does_not_tell_are_not_compared() {
        let digest = |hash: u8, time: u8| {
            let mut octets = [hash; 16];
            octets[8..].fill(time);
            Digest(octets)
        };
        for (one, other, differs) in [
            (digest(1, 1), digest(1, 1), false),
            (digest(1, 1), digest(2, 1), true),
            (digest(1, 1), digest(1, 2), true),
            (digest(1, 0), digest(0, 1), false),
            (digest(1, 0), digest(1, 1), false),
            (digest(0, 1), digest(2, 1), false),
        ] {
            assert_eq!(one.differs(other), differs, "{one:?} {other:?}");
        }
    }

    #[test]
    fn sessions_end_with_another_password_and_with_nothing_else() {
        let digest = |letter: u8| Some(Digest([letter; 16]));
        let base = |remote| Passwords { local: None, remote };
        let seen = |digest, origin| RemotePassword {
            digest,
            hash: Hash::NotCopied,
            origin,
        };
        let (note, somebody) = (PasswordMove::Note, PasswordOrigin::Unknown);
        for (before, now, step, expected) in [
            (digest(1), seen(digest(2), somebody), note, Credentials::Changed),
            (
                digest(1),
                seen(digest(2), PasswordOrigin::OwnRewrite),
                note,
                Credentials::Same,
            ),
            (digest(1), seen(digest(1), somebody), note, Credentials::Same),
            (None, seen(digest(1), somebody), note, Credentials::Same),
            // Told once, when it is settled.
            (
                digest(1),
                seen(digest(2), somebody),
                PasswordMove::Held,
                Credentials::Same,
            ),
        ] {
            assert_eq!(
                credentials(base(before), now, step),
                expected,
                "{before:?} {now:?}"
            );
        }
    }
}
