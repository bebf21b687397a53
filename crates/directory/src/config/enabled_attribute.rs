//! Which attribute switches a login off, for consumers that must tell "absent" from "on".

use super::{AttributesConfig, ServerType};

impl AttributesConfig {
    /// The name of the attribute behind `enabled`.
    #[must_use]
    pub fn enabled_attribute(&self, server: ServerType) -> String {
        self.resolve(server).enabled.attribute
    }
}
