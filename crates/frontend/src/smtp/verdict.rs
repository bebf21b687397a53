//! One reply of several: what the client hears when the homes have answered.

use super::reply;
use wire::smtp::{EnhancedCode, Reply, Severity};

/// What to do about a message that has been offered to every home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every accepted recipient is served.
    Accept(Reply),
    /// No recipient is served.
    Refuse(Reply),
    /// Some are. The others, by their index, must find another back end, or the client must try again.
    Spill(Vec<usize>),
}

/// Judges the homes' replies, one for each accepted recipient.
pub(super) fn judge(replies: &[Reply]) -> Verdict {
    let replies: Vec<Reply> = replies.iter().map(pass_on).collect();
    let failing: Vec<usize> = replies
        .iter()
        .enumerate()
        .filter(|(_, reply)| !reply.is_completed())
        .map(|(index, _)| index)
        .collect();
    let Some(first) = replies.first() else {
        return Verdict::Refuse(reply::no_recipients());
    };
    if failing.is_empty() {
        // The home's own words, which name its queue or delivery, when all are of one home.
        let same = replies.iter().all(|reply| reply == first);
        return Verdict::Accept(if same {
            first.clone()
        } else {
            reply::taken_by_all()
        });
    }
    if failing.len() < replies.len() {
        return Verdict::Spill(failing);
    }
    // A retry may still serve those that failed for now: 4xx if any was temporary.
    let temporary = replies
        .iter()
        .find(|reply| reply.severity() == Severity::Transient);
    Verdict::Refuse(temporary.unwrap_or(first).clone())
}

/// A home's reply as the client may hear it. What is about our dialogue with the home says nothing of the
/// message or the recipient, so it must neither close the client's session (421) nor make a bounce.
pub(super) fn pass_on(reply: &Reply) -> Reply {
    match (reply.severity(), reply.code()) {
        // RFC 5321 section 4.2.2, and 530, 538 (RFC 3207, RFC 4954), 555 (RFC 5321 section 4.1.1.11).
        (Severity::Intermediate, _) | (_, 421 | 500 | 502..=504 | 530 | 538 | 555) => {
            let text = reply.lines().next().unwrap_or_default().to_owned();
            // RFC 2034 section 4: the class is that of the code.
            let enhanced = reply
                .enhanced()
                .map(|EnhancedCode(_, a, b)| EnhancedCode(4, a, b));
            Reply::new(451, enhanced, text)
        }
        // RFC 2034 section 4: every reply has a code, and the home may not know any.
        (_, code) if reply.enhanced().is_none() => {
            let class = u8::try_from(code / 100).unwrap_or(5);
            let lines = reply.lines().map(str::to_owned).collect();
            Reply::multi(code, Some(EnhancedCode(class, 0, 0)), lines)
        }
        _ => reply.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replies(codes: &[u16]) -> Vec<Reply> {
        codes
            .iter()
            .map(|code| Reply::new(*code, None, format!("reply {code}")))
            .collect()
    }

    #[test]
    fn table() {
        for (codes, accepted, code) in [
            (&[250][..], true, 250),
            (&[250, 250], true, 250),
            (&[250, 251], true, 250),
            (&[550], false, 550),
            (&[552, 550], false, 552),
            (&[550, 451], false, 451),
            (&[451, 550], false, 451),
            (&[421], false, 451),
            (&[354], false, 451),
            (&[503, 550], false, 451),
            (&[530, 530], false, 451),
            (&[501], false, 501),
            (&[], false, 554),
        ] {
            let (verdict, found) = match judge(&replies(codes)) {
                Verdict::Accept(reply) => (true, reply.code()),
                Verdict::Refuse(reply) => (false, reply.code()),
                Verdict::Spill(_) => panic!("{codes:?} is not mixed"),
            };
            assert_eq!((verdict, found), (accepted, code), "{codes:?}");
        }
        assert_eq!(judge(&replies(&[250, 550, 250, 451])), Verdict::Spill(vec![1, 3]));
        let Verdict::Accept(reply) = judge(&replies(&[250])) else {
            panic!()
        };
        assert_eq!(reply.to_string(), "250 2.0.0 reply 250", "with an enhanced code");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn never_accepts_what_a_home_did_not_take(codes in proptest::collection::vec(200u16..600, 0..6)) {
            let all = replies(&codes);
            let taken = all.iter().filter(|reply| reply.is_completed()).count();
            match judge(&all) {
                Verdict::Accept(reply) => prop_assert!(taken == all.len() && taken > 0 && reply.is_completed()),
                Verdict::Refuse(reply) => {
                    prop_assert!(taken == 0);
                    prop_assert!(matches!(reply.severity(), Severity::Transient | Severity::Permanent));
                    prop_assert!(reply.code() != 421);
                }
                Verdict::Spill(failing) => prop_assert_eq!(failing.len() + taken, all.len()),
            }
        }
    }
}
