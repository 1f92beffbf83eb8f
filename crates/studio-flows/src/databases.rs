//! Databases that a person may claim: made before a session is told of one.

use studio_electric::{ClaimId, Claimable, ElectricError};

use crate::{FlowError, Studio, inner::Inner, words::Infra};

impl Studio {
    /// Makes a database that a person may claim; takes up to a minute. Who drops this gives it up:
    /// what was begun goes by itself after three days. Each call makes another one, outside of the
    /// studio, so who lets others call this bounds how often.
    ///
    /// Errors: [`FlowError::NoDatabases`], [`FlowError::Database`], [`FlowError::Stopping`].
    pub async fn provision_database(&self) -> Result<Claimable, FlowError> {
        let inner = self.inner();
        let databases = inner.parts.databases.as_ref().ok_or(FlowError::NoDatabases)?;
        databases.provision(&inner.stop).await.map_err(|source| {
            if matches!(source, ElectricError::Cancelled) {
                return inner.stopping();
            }
            FlowError::Database(source)
        })
    }
}

impl Inner {
    /// Where a person claims the database of a choice, if it is one to claim.
    pub(crate) fn claim_link(&self, infra: &Infra) -> Option<String> {
        let Infra::Cloud { claim_id: Some(claim), .. } = infra else { return None };
        // What is no claim's id has no page.
        let claim = ClaimId::new(claim)?;
        Some(self.parts.databases.as_ref()?.claim_url(&claim))
    }
}
