//! Properties: what a client writes a server reads, and no input does harm.

use super::super::*;
use super::{assemble, parse};
use model::{Flag, MailboxName, Secret, SpecialUse};
use proptest::prelude::*;

fn set() -> impl Strategy<Value = SequenceSet> {
    prop::collection::vec((1u32.., 1u32..), 1..5).prop_map(|pairs| {
        let ranges: Vec<_> = pairs.into_iter().map(|(a, b)| a.min(b)..=a.max(b)).collect();
        SequenceSet::from_ranges(&ranges).expect("not empty")
    })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,20}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..20)
    ]
}

fn mailbox() -> impl Strategy<Value = MailboxArg> {
    text()
        .prop_filter("names are not empty", |name| !name.is_empty())
        .prop_map(MailboxArg)
}

fn flag() -> impl Strategy<Value = Flag> {
    prop_oneof![
        Just("\\Seen"),
        Just("\\Deleted"),
        Just("$Forwarded"),
        Just("junk")
    ]
    .prop_map(|text| Flag::parse(text).expect("a flag"))
}

fn date() -> impl Strategy<Value = Date> {
    (0i64..2_900_000).prop_map(Date::from_days)
}

fn key() -> impl Strategy<Value = SearchKey> {
    let leaf = prop_oneof![
        Just(SearchKey::All),
        Just(SearchKey::New),
        flag().prop_map(SearchKey::HasNot),
        set().prop_map(SearchKey::Sequence),
        set().prop_map(SearchKey::Uid),
        date().prop_map(SearchKey::SentSince),
        text().prop_map(SearchKey::Body),
        (text(), text()).prop_map(|(field, text)| SearchKey::Header(field, text)),
    ]
    // \Seen has its own words; other system flags are covered by the tables.
    .prop_filter("a keyword or a word", |key| {
        !matches!(key, SearchKey::HasNot(Flag::System(_)))
    });
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| SearchKey::Not(Box::new(key))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| SearchKey::Or(Box::new(a), Box::new(b))),
            prop::collection::vec(inner, 2..4).prop_map(SearchKey::And),
        ]
    })
}

fn section() -> impl Strategy<Value = FetchItem> {
    let fields = || prop::collection::vec("[A-Za-z-]{1,8}".prop_map(String::into_bytes), 1..3);
    let text = prop_oneof![
        Just(None),
        Just(Some(SectionText::Header)),
        Just(Some(SectionText::Text)),
        fields().prop_map(|fields| Some(SectionText::HeaderFields(fields))),
        fields().prop_map(|fields| Some(SectionText::HeaderFieldsNot(fields))),
    ];
    let partial = prop::option::of((0u32.., 1u32..).prop_map(|(offset, length)| Partial { offset, length }));
    (prop::collection::vec(1u32..9, 0..4), text, partial, any::<bool>()).prop_map(
        |(part, text, partial, peek)| FetchItem::Section {
            section: Section { part, text },
            partial,
            seen: if peek { Seen::Keep } else { Seen::Set },
        },
    )
}

fn by() -> impl Strategy<Value = Numbering> {
    prop_oneof![Just(Numbering::Sequence), Just(Numbering::Uid)]
}

fn body() -> impl Strategy<Value = CommandBody> {
    let list = (text(), prop::collection::vec(text(), 1..3)).prop_map(|(reference, patterns)| {
        CommandBody::List(List {
            select: vec![ListSelect::Subscribed],
            reference,
            patterns,
            returns: vec![ListReturn::Status(vec![StatusItem::Unseen])],
        })
    });
    let store = (set(), prop::collection::vec(flag(), 0..3), by()).prop_map(|(numbers, flags, by)| {
        CommandBody::Store(Store {
            numbers,
            action: StoreAction::Remove,
            answer: StoreAnswer::Silent,
            flags,
            by,
        })
    });
    prop_oneof![
        (text(), text()).prop_map(|(user, password)| CommandBody::Login {
            user,
            password: Secret::new(password)
        }),
        prop::collection::vec((text(), prop::option::of(text())), 0..3).prop_map(CommandBody::Id),
        prop::option::of(text()).prop_map(|initial| CommandBody::Authenticate {
            mechanism: "PLAIN".into(),
            initial: initial.map(Secret::new),
        }),
        mailbox().prop_map(CommandBody::Select),
        mailbox().prop_map(|mailbox| CommandBody::Create {
            mailbox,
            special_use: vec![SpecialUse::Junk]
        }),
        (mailbox(), mailbox()).prop_map(|(from, to)| CommandBody::Rename { from, to }),
        list,
        store,
        (key(), by()).prop_map(|(key, by)| {
            CommandBody::Search(Search {
                returns: Some(vec![SearchReturn::Max]),
                charset: None,
                key,
                by,
            })
        }),
        (set(), prop::collection::vec(section(), 1..3), by())
            .prop_map(|(numbers, items, by)| CommandBody::Fetch { numbers, items, by }),
        (set(), mailbox(), by()).prop_map(|(numbers, mailbox, by)| CommandBody::Move {
            numbers,
            mailbox,
            by
        }),
        set().prop_map(|set| CommandBody::Expunge(Some(set))),
    ]
}

/// A command has no equality, because a secret has none: its bytes stand for it.
fn bytes(command: &Command) -> Vec<u8> {
    command.to_bytes(Literals::NonSynchronizing).concat()
}

fn seeds() -> Vec<&'static [u8]> {
    vec![
        b"a LOGIN {3+}\r\njoe {2}\r\npw\r\n",
        b"a AUTHENTICATE PLAIN AGpvZQBwdw==\r\n",
        b"a LIST (SUBSCRIBED) \"\" (\"a\" b%) RETURN (STATUS (MESSAGES UIDNEXT))\r\n",
        b"a UID SEARCH RETURN (ALL) CHARSET UTF-8 OR (FROM {2}\r\nxy SINCE 1-Feb-2000) NOT 1:*\r\n",
        b"a FETCH 1:3,5 (UID FLAGS BODY.PEEK[1.2.HEADER.FIELDS (From To)]<0.100>)\r\n",
        b"a UID STORE 1:* +FLAGS.SILENT (\\Seen $x)\r\n",
        b"a ID (\"name\" \"x\" \"v\" NIL)\r\n",
        b"* OK [COPYUID 1 2:3 7,9] done\r\n",
        b"* OK [PERMANENTFLAGS (\\Seen \\*)] done\r\n",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_a_client_writes_a_server_reads(body in body()) {
        let command = Command { tag: Tag::parse(b"a1").expect("valid"), body };
        let written = bytes(&command);
        let read = parse(&written).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
        prop_assert_eq!(format!("{:?}", read.body), format!("{:?}", command.body));
        prop_assert_eq!(bytes(&read), written);
        // With synchronising literals the same bytes are sent but for the plus signs.
        let waiting = command.to_bytes(Literals::Synchronizing);
        for piece in waiting.pieces().iter().rev().skip(1) {
            let line = piece.strip_suffix(b"\r\n").expect("a line");
            let kind = literal_at_end_of_line(line).map(|literal| literal.kind);
            prop_assert_eq!(kind, Some(LiteralKind::Synchronizing));
        }
    }

    #[test]
    fn mutations_do_no_harm(
        seed in 0usize..9,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 0..8),
    ) {
        let mut input = seeds()[seed].to_vec();
        for (at, byte, kind) in edits {
            let at = at.index(input.len() + 1).min(input.len().saturating_sub(1));
            match kind {
                0 if !input.is_empty() => input[at] = byte,
                1 if !input.is_empty() => drop(input.remove(at)),
                _ => input.insert(at, byte),
            }
        }
        for whole in [assemble(&input, Assembler::line), assemble(&input, Assembler::response_line), Some(input)] {
            let Some(whole) = whole else { continue };
            let _ = Append::head(&whole);
            let _ = Response::parse(&whole);
            if let Ok(command) = Command::parse(&whole) {
                // What is read can be written and read again.
                let again = parse(&bytes(&command));
                prop_assert!(again.is_ok(), "{:?}", again);
            }
        }
    }

    #[test]
    fn any_bytes_do_no_harm(input in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Command::parse(&input);
        let _ = Response::parse(&input);
        let _ = Append::head(&input);
        let _ = assemble(&input, Assembler::line);
    }

    #[test]
    fn mailbox_names(name in "\\PC{1,30}") {
        if let Ok(name) = MailboxName::parse(&name) {
            prop_assert_eq!(MailboxArg::from(&name).name(), Ok(name));
        }
    }
}
