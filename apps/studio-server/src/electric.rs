use studio_electric::{ElectricCloud, ElectricOptions, SetupError};

use crate::{ConfigError, env::Env};

const API: &str = "ELECTRIC_API_BASE_URL";
const DASHBOARD: &str = "ELECTRIC_DASHBOARD_URL";

/// Where databases are made that a person may claim.
#[derive(Clone, Debug)]
pub struct ElectricChoice {
    /// Where the claim API is.
    pub api: String,
    /// Where people claim.
    pub dashboard: String,
}

impl ElectricChoice {
    /// Reads `ELECTRIC_API_BASE_URL` and `ELECTRIC_DASHBOARD_URL`.
    pub(crate) fn read(env: &Env<'_>) -> Result<Self, ConfigError> {
        let usual = ElectricOptions::default();
        let choice = Self {
            api: env.text(API).unwrap_or(usual.api),
            dashboard: env.text(DASHBOARD).unwrap_or(usual.dashboard),
        };
        // What an address lacks is told now; what stands in it may be a password.
        choice.client().map_err(|error| {
            let name = if matches!(error, SetupError::Dashboard(_)) { DASHBOARD } else { API };
            env.bad(name, "…", error.to_string())
        })?;
        Ok(choice)
    }

    /// The service itself; connects to nothing yet.
    pub(crate) fn client(&self) -> Result<ElectricCloud, SetupError> {
        let (api, dashboard) = (self.api.clone(), self.dashboard.clone());
        ElectricCloud::new(ElectricOptions { api, dashboard, ..ElectricOptions::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(all: &[(&str, &str)]) -> Result<ElectricChoice, String> {
        let find = |name: &str| {
            all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        ElectricChoice::read(&Env::new(find)).map_err(|error| error.to_string())
    }

    #[test]
    fn without_settings_it_is_electric_cloud() {
        let choice = read(&[]).unwrap();
        assert_eq!(choice.api, "https://dashboard.electric-sql.cloud/api");
        assert_eq!(choice.dashboard, "https://dashboard.electric-sql.cloud");
    }

    #[test]
    fn an_address_that_cannot_be_used_is_told_by_its_name_and_not_shown() {
        assert_eq!(read(&[(API, "http://127.0.0.1:7/api")]).unwrap().api, "http://127.0.0.1:7/api");
        for name in [API, DASHBOARD] {
            for bad in ["electric.example", "http://electric.example", "https://u:hunter2@x"] {
                let told = read(&[(name, bad)]).unwrap_err();
                assert!(told.starts_with(name) && !told.contains("hunter2"), "{told}");
            }
        }
    }
}
