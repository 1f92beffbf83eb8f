use std::time::Duration;

/// Where Electric Cloud is, and how patient to be.
#[derive(Clone, Debug)]
pub struct ElectricOptions {
    /// The claim API (`ELECTRIC_API_BASE_URL`). `http:` only to this machine.
    pub api: String,
    /// Where people claim (`ELECTRIC_DASHBOARD_URL`): links go there.
    pub dashboard: String,
    /// Where the sync service of every such database is.
    pub electric: String,
    /// How often a claim is looked at.
    pub attempts_max: u32,
    /// The wait between two looks.
    pub interval: Duration,
    /// Longest time that one request takes.
    pub attempt: Duration,
    /// Longest time that all of it takes.
    pub deadline: Duration,
}

impl Default for ElectricOptions {
    fn default() -> Self {
        Self {
            api: "https://dashboard.electric-sql.cloud/api".to_owned(),
            dashboard: "https://dashboard.electric-sql.cloud".to_owned(),
            electric: "https://api.electric-sql.cloud".to_owned(),
            attempts_max: 60,
            interval: Duration::from_secs(1),
            attempt: Duration::from_secs(10),
            deadline: Duration::from_secs(90),
        }
    }
}
