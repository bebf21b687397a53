//! The capability list of CAPA (RFC 2449 section 6).

/// What a server can do in its present state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// USER and PASS are allowed now.
    pub user: bool,
    /// STLS is allowed now (RFC 2595 section 4).
    pub stls: bool,
    /// SASL mechanisms that AUTH takes now, upper case.
    pub sasl: Vec<String>,
    /// TOP is there.
    pub top: bool,
    /// UIDL is there.
    pub uidl: bool,
    /// Commands may be sent without waiting for replies.
    pub pipelining: bool,
    /// `[...]` after `-ERR` is a response code.
    pub resp_codes: bool,
    /// Every refused login says `[AUTH]` or `[SYS/...]` (RFC 3206 section 6).
    pub auth_resp_code: bool,
    /// XCLIENT is taken now (Dovecot's, which has it in the greeting only: a client certificate is shown later).
    pub xclient: bool,
    /// How long messages are kept: `NEVER` (removed) or days.
    pub expire: Option<String>,
    /// Who made the server.
    pub implementation: Option<String>,
}

impl Capabilities {
    /// Takes one line of the list.
    pub fn add_line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        let rest = || text.split_once(' ').map(|(_, rest)| rest.trim().to_owned());
        match keyword.as_str() {
            "USER" => self.user = true,
            "STLS" => self.stls = true,
            "SASL" => self.sasl = words.map(str::to_ascii_uppercase).collect(),
            "TOP" => self.top = true,
            "UIDL" => self.uidl = true,
            "PIPELINING" => self.pipelining = true,
            "RESP-CODES" => self.resp_codes = true,
            "AUTH-RESP-CODE" => self.auth_resp_code = true,
            "XCLIENT" => self.xclient = true,
            "EXPIRE" => self.expire = rest(),
            "IMPLEMENTATION" => self.implementation = rest(),
            _ => {}
        }
    }

    /// The lines of the list, without the status line before and the dot after them.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let flags = [
            ("TOP", self.top),
            ("UIDL", self.uidl),
            ("RESP-CODES", self.resp_codes),
            ("AUTH-RESP-CODE", self.auth_resp_code),
            ("PIPELINING", self.pipelining),
            ("USER", self.user),
            ("STLS", self.stls),
            ("XCLIENT", self.xclient),
        ];
        let mut lines: Vec<String> = flags
            .iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| (*name).to_owned())
            .collect();
        if !self.sasl.is_empty() {
            lines.push(format!("SASL {}", self.sasl.join(" ")));
        }
        lines.extend(self.expire.iter().map(|expire| format!("EXPIRE {expire}")));
        lines.extend(
            self.implementation
                .iter()
                .map(|name| format!("IMPLEMENTATION {name}")),
        );
        lines
    }
}
