//! `max_results`: a feed that brings more than it should is an error, never a part of the answer.

use super::{Change, ChangeSource, Changes, Cookie, FeedError, Fingerprint, Following, Presence};
use model::{BoxFuture, EntryUuid};

/// Counts what one refresh names; 0 is no limit.
#[derive(Debug, Default)]
pub(super) struct Meter {
    most: u32,
    named: u64,
}

impl Meter {
    /// Counts what is there; what has left is not of the result.
    pub(super) fn count(&mut self, changes: &[Change]) -> Result<(), FeedError> {
        let there = changes
            .iter()
            .filter(|change| !matches!(change, Change::Deleted(_)));
        self.named = self
            .named
            .saturating_add(u64::try_from(there.count()).unwrap_or(u64::MAX));
        if self.most == 0 || self.named <= u64::from(self.most) {
            return Ok(());
        }
        let message = format!(
            "the directory has more than {} accounts and groups here; raise max_results, or look at base_dn and filter",
            self.most
        );
        Err(FeedError::Protocol(message))
    }

    /// Another refresh begins.
    pub(super) fn restart(&mut self) {
        self.named = 0;
    }
}

/// A source with a limit.
pub(super) struct Limited {
    inner: Box<dyn ChangeSource>,
    most: u32,
}

impl Limited {
    /// Limits a source; 0 leaves it as it is.
    pub(super) fn to(most: u32, inner: Box<dyn ChangeSource>) -> Box<dyn ChangeSource> {
        match most {
            0 => inner,
            _ => Box::new(Self { inner, most }),
        }
    }

    fn meter(&self) -> Meter {
        Meter {
            most: self.most,
            named: 0,
        }
    }
}

impl ChangeSource for Limited {
    fn poll<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Changes, FeedError>> {
        Box::pin(async move { Ok(self.inner.poll(cookie).await?.metered(self.meter())) })
    }

    fn follow<'a>(&'a mut self, cookie: Option<&'a Cookie>) -> BoxFuture<'a, Result<Following, FeedError>> {
        Box::pin(async move { Ok(self.inner.follow(cookie).await?.metered(self.meter())) })
    }

    fn verify<'a>(&'a mut self, uuids: &'a [EntryUuid]) -> BoxFuture<'a, Result<Vec<Presence>, FeedError>> {
        self.inner.verify(uuids)
    }

    fn can_read<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<bool, FeedError>> {
        self.inner.can_read(dn)
    }

    fn identity<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<Option<EntryUuid>, FeedError>> {
        self.inner.identity(dn)
    }

    fn shows_below<'a>(&'a mut self, dn: &'a str) -> BoxFuture<'a, Result<bool, FeedError>> {
        self.inner.shows_below(dn)
    }

    fn fingerprint(&mut self) -> BoxFuture<'_, Result<Fingerprint, FeedError>> {
        self.inner.fingerprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_counts_until_the_next_refresh() {
        let uuid = EntryUuid::from_bytes([1; 16]);
        let mut meter = Meter { most: 2, named: 0 };
        assert_eq!(
            meter.count(&[Change::Present(uuid), Change::Deleted(uuid)]),
            Ok(())
        );
        assert_eq!(meter.count(&[Change::Present(uuid)]), Ok(()));
        assert!(matches!(
            meter.count(&[Change::Present(uuid)]),
            Err(FeedError::Protocol(text)) if text.contains("max_results")
        ));
        meter.restart();
        assert_eq!(meter.count(&[Change::Present(uuid)]), Ok(()));
        let mut unlimited = Meter::default();
        assert_eq!(unlimited.count(&vec![Change::Present(uuid); 1000]), Ok(()));
    }
}
