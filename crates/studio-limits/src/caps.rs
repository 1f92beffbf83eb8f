/// How much may go on at the same time; `None` = as much as anybody likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Sandboxes in all, those about to be made included.
    pub sandboxes: Option<u32>,
    /// Sessions of one subject that run.
    pub running_per_subject: Option<u32>,
}

/// How much goes on right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Sandboxes in all, those about to be made included.
    pub sandboxes: usize,
    /// Sessions that run of the subject that wants one more; 0 for one that nobody counts.
    pub running: usize,
}

/// Why there is no place for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The studio is full.
    #[error("there are {0} sandboxes, and no more may be made")]
    Sandboxes(u32),
    /// The subject is at its limit.
    #[error("{0} sessions of the same caller run, and no more may")]
    Running(u32),
}

impl Caps {
    /// Whether one more sandbox may be made.
    pub fn admit_sandbox(&self, load: Load) -> Result<(), Full> {
        admit(self.sandboxes, load.sandboxes, Full::Sandboxes)
    }

    /// Whether one more session may run.
    pub fn admit_run(&self, load: Load) -> Result<(), Full> {
        admit(self.running_per_subject, load.running, Full::Running)
    }

    /// Whether one more session may be made, with its sandbox.
    pub fn admit_session(&self, load: Load) -> Result<(), Full> {
        self.admit_sandbox(load)?;
        self.admit_run(load)
    }
}

fn admit(max: Option<u32>, now: usize, full: impl Fn(u32) -> Full) -> Result<(), Full> {
    match max {
        Some(max) if usize::try_from(max).is_ok_and(|max| max <= now) => Err(full(max)),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_is_given_and_the_one_after_it_is_not() {
        let caps = Caps { sandboxes: Some(2), running_per_subject: Some(1) };
        let load = |sandboxes, running| Load { sandboxes, running };
        assert_eq!(caps.admit_session(load(1, 0)), Ok(()));
        assert_eq!(caps.admit_session(load(2, 0)), Err(Full::Sandboxes(2)));
        assert_eq!(caps.admit_session(load(1, 1)), Err(Full::Running(1)));
        assert_eq!(caps.admit_run(load(9, 0)), Ok(()), "a run needs no further sandbox");
        assert_eq!(caps.admit_sandbox(load(1, 9)), Ok(()));
        assert_eq!(Caps::default().admit_session(load(usize::MAX, usize::MAX)), Ok(()));
        let none = Caps { sandboxes: Some(0), ..Caps::default() };
        assert_eq!(none.admit_session(load(0, 0)), Err(Full::Sandboxes(0)));
    }
}
