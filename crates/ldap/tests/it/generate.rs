//! Messages of every kind, made by proptest.

use bytes::Bytes;
use ldap::message::{
    Add, Authentication, Bind, BindResponse, Compare, Extended, ExtendedResponse, Intermediate, Modify,
    ModifyDn, Search,
};
use ldap::{
    Attribute, Control, DerefAliases, Entry, Filter, LdapResult, Message, MessageId, Modification,
    ModifyOperation, Request, Response, ResultCode, Scope, Values,
};
use model::Secret;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-zA-Z0-9=,;. -]{0,20}", 1 => "\\PC{0,10}"]
}

/// Mostly short, now and then long enough for a length of two or three octets.
fn octets() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..20),
        1 => vec(any::<u8>(), 120..140),
        1 => vec(any::<u8>(), 250..300),
    ]
    .prop_map(Bytes::from)
}

fn secret() -> impl Strategy<Value = Secret> {
    octets().prop_map(|octets| Secret::new(octets.to_vec()))
}

fn id() -> impl Strategy<Value = MessageId> {
    (0..=i32::MAX as u32).prop_map(|number| MessageId::new(number).expect("in range"))
}

fn attribute(values: std::ops::Range<usize>) -> impl Strategy<Value = Attribute> {
    (text(), vec(octets(), values)).prop_map(|(name, values)| Attribute::new(name, Values::from(values)))
}

fn entry() -> impl Strategy<Value = Entry> {
    (text(), vec(attribute(0..4), 0..5)).prop_map(|(dn, attributes)| Entry { dn, attributes })
}

/// Filters in their whole grammar; a substring filter has at least one piece.
pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    let assertion = || (text(), octets());
    let leaf = prop_oneof![
        text().prop_map(Filter::Present),
        assertion().prop_map(|(attribute, value)| Filter::Equality { attribute, value }),
        assertion().prop_map(|(attribute, value)| Filter::GreaterOrEqual { attribute, value }),
        assertion().prop_map(|(attribute, value)| Filter::LessOrEqual { attribute, value }),
        assertion().prop_map(|(attribute, value)| Filter::Approx { attribute, value }),
        (text(), of(octets()), vec(octets(), 1..4), of(octets())).prop_map(
            |(attribute, initial, any, last)| {
                Filter::Substrings {
                    attribute,
                    initial,
                    any,
                    last,
                }
            }
        ),
        (text(), octets()).prop_map(|(attribute, piece)| Filter::Substrings {
            attribute,
            initial: Some(piece),
            any: vec![],
            last: None
        }),
        (of(text()), text(), octets(), any::<bool>()).prop_map(|(rule, attribute, value, dn_attributes)| {
            Filter::Extensible {
                rule,
                attribute: Some(attribute),
                value,
                dn_attributes,
            }
        }),
        (text(), octets()).prop_map(|(rule, value)| Filter::Extensible {
            rule: Some(rule),
            attribute: None,
            value,
            dn_attributes: false
        }),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Filter::And),
            vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

fn search() -> impl Strategy<Value = Search> {
    let scope = prop_oneof![Just(Scope::Base), Just(Scope::OneLevel), Just(Scope::Subtree)];
    let deref = prop_oneof![
        Just(DerefAliases::Never),
        Just(DerefAliases::InSearching),
        Just(DerefAliases::FindingBase),
        Just(DerefAliases::Always),
    ];
    let limit = || 0..=i32::MAX as u32;
    (
        text(),
        scope,
        deref,
        limit(),
        limit(),
        any::<bool>(),
        filter(),
        vec(text(), 0..4),
    )
        .prop_map(
            |(base, scope, deref_aliases, size_limit, time_limit, types_only, filter, attributes)| Search {
                base,
                scope,
                deref_aliases,
                size_limit,
                time_limit,
                types_only,
                filter,
                attributes,
            },
        )
}

fn request() -> impl Strategy<Value = Request> {
    let authentication = prop_oneof![
        secret().prop_map(Authentication::Simple),
        (text(), of(secret())).prop_map(|(mechanism, credentials)| Authentication::Sasl {
            mechanism,
            credentials
        }),
    ];
    let operation = prop_oneof![
        Just(ModifyOperation::Add),
        Just(ModifyOperation::Delete),
        Just(ModifyOperation::Replace),
    ];
    let change = (operation, attribute(0..4))
        .prop_map(|(operation, attribute)| Modification::new(operation, attribute));
    prop_oneof![
        (text(), authentication)
            .prop_map(|(name, authentication)| Request::Bind(Bind { name, authentication })),
        Just(Request::Unbind),
        search().prop_map(|search| Request::Search(Box::new(search))),
        (text(), vec(change, 0..4)).prop_map(|(dn, changes)| Request::Modify(Modify { dn, changes })),
        (text(), vec(attribute(1..4), 0..4))
            .prop_map(|(dn, attributes)| Request::Add(Add { dn, attributes })),
        text().prop_map(Request::Delete),
        (text(), text(), any::<bool>(), of(text())).prop_map(
            |(dn, new_rdn, delete_old_rdn, new_superior)| {
                Request::ModifyDn(ModifyDn {
                    dn,
                    new_rdn,
                    delete_old_rdn,
                    new_superior,
                })
            }
        ),
        (text(), text(), octets()).prop_map(|(dn, attribute, value)| Request::Compare(Compare {
            dn,
            attribute,
            value
        })),
        id().prop_map(Request::Abandon),
        (text(), of(octets())).prop_map(|(name, value)| Request::Extended(Extended {
            name: name.into(),
            value
        })),
    ]
}

/// Result codes of RFC 4511 itself: the other implementation knows no others.
fn code() -> impl Strategy<Value = ResultCode> {
    prop::sample::select(vec![0, 1, 4, 10, 14, 32, 49, 51, 52, 53, 68, 80]).prop_map(ResultCode::from_number)
}

fn result() -> impl Strategy<Value = LdapResult> {
    (code(), text(), text(), vec(text(), 0..3)).prop_map(|(code, matched_dn, diagnostic, referrals)| {
        LdapResult {
            code,
            matched_dn,
            diagnostic,
            referrals,
        }
    })
}

fn response() -> impl Strategy<Value = Response> {
    let name = || of(text()).prop_map(|name| name.map(Into::into));
    prop_oneof![
        (result(), of(octets())).prop_map(|(result, server_sasl_credentials)| {
            Response::Bind(BindResponse {
                result,
                server_sasl_credentials,
            })
        }),
        entry().prop_map(Response::SearchEntry),
        vec(text(), 1..4).prop_map(Response::SearchReference),
        result().prop_map(Response::SearchDone),
        result().prop_map(Response::Modify),
        result().prop_map(Response::Add),
        result().prop_map(Response::Delete),
        result().prop_map(Response::ModifyDn),
        result().prop_map(Response::Compare),
        (result(), name(), of(octets()))
            .prop_map(|(result, name, value)| Response::Extended(ExtendedResponse { result, name, value })),
        (name(), of(octets())).prop_map(|(name, value)| Response::Intermediate(Intermediate { name, value })),
    ]
}

fn controls() -> impl Strategy<Value = Vec<Control>> {
    let control = (text(), any::<bool>(), of(octets())).prop_map(|(oid, critical, value)| Control {
        oid: oid.into(),
        critical,
        value,
    });
    vec(control, 0..3)
}

/// A request with any id and controls.
pub(crate) fn requests() -> impl Strategy<Value = Message<Request>> {
    (id(), request(), controls()).prop_map(|(id, operation, controls)| Message {
        id,
        operation,
        controls,
    })
}

/// A response with any id and controls.
pub(crate) fn responses() -> impl Strategy<Value = Message<Response>> {
    (id(), response(), controls()).prop_map(|(id, operation, controls)| Message {
        id,
        operation,
        controls,
    })
}
