//! The codec from outside: round trips, agreement with another implementation, and broken bytes; and the
//! client against a real slapd.

#![cfg(test)]

mod client;
mod differential;
mod generate;
mod mutated;
mod rasn_form;
mod round_trip;
mod slapd;
