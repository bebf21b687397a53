//! What was written in the directory and is not known to have arrived.
//!
//! An entry that shows such a value, which was not common before, has it from us: nobody there has edited anything. So the
//! last common state has it too, value by value, and whatever became of it here since is an edit of ours.

use super::{Marks, said};
use crate::field::{Field, Image, Values};

/// Values by field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sent {
    /// What comes.
    pub(crate) brings: Image,
    /// What goes. Of a field with one value only where nothing takes its place.
    pub(crate) takes: Image,
}

impl Sent {
    /// Nothing but a new entry.
    pub(crate) fn entry(image: &Image) -> Self {
        Self {
            brings: image.clone(),
            takes: Image::default(),
        }
    }

    /// One field of one write.
    pub(crate) fn note(&mut self, field: Field, was: &Values, values: &Values) {
        self.brings.set(field, values.without(was));
        if field.is_set() || values.is_empty() {
            self.takes.set(field, was.without(values));
        }
    }

    /// Whether it is about this field.
    pub(crate) fn tells_of(&self, field: Field) -> bool {
        !self.brings.get(field).is_empty() || !self.takes.get(field).is_empty()
    }

    /// What an earlier write sent may still be in the entry, too.
    pub(crate) fn add(&mut self, earlier: &Self) {
        for (mine, theirs) in [
            (&mut self.brings, &earlier.brings),
            (&mut self.takes, &earlier.takes),
        ] {
            for (field, values) in theirs.fields() {
                let both = Values::from_pairs(values.iter().chain(mine.get(field).iter()));
                mine.set(field, both);
            }
        }
    }

    /// The last common state of one field, now that the entry is seen again.
    fn common(&self, field: Field, base: &Values, shown: &Values) -> Values {
        let (brings, takes) = (self.brings.get(field), self.takes.get(field));
        if field.is_set() {
            let ours = shown.missing_in(base).filter(|(key, _)| brings.has(key));
            let kept = base.iter().filter(|(key, _)| shown.has(key) || !takes.has(key));
            return self.spelt(field, base, &Values::from_pairs(kept.chain(ours)));
        }
        let (known, now) = (said(field, base), said(field, shown));
        let is_sent =
            |sent: &Values, value: &Values| !value.is_empty() && value.missing_in(sent).next().is_none();
        if now.equals(&known) {
            base.clone()
        } else if is_sent(brings, &now) {
            self.spelt(field, base, &now)
        } else if shown.is_empty() && is_sent(takes, &known) {
            Values::NONE
        } else {
            base.clone()
        }
    }

    /// What an entry shows of a field, spelt as it was common before, or as it was sent. Where the entry spells it in another
    /// way, somebody there has done so, or the server; with that in the base, our own spelling would look like an edit.
    pub(crate) fn spelt(&self, field: Field, base: &Values, shown: &Values) -> Values {
        let ours = self.brings.get(field).iter().chain(base.iter());
        Values::from_pairs(shown.iter().chain(ours.filter(|(key, _)| shown.has(key))))
    }

    /// The same of a new entry that is what it was made with.
    pub(crate) fn spelt_entry(&self, shown: &Image) -> Image {
        let mut image = shown.clone();
        for (field, values) in shown.fields() {
            image.set(field, self.spelt(field, &Values::NONE, values));
        }
        image
    }

    /// Puts what is ours into what was common last, and into what is remembered of fields that never were common. False
    /// when the entry shows nothing of it.
    pub(crate) fn found_in(&self, shown: &Image, base: &mut Image, marks: &mut Marks) -> bool {
        let mut found = false;
        let fields = |image: &Image| image.fields().map(|(field, _)| field).collect::<Vec<_>>();
        let mut sent = fields(&self.brings);
        sent.extend(fields(&self.takes));
        sent.sort_unstable();
        sent.dedup();
        for field in sent {
            let now = shown.get(field);
            if let Some([_, there]) = marks.apart.get_mut(&field) {
                // What was there before we wrote: known so, it is no edit of anybody's.
                let takes = self.takes.get(field);
                let before =
                    Values::from_pairs(now.without(self.brings.get(field)).iter().chain(takes.iter()));
                let ours = now.missing_in(self.brings.get(field)).next().is_none() && !field.is_set();
                if *there != now.digest() && (ours || *there == before.digest()) {
                    *there = now.digest();
                    found = true;
                }
                continue;
            }
            let common = self.common(field, base.get(field), now);
            if !common.equals(base.get(field)) {
                base.set(field, common);
                found = true;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Address;

    fn aliases(names: &str) -> Values {
        let all: Vec<Address> = names
            .split_whitespace()
            .map(|name| Address::parse(&format!("{name}@x.test")).expect("an address"))
            .collect();
        Values::addresses(&all)
    }

    fn told(values: &Values) -> String {
        let all: Vec<&str> = values
            .iter()
            .map(|(key, _)| key.trim_end_matches("@x.test"))
            .collect();
        all.join(" ")
    }

    fn after(field: Field, sent: &[(Values, Values)], base: Values, shown: Values) -> Values {
        let mut all = Sent::default();
        for (was, values) in sent {
            let mut next = Sent::default();
            next.note(field, was, values);
            next.add(&all);
            all = next;
        }
        let mut image = Image::default().with(field, base.clone());
        let found = all.found_in(
            &Image::default().with(field, shown),
            &mut image,
            &mut Marks::default(),
        );
        assert_eq!(found, !image.get(field).equals(&base));
        image.get(field).clone()
    }

    #[test]
    fn each_value_of_a_set_is_ours_or_the_directorys() {
        // Sent as (was, values), one after the other; the base before; the entry now; the base after.
        for (sent, base, shown, expected) in [
            // Nothing arrived.
            (&[("", "a")][..], "", "", ""),
            // It arrived, and somebody added one.
            (&[("", "a")], "", "a c", "a"),
            // It arrived, and somebody took another one away: that is still an edit.
            (&[("b", "a b")], "b", "a", "a b"),
            // What we took away is gone.
            (&[("a b", "b")], "a b", "b", "b"),
            (&[("a b", "b")], "a b", "a b c", "a b"),
            // Somebody took away what we did not.
            (&[("a b", "a b c")], "a b", "a", "a b"),
            // Both at once.
            (&[("a", "b")], "a", "b c", "b"),
            // An earlier write arrived late.
            (&[("", "a"), ("", "b")], "", "a", "a"),
            (&[("", "a"), ("a", "")], "", "a", "a"),
            (&[("", "a"), ("a", "")], "a", "", ""),
        ] {
            let pairs: Vec<_> = sent
                .iter()
                .map(|(was, now)| (aliases(was), aliases(now)))
                .collect();
            let common = after(Field::Aliases, &pairs, aliases(base), aliases(shown));
            assert_eq!(told(&common), expected, "{sent:?} {base} {shown}");
        }
    }

    #[test]
    fn a_value_that_was_sent_is_no_edit_of_the_directorys() {
        let name = Values::text;
        for (sent, base, shown, expected) in [
            (&[("old", "new")][..], "old", "new", "new"),
            (&[("old", "new")], "old", "NEW", "new"),
            (&[("old", "new")], "old", "old", "old"),
            (&[("old", "new")], "old", "theirs", "old"),
            (&[("old", "new"), ("old", "newer")], "old", "new", "new"),
            (&[("old", "")], "old", "", ""),
            // Cleared there, and not by us.
            (&[("old", "new")], "old", "", "old"),
            (&[("", "new")], "", "new", "new"),
        ] {
            let pairs: Vec<_> = sent.iter().map(|(was, now)| (name(was), name(now))).collect();
            let common = after(Field::DisplayName, &pairs, name(base), name(shown));
            assert!(
                common.equals(&name(expected)),
                "{sent:?} {base} {shown}: {common}"
            );
        }
        // What silence means may be how it is written.
        let (on, off) = (Values::switch(true), Values::switch(false));
        let pairs = [(off.clone(), on.clone())];
        assert!(after(Field::Enabled, &pairs, off, Values::NONE).equals(&on));
    }

    // A spelling is somebody's edit like any other, and not ours because the value is.
    #[test]
    fn a_value_that_was_sent_is_common_as_it_was_sent() {
        let text = |values: &Values| values.iter().map(|(_, text)| text.to_owned()).collect::<Vec<_>>();
        for (was, now, shown, common) in [
            ("", "Sent", "SENT", "Sent"),
            ("Old", "Sent", "SENT", "Sent"),
            ("Old", "Sent", "OLD", "Old"),
        ] {
            let (was, now, shown) = (Values::text(was), Values::text(now), Values::text(shown));
            let pairs = [(was.clone(), now.clone())];
            let after = after(Field::DisplayName, &pairs, was.clone(), shown.clone());
            assert_eq!(text(&after), [common], "{shown}");
            let mut sent = Sent::default();
            sent.note(Field::DisplayName, &was, &now);
            assert_eq!(text(&sent.spelt(Field::DisplayName, &was, &shown)), [common]);
        }
        let pairs = [(aliases("b"), aliases("b Sent"))];
        let after = after(Field::Aliases, &pairs, aliases("b"), aliases("B SENT c"));
        assert_eq!(text(&after), ["b@x.test", "Sent@x.test"]);
        let image = |name: &str, alias: &str| {
            Image::default()
                .with(Field::DisplayName, Values::text(name))
                .with(Field::Aliases, aliases(alias))
        };
        let entry = Sent::entry(&image("Sent", "a B")).spelt_entry(&image("SENT", "A b C"));
        assert_eq!(entry, image("Sent", "a B C"));
    }

    #[test]
    fn what_never_was_common_is_known_as_we_left_it() {
        for (field, was, now, shown, ours) in [
            (Field::Aliases, aliases("r"), aliases("l"), aliases("l"), true),
            (Field::Aliases, aliases("r"), aliases("l"), aliases("l c"), false),
            (
                Field::DisplayName,
                Values::text("r"),
                Values::text("l"),
                Values::text("l"),
                true,
            ),
            (
                Field::DisplayName,
                Values::text("r"),
                Values::text("l"),
                Values::text("c"),
                false,
            ),
        ] {
            let mut marks = Marks::default();
            marks.apart.insert(field, [[1; 32], was.digest()]);
            let (mut sent, mut base) = (Sent::default(), Image::default());
            sent.note(field, &was, &now);
            let image = Image::default().with(field, shown.clone());
            assert_eq!(sent.found_in(&image, &mut base, &mut marks), ours, "{shown}");
            let there = if ours { shown.digest() } else { was.digest() };
            assert_eq!(marks.apart[&field], [[1; 32], there]);
            assert_eq!(base, Image::default());
        }
    }
}
