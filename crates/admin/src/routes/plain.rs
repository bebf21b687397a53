//! What a library says of a request that it cannot read, in words for whoever typed the command.
//!
//! The libraries put their own name for the step before the cause and a place in the JSON text behind it. Nobody who typed
//! a command has seen that text, so both go; the field and the cause stay.

/// What stands before the cause.
const BEFORE: [&str; 4] = [
    "Failed to deserialize the JSON body into the target type: ",
    "Failed to parse the request body as JSON: ",
    "Failed to deserialize query string: ",
    "Invalid URL: ",
];
/// Causes in the words of a type system, and in ours.
const CAUSES: [(&str, &str); 7] = [
    ("invalid digit found in string", "this is no whole number"),
    (
        "cannot parse integer from empty string",
        "this is no whole number",
    ),
    (
        "number too large to fit in target type",
        "this number is too large",
    ),
    ("expected a sequence", "expected a list"),
    ("expected a string", "expected text"),
    ("expected a boolean", "expected true or false"),
    ("expected a map", "expected names with values"),
];

/// The plain sentence.
pub(super) fn text(raw: &str) -> String {
    let cause = BEFORE.iter().find_map(|before| raw.strip_prefix(before));
    // A malformed document is the fault of a program, and there the place is what helps.
    let malformed = raw.starts_with("Failed to parse the request body");
    let cause = cause.unwrap_or(raw);
    let cause = match cause.rsplit_once(" at line ") {
        Some((before, place)) if !malformed && is_place(place) => before,
        _ => cause,
    };
    let mut text = match malformed {
        true => format!("the request is no JSON: {cause}"),
        false => cause.to_owned(),
    };
    for (theirs, ours) in CAUSES {
        // Only what ends the sentence is the library's; before it stands what was typed.
        if let Some(kept) = text.strip_suffix(theirs) {
            text = format!("{kept}{ours}");
        }
    }
    text
}

/// `1 column 30`
fn is_place(text: &str) -> bool {
    text.split_once(" column ")
        .is_some_and(|(line, column)| line.parse::<u64>().is_ok() && column.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::{BEFORE, CAUSES, text};
    use crate::routes::{Asked, Body};
    use axum::Json;
    use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
    use axum::http::header::CONTENT_TYPE;
    use hyper_util::service::TowerToHyperService;
    use serde::de::DeserializeOwned;
    use std::collections::BTreeMap;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only how it fails is of interest")]
    struct Asking {
        address: Option<model::Address>,
        aliases: Option<Vec<String>>,
        limit: Option<u16>,
    }

    async fn body(json: &'static str) -> String {
        let request = Request::post("/")
            .header(CONTENT_TYPE, "application/json")
            .body(axum::body::Body::from(json))
            .expect("a request");
        let read = Body::<Asking>::from_request(request, &()).await;
        read.err().expect("refused").to_string()
    }

    /// Through the library, so that another release of it with other words is noticed here.
    #[tokio::test]
    async fn nothing_of_the_library_is_left() {
        let address = body(r#"{"address": "bob b@example.org"}"#).await;
        assert!(address.starts_with("address: "), "{address}");
        assert!(address.contains("bob b@example.org"), "{address}");
        for raw in ["deserialize", "target type", "at line"] {
            assert!(!address.contains(raw), "{address}");
        }
        let list = body(r#"{"aliases": "one"}"#).await;
        assert!(
            list.ends_with("expected a list") && list.starts_with("aliases: "),
            "{list}"
        );
        let malformed = body(r#"{"address" "#).await;
        assert!(malformed.starts_with("the request is no JSON: "), "{malformed}");
        assert!(malformed.contains("at line 1 column"), "{malformed}");

        let (mut parts, ()) = Request::get("/?limit=abc")
            .body(())
            .expect("a request")
            .into_parts();
        let read = Asked::<Asking>::from_request_parts(&mut parts, &()).await;
        let query = read.err().expect("refused").to_string();
        assert_eq!(query, "limit: this is no whole number");
    }

    /// What the library answers to a body, in its own words.
    async fn raw_body<T: DeserializeOwned>(json: &'static str) -> String {
        let request = Request::post("/")
            .header(CONTENT_TYPE, "application/json")
            .body(axum::body::Body::from(json))
            .expect("a request");
        let read = Json::<T>::from_request(request, &()).await;
        read.err().expect("refused").body_text()
    }

    /// What it answers to a query.
    async fn raw_query<T: DeserializeOwned>(target: &str) -> String {
        let (mut parts, ()) = Request::get(target).body(()).expect("a request").into_parts();
        let read = Query::<T>::from_request_parts(&mut parts, &()).await;
        read.err().expect("refused").body_text()
    }

    /// What it answers to a part of the path.
    async fn raw_path(target: &str) -> String {
        async fn never(_: Path<u16>) {}
        let routes = axum::Router::new().route("/{number}", axum::routing::get(never));
        let request = Request::get(target)
            .body(axum::body::Body::empty())
            .expect("a request");
        let service = TowerToHyperService::new(routes);
        let answer = hyper::service::Service::call(&service, request).await;
        let body = answer.expect("an answer").into_body();
        let bytes = axum::body::to_bytes(body, 4096).await.expect("a short body");
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    /// Each text that is looked for is one that the libraries say today. After an upgrade with other words this fails, and
    /// nobody has to find out from a terminal.
    #[tokio::test]
    async fn the_libraries_say_what_is_looked_for() {
        let said = [
            raw_body::<BTreeMap<String, Vec<u8>>>(r#"{"a": "b"}"#).await,
            raw_body::<BTreeMap<String, String>>(r#"{"a": 1}"#).await,
            raw_body::<BTreeMap<String, bool>>(r#"{"a": 1}"#).await,
            raw_body::<BTreeMap<String, BTreeMap<String, u8>>>(r#"{"a": 1}"#).await,
            raw_body::<BTreeMap<String, u8>>("{").await,
            raw_query::<BTreeMap<String, u16>>("/?limit=abc").await,
            raw_query::<BTreeMap<String, u16>>("/?limit=").await,
            raw_query::<BTreeMap<String, u16>>("/?limit=70000").await,
            raw_path("/abc").await,
        ];
        for before in BEFORE {
            let found = said.iter().find(|said| said.starts_with(before));
            let found = found.unwrap_or_else(|| panic!("{before:?} begins nothing of {said:#?}"));
            assert!(!text(found).starts_with(before), "{found}");
        }
        for (theirs, ours) in CAUSES {
            let found = said.iter().find(|said| cause(said).ends_with(theirs));
            let found = found.unwrap_or_else(|| panic!("{theirs:?} ends nothing of {said:#?}"));
            assert!(text(found).ends_with(ours), "{found}");
        }
    }

    /// Without the place, which stands behind the cause in a body.
    fn cause(said: &str) -> &str {
        said.split(" at line ").next().unwrap_or(said)
    }
}
