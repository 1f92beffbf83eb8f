/// What a session may spend, and has. US dollars.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    limit_usd: Option<f64>,
    spent_usd: f64,
}

impl Budget {
    /// The smaller of two limits, of which either may be absent. What is no amount of money
    /// (negative, not a number) allows nothing as a limit and counts as nothing as spent.
    pub fn new(server: Option<f64>, own: Option<f64>, spent_usd: Option<f64>) -> Self {
        let amount = |usd: f64| if 0.0 <= usd { usd } else { 0.0 };
        let limit_usd = match (server.map(amount), own.map(amount)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { limit_usd, spent_usd: spent_usd.map_or(0.0, amount) }
    }

    /// What may be spent in all; `None` = no limit.
    pub fn limit_usd(&self) -> Option<f64> {
        self.limit_usd
    }

    /// What was spent so far.
    pub fn spent_usd(&self) -> f64 {
        self.spent_usd
    }

    /// What is left, never less than nothing; `None` = no limit.
    pub fn left_usd(&self) -> Option<f64> {
        self.limit_usd.map(|limit| (limit - self.spent_usd).max(0.0))
    }

    /// Whether a run may begin: there is something left to spend.
    pub fn allows_a_run(&self) -> bool {
        self.left_usd().is_none_or(|left| 0.0 < left)
    }

    /// Whether more was spent than may be: a run that goes on is stopped.
    pub fn is_exceeded(&self) -> bool {
        self.limit_usd.is_some_and(|limit| limit < self.spent_usd)
    }

    /// The same budget after so much more.
    #[must_use]
    pub fn after(self, more_usd: f64) -> Self {
        let more = if 0.0 <= more_usd { more_usd } else { 0.0 };
        Self { spent_usd: self.spent_usd + more, ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn d30_61_a_run_begins_with_money_left_and_stops_beyond_the_limit() {
        let budget = Budget::new(Some(5.0), Some(2.0), None);
        assert_eq!(budget.left_usd(), Some(2.0));
        assert!(budget.allows_a_run());
        let spent = budget.after(2.0);
        assert!(!spent.allows_a_run() && !spent.is_exceeded(), "spent to the last cent");
        let over = spent.after(0.001);
        assert!(over.is_exceeded() && over.left_usd() == Some(0.0));
        let raised = Budget::new(Some(5.0), Some(3.0), Some(over.spent_usd()));
        assert!(raised.allows_a_run() && !raised.is_exceeded());
    }

    #[test]
    fn without_a_limit_everything_may_be_spent() {
        let budget = Budget::new(None, None, Some(1e12));
        assert!(budget.allows_a_run() && !budget.is_exceeded() && budget.left_usd().is_none());
    }

    #[test]
    fn what_is_no_amount_of_money_gives_nothing_away() {
        for limit in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            assert!(!Budget::new(Some(limit), None, None).allows_a_run(), "{limit}");
        }
        for spent in [-1.0, f64::NAN] {
            let budget = Budget::new(Some(1.0), None, Some(spent)).after(f64::NAN).after(-5.0);
            assert_eq!(budget.left_usd(), Some(1.0), "{spent}");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_never_grows_by_spending(limit in 0.0..100.0, spends in prop::collection::vec(0.0..10.0, 0..20)) {
            let mut budget = Budget::new(Some(limit), None, None);
            for more in spends {
                let next = budget.after(more);
                prop_assert!(next.left_usd() <= budget.left_usd());
                prop_assert!(!next.is_exceeded() || !next.allows_a_run());
                budget = next;
            }
        }
    }
}
