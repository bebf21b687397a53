//! `sAMAccountName`: the login name of Active Directory from before there were domains.

/// The longest that a person's may be (MS-SAMR section 3.1.1.8.4 allows 20 octets for accounts of people).
const MAX_LENGTH: usize = 20;
/// Candidates before we give up: more namesakes than this are no accident.
const MAX_CANDIDATES: usize = 100;

/// Names to try, best first, for an account whose address has this local-part. The directory wants the name
/// unique and answers 68 when it is not.
pub fn account_names(local_part: &str) -> impl Iterator<Item = String> + use<> {
    let clean = clean(local_part);
    (1..=MAX_CANDIDATES).map(move |number| {
        let suffix = match number {
            1 => String::new(),
            number => number.to_string(),
        };
        let room = MAX_LENGTH - suffix.len();
        let mut name: String = clean.chars().take(room).collect();
        // A name does not end in a period.
        let end = name.trim_end_matches('.').len();
        name.truncate(end);
        name.push_str(&suffix);
        name
    })
}

/// MS-SAMR section 3.1.1.6: these characters, and those below 0x20, are not allowed. What is left must not be
/// empty, and is folded to ASCII where letters allow it, because old clients know no others.
fn clean(local_part: &str) -> String {
    let text: String = local_part
        .chars()
        .map(|character| match character {
            '"' | '/' | '\\' | '[' | ']' | ':' | '|' | '<' | '>' | '+' | '=' | ';' | '?' | ',' | '*'
            | '@' => '_',
            character if character.is_control() || character.is_whitespace() || !character.is_ascii() => '_',
            character => character,
        })
        .collect();
    let text = text.trim_matches('.');
    if text.is_empty() {
        "account".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::account_names;
    use proptest::prelude::*;

    #[test]
    fn names_by_table() {
        for (local_part, first, second) in [
            ("alice", "alice", "alice2"),
            (
                "a.very.long.local.part.indeed",
                "a.very.long.local.pa",
                "a.very.long.local.p2",
            ),
            (
                "ends.in.a.period..now",
                "ends.in.a.period..no",
                "ends.in.a.period..n2",
            ),
            (
                "twelve.chars.period.x",
                "twelve.chars.period",
                "twelve.chars.period2",
            ),
            ("a+b=c@d,e", "a_b_c_d_e", "a_b_c_d_e2"),
            ("été", "_t_", "_t_2"),
            ("...", "account", "account2"),
        ] {
            let mut names = account_names(local_part);
            assert_eq!(names.next().as_deref(), Some(first), "{local_part}");
            assert_eq!(names.next().as_deref(), Some(second), "{local_part}");
        }
    }

    proptest! {
        #[test]
        fn every_candidate_is_allowed(local_part in ".{0,40}") {
            let all: Vec<String> = account_names(&local_part).collect();
            for name in &all {
                prop_assert!(!name.is_empty() && name.len() <= 20 && !name.ends_with('.'), "{name:?}");
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"/\\[]:|<>+=;?,*@".contains(&byte)));
            }
            let unique: std::collections::HashSet<_> = all.iter().collect();
            // A name that ends in digits may meet itself again; that costs one look.
            prop_assert!(unique.len() >= 50, "{}", unique.len());
        }
    }
}
