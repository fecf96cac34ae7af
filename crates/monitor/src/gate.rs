use std::time::Duration;

use bitcraps_types::{Ratio, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::four_digits;

/// When bets are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateConfig {
    /// Bets pause when the risk is above this.
    pub pause: Ratio,
    /// They go on once the risk is at or below this, and stays there.
    pub resume: Ratio,
    /// For so long.
    pub calm: Duration,
}

impl GateConfig {
    /// The risk at which bets go on that pause above `pause`, unless it is said: three quarters of it.
    pub fn resume_of(pause: Ratio) -> Ratio {
        Ratio::clamped(four_digits(pause.get() * 0.75).min(pause.get()))
    }
}

impl Default for GateConfig {
    /// Above 0.8, and on again after ten seconds at 0.6 or below.
    fn default() -> Self {
        let pause = Ratio::clamped(0.8);
        Self { pause, resume: Self::resume_of(pause), calm: Duration::from_secs(10) }
    }
}

/// Whether a table takes bets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Betting {
    /// It does.
    Open,
    /// Its players may be parted before a bet is settled.
    Paused,
}

/// The betting gate of a table: pauses bets while its players are likely to be parted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gate {
    config: GateConfig,
    betting: Betting,
    /// Since when the risk has been low while paused.
    calm_since: Option<Timestamp>,
}

impl Gate {
    /// Open.
    pub const fn new(config: GateConfig) -> Self {
        Self { config, betting: Betting::Open, calm_since: None }
    }

    /// Other thresholds from now on; what is paused stays so until a risk says otherwise.
    pub const fn configure(&mut self, config: GateConfig) {
        self.config = config;
    }

    /// Takes up the risk that the players are parted, 0 to 1; what is no number counts as certain.
    /// Gives the state when it has changed.
    pub fn update(&mut self, risk: f64, now: Timestamp) -> Option<Betting> {
        let risk = if risk.is_nan() { 1.0 } else { risk };
        let before = self.betting;
        if risk > self.config.pause.get() {
            (self.betting, self.calm_since) = (Betting::Paused, None);
        } else if risk > self.config.resume.get() {
            self.calm_since = None;
        } else if self.betting == Betting::Paused {
            let since = *self.calm_since.get_or_insert(now);
            if now >= since + self.config.calm {
                (self.betting, self.calm_since) = (Betting::Open, None);
            }
        }
        (self.betting != before).then_some(self.betting)
    }

    /// Whether bets are taken.
    pub const fn betting(&self) -> Betting {
        self.betting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bets_pause_at_once_and_go_on_after_a_calm() {
        let mut gate = Gate::new(GateConfig::default());
        use Betting::{Open, Paused};
        for (second, risk, change, state) in [
            (0, 0.8, None, Open),
            (1, 0.81, Some(Paused), Paused),
            (2, 0.7, None, Paused),
            (3, 0.6, None, Paused),
            (12, 0.0, None, Paused),
            (13, 0.61, None, Paused),
            (14, 0.6, None, Paused),
            (23, 0.1, None, Paused),
            (24, 0.1, Some(Open), Open),
            (25, f64::NAN, Some(Paused), Paused),
        ] {
            let at = Timestamp::from_millis(second * 1_000);
            assert_eq!((gate.update(risk, at), gate.betting()), (change, state), "at {second}");
        }
        // Other thresholds hold for what is paused already.
        let ratio = Ratio::clamped;
        gate.configure(GateConfig {
            pause: ratio(0.3),
            resume: ratio(0.2),
            calm: Duration::from_secs(1),
        });
        for (second, risk, state) in
            [(30, 0.21, Paused), (31, 0.2, Paused), (32, 0.2, Open), (33, 0.31, Paused)]
        {
            gate.update(risk, Timestamp::from_millis(second * 1_000));
            assert_eq!(gate.betting(), state, "at {second}");
        }
    }
}
