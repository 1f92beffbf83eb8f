//! Databases that anybody may claim: provisioning of Electric Cloud's claimable sources.
