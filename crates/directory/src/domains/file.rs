//! A list of domains, and its file: one a line, `#` begins a comment.

use crate::map::LineError;
use model::Domain;
use std::collections::HashSet;

/// Errors beyond this many are not listed: the first ones say what is wrong.
const MAX_ERRORS: usize = 20;

/// Some domains, one of which is the first.
#[derive(Debug, Default)]
pub(super) struct DomainList {
    first: Option<Domain>,
    all: HashSet<Domain>,
}

impl DomainList {
    /// Reads a file's text. One that names no domain is an error: it was cut short, or nothing would be taken.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Vec<LineError>> {
        let mut list = Self::default();
        let mut errors = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            match read_line(line) {
                Ok(domain) => list.extend(domain),
                Err(message) if errors.len() < MAX_ERRORS => errors.push(LineError {
                    line: index + 1,
                    message,
                }),
                Err(_) => break,
            }
        }
        if errors.is_empty() && list.first.is_none() {
            errors.push(LineError {
                line: 1,
                message: "the file names no domain; write one a line".to_owned(),
            });
        }
        match errors.is_empty() {
            true => Ok(list),
            false => Err(errors),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn first(&self) -> Option<&Domain> {
        self.first.as_ref()
    }

    pub(super) fn holds(&self, domain: &Domain) -> bool {
        self.all.contains(domain)
    }
}

impl Extend<Domain> for DomainList {
    fn extend<I: IntoIterator<Item = Domain>>(&mut self, domains: I) {
        for domain in domains {
            self.first.get_or_insert_with(|| domain.clone());
            self.all.insert(domain);
        }
    }
}

impl FromIterator<Domain> for DomainList {
    fn from_iter<I: IntoIterator<Item = Domain>>(domains: I) -> Self {
        let mut list = Self::default();
        list.extend(domains);
        list
    }
}

fn read_line(line: &[u8]) -> Result<Option<Domain>, String> {
    let line = std::str::from_utf8(line).map_err(|_| "the line is not UTF-8".to_owned())?;
    let text = line.split('#').next().unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(None);
    }
    let domain = Domain::parse(text)
        .map_err(|error| format!("{text:?}: {error}; write one domain a line, such as example.org"))?;
    Ok(Some(domain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines() {
        let list =
            DomainList::parse(b"# ours\r\n\r\n Example.ORG. \r\nb\xc3\xbccher.example#shop\r\nexample.org\n")
                .expect("a list");
        assert_eq!(list.len(), 2);
        assert_eq!(list.first().map(Domain::as_str), Some("example.org"));
        let holds = |name: &str| list.holds(&Domain::parse(name).expect(name));
        assert!(holds("EXAMPLE.org") && holds("xn--bcher-kva.example") && !holds("example.com"));
        for (text, lines) in [
            (&b"a.test\nb c.test\n@d.test\n\n*\n"[..], &[2, 3, 5][..]),
            (b"a.test\n\xff\n", &[2]),
            (b"", &[1]),
            (b"# nothing\n", &[1]),
        ] {
            let errors = DomainList::parse(text).expect_err("bad lines");
            let found: Vec<usize> = errors.iter().map(|error| error.line).collect();
            assert_eq!(found, lines, "{text:?}");
        }
        let many = "-\n".repeat(1_000);
        assert_eq!(
            DomainList::parse(many.as_bytes()).expect_err("bad").len(),
            MAX_ERRORS
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn whatever_is_in_it_every_error_has_its_line(text: Vec<u8>) {
            match DomainList::parse(&text) {
                Ok(list) => prop_assert!(list.first().is_some()),
                Err(errors) => {
                    let lines = text.split(|byte| *byte == b'\n').count();
                    prop_assert!(errors.iter().all(|error| (1..=lines).contains(&error.line)));
                }
            }
        }
    }
}
