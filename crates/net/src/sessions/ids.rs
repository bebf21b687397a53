//! The sessions of one account: nearly always one, which then needs no list.

use super::SessionId;

/// Numbers in ascending order.
#[derive(Debug, Default)]
pub(super) enum Ids {
    #[default]
    None,
    One(SessionId),
    Many(Vec<SessionId>),
}

impl Ids {
    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = SessionId> {
        self.as_slice().iter().copied()
    }

    /// Adds a number that is larger than all before it.
    pub(super) fn add(&mut self, id: SessionId) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(id),
            Self::One(first) => Self::Many(vec![first, id]),
            Self::Many(mut all) => {
                all.push(id);
                Self::Many(all)
            }
        };
    }

    /// Takes a number out; true when none is left.
    pub(super) fn remove(&mut self, id: SessionId) -> bool {
        match self {
            Self::None => {}
            Self::One(only) if *only == id => *self = Self::None,
            Self::One(_) => {}
            Self::Many(all) => {
                all.retain(|known| *known != id);
                match all.as_slice() {
                    [] => *self = Self::None,
                    [only] => *self = Self::One(*only),
                    _ => {}
                }
            }
        }
        matches!(self, Self::None)
    }

    fn as_slice(&self) -> &[SessionId] {
        match self {
            Self::None => &[],
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(all) => all,
        }
    }
}
