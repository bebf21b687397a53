//! Our messages as values of `rasn-ldap`, an independent implementation: two messages mean the same when
//! these are equal.

use ldap::message::{Authentication, Search};
use ldap::{
    Attribute, DerefAliases, Filter, LdapResult, Message, ModifyOperation, Request, Response, Scope, Text,
};
use rasn::types::{OctetString, SetOf};
use rasn_ldap as theirs;
use theirs::{LdapString, ProtocolOp};

fn string(text: &str) -> LdapString {
    LdapString(text.to_owned())
}

fn octets(bytes: &[u8]) -> OctetString {
    bytes.into()
}

fn optional<B: AsRef<[u8]>>(bytes: &Option<B>) -> Option<OctetString> {
    bytes.as_ref().map(|bytes| octets(bytes.as_ref()))
}

fn name(name: &Option<Text>) -> Option<OctetString> {
    name.as_ref().map(|name| octets(name.as_bytes()))
}

fn values(attribute: &Attribute) -> SetOf<OctetString> {
    SetOf::from_vec(attribute.values.iter().map(|value| octets(value)).collect())
}

fn partial(attribute: &Attribute) -> theirs::PartialAttribute {
    theirs::PartialAttribute::new(string(&attribute.name), values(attribute))
}

fn assertion(attribute: &str, value: &[u8]) -> theirs::AttributeValueAssertion {
    theirs::AttributeValueAssertion::new(string(attribute), octets(value))
}

/// The same filter.
pub(crate) fn filter(ours: &Filter) -> theirs::Filter {
    match ours {
        Filter::And(list) => theirs::Filter::And(SetOf::from_vec(list.iter().map(filter).collect())),
        Filter::Or(list) => theirs::Filter::Or(SetOf::from_vec(list.iter().map(filter).collect())),
        Filter::Not(inner) => theirs::Filter::Not(Box::new(filter(inner))),
        Filter::Equality { attribute, value } => theirs::Filter::EqualityMatch(assertion(attribute, value)),
        Filter::GreaterOrEqual { attribute, value } => {
            theirs::Filter::GreaterOrEqual(assertion(attribute, value))
        }
        Filter::LessOrEqual { attribute, value } => theirs::Filter::LessOrEqual(assertion(attribute, value)),
        Filter::Approx { attribute, value } => theirs::Filter::ApproxMatch(assertion(attribute, value)),
        Filter::Present(attribute) => theirs::Filter::Present(string(attribute)),
        Filter::Substrings {
            attribute,
            initial,
            any,
            last,
        } => {
            let mut pieces = Vec::new();
            pieces.extend(
                initial
                    .iter()
                    .map(|piece| theirs::SubstringChoice::Initial(octets(piece))),
            );
            pieces.extend(
                any.iter()
                    .map(|piece| theirs::SubstringChoice::Any(octets(piece))),
            );
            pieces.extend(
                last.iter()
                    .map(|piece| theirs::SubstringChoice::Final(octets(piece))),
            );
            theirs::Filter::Substrings(theirs::SubstringFilter::new(string(attribute), pieces))
        }
        Filter::Extensible {
            rule,
            attribute,
            value,
            dn_attributes,
        } => theirs::Filter::ExtensibleMatch(theirs::MatchingRuleAssertion::new(
            rule.as_deref().map(string),
            attribute.as_deref().map(string),
            octets(value),
            *dn_attributes,
        )),
    }
}

fn search(ours: &Search) -> theirs::SearchRequest {
    theirs::SearchRequest::new(
        string(&ours.base),
        match ours.scope {
            Scope::Base => theirs::SearchRequestScope::BaseObject,
            Scope::OneLevel => theirs::SearchRequestScope::SingleLevel,
            Scope::Subtree => theirs::SearchRequestScope::WholeSubtree,
        },
        match ours.deref_aliases {
            DerefAliases::Never => theirs::SearchRequestDerefAliases::NeverDerefAliases,
            DerefAliases::InSearching => theirs::SearchRequestDerefAliases::DerefInSearching,
            DerefAliases::FindingBase => theirs::SearchRequestDerefAliases::DerefFindingBaseObj,
            DerefAliases::Always => theirs::SearchRequestDerefAliases::DerefAlways,
        },
        ours.size_limit,
        ours.time_limit,
        ours.types_only,
        filter(&ours.filter),
        ours.attributes
            .iter()
            .map(|attribute| string(attribute))
            .collect(),
    )
}

/// The same request. None for an increment, which they do not know.
pub(crate) fn request(ours: &Message<Request>) -> Option<theirs::LdapMessage> {
    let operation = match &ours.operation {
        Request::Bind(bind) => ProtocolOp::BindRequest(theirs::BindRequest::new(
            3,
            string(&bind.name),
            match &bind.authentication {
                Authentication::Simple(password) => {
                    theirs::AuthenticationChoice::Simple(octets(password.expose()))
                }
                Authentication::Sasl {
                    mechanism,
                    credentials,
                } => {
                    let credentials = credentials.as_ref().map(|secret| octets(secret.expose()));
                    theirs::AuthenticationChoice::Sasl(theirs::SaslCredentials::new(
                        string(mechanism),
                        credentials,
                    ))
                }
            },
        )),
        Request::Unbind => ProtocolOp::UnbindRequest(theirs::UnbindRequest),
        Request::Search(ours) => ProtocolOp::SearchRequest(search(ours)),
        Request::Modify(modify) => {
            let change = |change: &ldap::Modification| {
                let operation = match change.operation {
                    ModifyOperation::Add => theirs::ChangeOperation::Add,
                    ModifyOperation::Delete => theirs::ChangeOperation::Delete,
                    ModifyOperation::Replace => theirs::ChangeOperation::Replace,
                    ModifyOperation::Increment => return None,
                };
                Some(theirs::ModifyRequestChanges {
                    operation,
                    modification: partial(&change.attribute),
                })
            };
            let changes = modify.changes.iter().map(change).collect::<Option<Vec<_>>>()?;
            ProtocolOp::ModifyRequest(theirs::ModifyRequest {
                object: string(&modify.dn),
                changes,
            })
        }
        Request::Add(add) => ProtocolOp::AddRequest(theirs::AddRequest {
            entry: string(&add.dn),
            attributes: add
                .attributes
                .iter()
                .map(|attribute| theirs::Attribute::new(string(&attribute.name), values(attribute)))
                .collect(),
        }),
        Request::Delete(dn) => ProtocolOp::DelRequest(theirs::DelRequest(string(dn))),
        Request::ModifyDn(ours) => ProtocolOp::ModDnRequest(theirs::ModifyDnRequest {
            entry: string(&ours.dn),
            new_rdn: string(&ours.new_rdn),
            delete_old_rdn: ours.delete_old_rdn,
            new_superior: ours.new_superior.as_deref().map(string),
        }),
        Request::Compare(ours) => ProtocolOp::CompareRequest(theirs::CompareRequest {
            entry: string(&ours.dn),
            ava: assertion(&ours.attribute, &ours.value),
        }),
        Request::Abandon(id) => ProtocolOp::AbandonRequest(theirs::AbandonRequest(id.get())),
        Request::Extended(ours) => ProtocolOp::ExtendedReq(theirs::ExtendedRequest {
            request_name: octets(ours.name.as_bytes()),
            request_value: optional(&ours.value),
        }),
    };
    Some(message(ours, operation))
}

/// The same response. None when its result code is one they do not know.
pub(crate) fn response(ours: &Message<Response>) -> Option<theirs::LdapMessage> {
    let operation = match &ours.operation {
        Response::Bind(bind) => {
            let inner = result(&bind.result)?;
            ProtocolOp::BindResponse(theirs::BindResponse::new(
                inner.result_code,
                inner.matched_dn,
                inner.diagnostic_message,
                inner.referral,
                optional(&bind.server_sasl_credentials),
            ))
        }
        Response::SearchEntry(entry) => ProtocolOp::SearchResEntry(theirs::SearchResultEntry::new(
            string(&entry.dn),
            entry.attributes.iter().map(partial).collect(),
        )),
        Response::SearchReference(uris) => ProtocolOp::SearchResRef(theirs::SearchResultReference(
            uris.iter().map(|uri| string(uri)).collect(),
        )),
        Response::SearchDone(ours) => ProtocolOp::SearchResDone(theirs::SearchResultDone(result(ours)?)),
        Response::Modify(ours) => ProtocolOp::ModifyResponse(theirs::ModifyResponse(result(ours)?)),
        Response::Add(ours) => ProtocolOp::AddResponse(theirs::AddResponse(result(ours)?)),
        Response::Delete(ours) => ProtocolOp::DelResponse(theirs::DelResponse(result(ours)?)),
        Response::ModifyDn(ours) => ProtocolOp::ModDnResponse(theirs::ModifyDnResponse(result(ours)?)),
        Response::Compare(ours) => ProtocolOp::CompareResponse(theirs::CompareResponse(result(ours)?)),
        Response::Extended(ours) => {
            let inner = result(&ours.result)?;
            ProtocolOp::ExtendedResp(theirs::ExtendedResponse {
                result_code: inner.result_code,
                matched_dn: inner.matched_dn,
                diagnostic_message: inner.diagnostic_message,
                referral: inner.referral,
                response_name: name(&ours.name),
                response_value: optional(&ours.value),
            })
        }
        Response::Intermediate(ours) => ProtocolOp::IntermediateResponse(theirs::IntermediateResponse {
            response_name: name(&ours.name),
            response_value: optional(&ours.value),
        }),
    };
    Some(message(ours, operation))
}

fn message<Op>(ours: &Message<Op>, operation: ProtocolOp) -> theirs::LdapMessage {
    let mut message = theirs::LdapMessage::new(ours.id.get(), operation);
    if !ours.controls.is_empty() {
        let control = |control: &ldap::Control| {
            theirs::Control::new(
                octets(control.oid.as_bytes()),
                control.critical,
                optional(&control.value),
            )
        };
        message.controls = Some(ours.controls.iter().map(control).collect());
    }
    message
}

fn result(ours: &LdapResult) -> Option<theirs::LdapResult> {
    // Their own decoder turns the number into their enumeration.
    let number = u8::try_from(ours.code.number()).ok()?;
    let code = rasn::ber::decode(&[0x0a, 1, number]).ok()?;
    let mut result = theirs::LdapResult::new(code, string(&ours.matched_dn), string(&ours.diagnostic));
    if !ours.referrals.is_empty() {
        result.referral = Some(ours.referrals.iter().map(|uri| string(uri)).collect());
    }
    Some(result)
}
