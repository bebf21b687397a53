//! The codec from outside: round trips, agreement with another implementation, and broken bytes.

#![cfg(test)]

mod differential;
mod generate;
mod mutated;
mod rasn_form;
mod round_trip;
