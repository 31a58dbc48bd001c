//! All threads or one: decided by what runs take.
//!
//! In: the seconds of each run. Out: whether the next one uses all threads. Results are the same bits either way, so the
//! choice may follow the machine: when another process holds a core, threads that wait for each other at barriers are
//! several times slower than one thread alone.

/// Runs between trials of the other way.
const BETWEEN: u32 = 256;
/// Runs before the first trial.
const FIRST: u32 = 24;
/// Runs of a trial; the first warms caches and wakes threads, and does not count.
const TRIAL: u32 = 3;

/// The choice for one entry.
pub struct Pace {
    parallel: bool,
    fixed: bool,
    /// Seconds of a run the present way, smoothed.
    usual: f64,
    /// Runs until the next trial, then runs left of it.
    until: u32,
    trial: u32,
    sum: f64,
}

impl Pace {
    /// Begins with all threads if `parallel`; otherwise there is nothing to choose.
    pub fn new(parallel: bool) -> Pace {
        Pace { parallel, fixed: !parallel, usual: 0.0, until: FIRST, trial: 0, sum: 0.0 }
    }

    /// Always this way.
    pub fn fix(parallel: bool) -> Pace {
        Pace { fixed: true, ..Pace::new(parallel) }
    }

    /// Does the next run use all threads?
    pub fn parallel(&self) -> bool {
        self.parallel != (self.trial > 0)
    }

    /// Is there anything to choose?
    pub fn open(&self) -> bool {
        !self.fixed
    }

    /// A run took that long.
    pub fn took(&mut self, seconds: f64) {
        if self.fixed {
            return;
        }
        if self.trial > 0 {
            self.trial -= 1;
            if self.trial < TRIAL - 1 {
                self.sum += seconds;
            }
            if self.trial == 0 {
                let other = self.sum / f64::from(TRIAL - 1);
                // A clear gain only: trials are short.
                if other < 0.85 * self.usual {
                    self.parallel = !self.parallel;
                    self.usual = other;
                }
                self.until = BETWEEN;
            }
            return;
        }
        // One run that was interrupted for long must not decide.
        let seconds = if self.usual > 0.0 { seconds.min(4.0 * self.usual) } else { seconds };
        self.usual = if self.usual > 0.0 { self.usual + (seconds - self.usual) / 8.0 } else { seconds };
        self.until = self.until.saturating_sub(1);
        if self.until == 0 {
            (self.trial, self.sum) = (TRIAL, 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `n` times with these durations; how many used all threads.
    fn drive(p: &mut Pace, n: u32, all: f64, one: f64) -> u32 {
        let mut used = 0;
        for _ in 0..n {
            let parallel = p.parallel();
            used += u32::from(parallel);
            p.took(if parallel { all } else { one });
        }
        used
    }

    #[test]
    fn follows_what_is_faster() {
        let mut p = Pace::new(true);
        assert!(drive(&mut p, 2000, 1.0, 1.9) > 1960);
        // A busy machine, then a quiet one.
        assert!(drive(&mut p, 2000, 6.0, 1.9) < 400);
        assert!(drive(&mut p, 2000, 1.0, 1.9) > 1600);
    }

    #[test]
    fn one_long_interruption_changes_nothing() {
        let mut p = Pace::new(true);
        drive(&mut p, FIRST - 1, 1.0, 1.9);
        p.took(1000.0);
        assert!(drive(&mut p, 200, 1.0, 1.9) > 190);
    }

    #[test]
    fn stays_where_it_is_fixed() {
        assert_eq!(drive(&mut Pace::fix(true), 1000, 9.0, 1.0), 1000);
        assert_eq!(drive(&mut Pace::new(false), 1000, 1.0, 9.0), 0);
    }
}
