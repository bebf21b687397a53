//! The Transaction Specification control (RFC 5805 section 2.2): this update is part of a transaction.

use bytes::Bytes;

use super::{Control, find_value};
use crate::ber::DecodeError;

/// The identifier of the transaction, as the server gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionSpecification(pub Bytes);

impl TransactionSpecification {
    /// The OID.
    pub const OID: &'static str = "1.3.6.1.1.21.2";

    /// The control, critical as RFC 5805 section 2.2 demands: outside of a transaction the update must not be done.
    #[must_use]
    pub fn to_control(&self) -> Control {
        Control::new(Self::OID).critical().with_value(self.0.clone())
    }

    /// Finds the control among others.
    pub fn find(controls: &[Control]) -> Result<Option<Self>, DecodeError> {
        Ok(find_value(controls, Self::OID)?.cloned().map(Self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_the_identifier() {
        let specification = TransactionSpecification(Bytes::from_static(b"t1"));
        let control = specification.to_control();
        assert!(control.critical);
        assert_eq!(control.value.as_deref(), Some(b"t1".as_slice()));
        assert_eq!(
            TransactionSpecification::find(&[control]),
            Ok(Some(specification))
        );
        assert!(TransactionSpecification::find(&[Control::new(TransactionSpecification::OID)]).is_err());
    }
}
