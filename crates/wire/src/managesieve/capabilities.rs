//! The capability list (RFC 5804 section 1.7).

use super::response::write_server_string;

/// Announced where claims about the client are taken (Dovecot).
pub const XCLIENT: &str = "XCLIENT";
const UNAUTHENTICATE: &str = "UNAUTHENTICATE";

/// What a server can do in its present state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Who made the server.
    pub implementation: String,
    /// SASL mechanisms that can be used now, upper case.
    pub sasl: Vec<String>,
    /// Sieve extensions that scripts may require.
    pub sieve: Vec<String>,
    /// STARTTLS is allowed now.
    pub starttls: bool,
    /// Of the protocol; empty for servers from before RFC 5804.
    pub version: String,
    /// XCLIENT is taken.
    pub xclient: bool,
    /// A client may log in again on the same connection (RFC 5804 section 2.14.1).
    pub unauthenticate: bool,
}

impl Capabilities {
    /// Takes one line of the list. Those that mean nothing to us are passed over.
    pub fn add(&mut self, line: &[Vec<u8>]) {
        let mut strings = line.iter().map(|text| String::from_utf8_lossy(text));
        let name = strings.next().unwrap_or_default().to_ascii_uppercase();
        let value = strings.next().unwrap_or_default();
        let words = || value.split_ascii_whitespace();
        match name.as_str() {
            "IMPLEMENTATION" => self.implementation = value.into_owned(),
            "SASL" => self.sasl = words().map(str::to_ascii_uppercase).collect(),
            "SIEVE" => self.sieve = words().map(str::to_owned).collect(),
            "STARTTLS" => self.starttls = true,
            "VERSION" => self.version = value.into_owned(),
            XCLIENT => self.xclient = true,
            UNAUTHENTICATE => self.unauthenticate = true,
            _ => {}
        }
    }

    /// Appends the list, one line each. The status response that ends it is not part of it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        // RFC 5804 section 1.7: IMPLEMENTATION, SASL and SIEVE are always there, VERSION from this version on.
        let lines = [
            ("IMPLEMENTATION", Some(self.implementation.clone())),
            ("VERSION", Some(self.version.clone())),
            ("SASL", Some(self.sasl.join(" "))),
            ("SIEVE", Some(self.sieve.join(" "))),
        ];
        let flags = [
            ("STARTTLS", self.starttls),
            (XCLIENT, self.xclient),
            (UNAUTHENTICATE, self.unauthenticate),
        ];
        let flags = flags
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| (name, None));
        for (name, value) in lines.into_iter().chain(flags) {
            write_server_string(out, name.as_bytes());
            if let Some(value) = value {
                out.push(b' ');
                write_server_string(out, value.as_bytes());
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}
