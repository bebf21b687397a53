//! Instructions of the hot paths, counted by callgrind: the same number every time, whatever else the machine does.
//!
//! `cargo bench -p benches --bench instructions` (needs valgrind, and `cargo install gungraun-runner` with the version
//! in Cargo.lock). A second run prints the difference to the first.

#![allow(missing_docs, reason = "the macros make modules of their own")]
#![allow(clippy::expect_used, reason = "the inputs are constants of this file")]

use bytes::{Bytes, BytesMut};
use gungraun::{library_benchmark, library_benchmark_group, main};
use ldap::message::MessageId;
use ldap::{Dn, DnTemplate, Entry, Filter, FilterTemplate, Message, Response, Slots, Values};
use model::{Address, Clock, SystemClock};
use net::{Cached, TtlCache};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// An entry as a look-up gets it, encoded.
fn entry() -> Bytes {
    let value = |text: &str| Values::one(Bytes::copy_from_slice(text.as_bytes()));
    let mut classes = Values::none();
    for class in ["inetOrgPerson", "inetLocalMailRecipient", "homingAccount"] {
        classes.push(Bytes::copy_from_slice(class.as_bytes()));
    }
    let entry = Entry::new("uid=person0000017,ou=Users,o=localdomain,dc=localdomain,dc=test")
        .with("objectClass", classes)
        .with("cn", value("Person 17"))
        .with("mail", value("person0000017@localdomain.test"))
        .with("mailHost", value("store1.localdomain.test"))
        .with("mailLocalAddress", value("first.person0000017@localdomain.test"))
        .with("entryUUID", value("6f1c2a9e-5b7c-103e-8f3a-0123456789ab"))
        .with("entryCSN", value("20260101120000.123456Z#000000#001#000000"));
    let mut out = BytesMut::new();
    Message::new(MessageId::new(7).expect("an id"), Response::SearchEntry(entry)).encode(&mut out);
    out.freeze()
}

#[library_benchmark]
#[bench::entry(setup = entry)]
fn decode(bytes: Bytes) -> Message<Response> {
    black_box(Message::<Response>::decode(black_box(bytes)).expect("a message"))
}

fn filter_template() -> FilterTemplate {
    FilterTemplate::parse("(|(mail=%e)(mailLocalAddress=%e))").expect("a template")
}

const SLOTS: Slots<'static> = Slots {
    address: Some("person0000017@localdomain.test"),
    local_part: Some("person0000017"),
    domain: Some("localdomain.test"),
};

#[library_benchmark]
#[bench::address(setup = filter_template)]
fn fill_filter(template: FilterTemplate) -> Option<Filter> {
    black_box(template.fill(black_box(&SLOTS)))
}

fn dn_template() -> DnTemplate {
    DnTemplate::parse("uid=%u,ou=Users,o=localdomain,%D").expect("a template")
}

#[library_benchmark]
#[bench::person(setup = dn_template)]
fn fill_dn(template: DnTemplate) -> Option<Dn> {
    black_box(template.fill(black_box(&SLOTS)))
}

/// A full cache, and an address in it.
fn cache() -> (TtlCache<String, u64>, String) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut cache = TtlCache::new(clock, 10_000);
    for number in 0..10_000 {
        let key = format!("person{number:07}@localdomain.test");
        cache.insert(key, number, Duration::from_secs(300), Duration::from_secs(86_400));
    }
    (cache, "person0000017@localdomain.test".to_owned())
}

#[library_benchmark]
#[bench::fresh(setup = cache)]
fn cache_hit((cache, key): (TtlCache<String, u64>, String)) -> (bool, TtlCache<String, u64>) {
    let hit = matches!(cache.get(black_box(key.as_str())), Cached::Fresh(_));
    // Returned, or dropping ten thousand entries would be counted.
    (black_box(hit), cache)
}

#[library_benchmark]
#[bench::plain("Anna.Example@LocalDomain.test")]
fn address(text: &str) -> Address {
    black_box(Address::parse(black_box(text)).expect("an address"))
}

#[library_benchmark]
#[bench::fetch(
    b"a17 UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE)])"
)]
fn imap_command(line: &[u8]) -> wire::imap::Command {
    black_box(wire::imap::Command::parse(black_box(line)).expect("a command"))
}

library_benchmark_group!(
    name = directory,
    benchmarks = [decode, fill_filter, fill_dn, cache_hit, address]
);
library_benchmark_group!(name = protocols, benchmarks = [imap_command]);

main!(library_benchmark_groups = [directory, protocols]);
