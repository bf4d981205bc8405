//! Faults at given rates: which, how often, and how they are told on the command line.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What can be made to go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A request is refused with 503.
    Unavailable,
    /// A request is carried out, and the connection closed instead of its answer.
    Lost,
    /// An answer's body breaks off.
    Torn,
    /// An answer comes late.
    Slow,
    /// The process that makes a request is killed, before or after the request is carried out.
    Kill,
    /// A file's event, and its message, come again.
    Duplicate,
    /// A file's event comes again after a newer file has come under its key.
    Disorder,
}

/// All of them, with their names and the rates of `default`.
const FAULTS: [(Fault, &str, f64); 7] = [
    (Fault::Unavailable, "unavailable", 0.03),
    (Fault::Lost, "lost", 0.01),
    (Fault::Torn, "torn", 0.02),
    (Fault::Slow, "slow", 0.03),
    (Fault::Kill, "kill", 0.02),
    (Fault::Duplicate, "duplicate", 0.2),
    (Fault::Disorder, "disorder", 0.1),
];

impl Fault {
    /// As the command line and the document spell it.
    pub(crate) fn name(self) -> &'static str {
        FAULTS.iter().find(|(fault, ..)| *fault == self).map_or("", |(_, name, _)| name)
    }
}

/// A rate for each fault: of requests, or for the last two of files.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rates(BTreeMap<Fault, f64>);

impl Rates {
    /// By name, for the document.
    pub(crate) fn by_name(&self) -> BTreeMap<String, f64> {
        self.0.iter().map(|(fault, rate)| (fault.name().to_owned(), *rate)).collect()
    }

    fn of(&self, fault: Fault) -> f64 {
        self.0.get(&fault).copied().unwrap_or_default()
    }
}

/// A rate that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a fault and its rate; expected default, or names with rates from 0 to 1, such as torn=0.05, of {names}", names = names())]
pub(crate) struct RatesError(String);

fn names() -> String {
    FAULTS.map(|(_, name, _)| name).join(", ")
}

impl FromStr for Rates {
    type Err = RatesError;

    fn from_str(text: &str) -> Result<Self, RatesError> {
        let mut rates = BTreeMap::new();
        for item in text.split(',').map(str::trim) {
            if item == "default" {
                rates.extend(FAULTS.map(|(fault, _, rate)| (fault, rate)));
                continue;
            }
            let wrong = || RatesError(item.to_owned());
            let (name, rate) = item.split_once('=').ok_or_else(wrong)?;
            let fault = FAULTS.iter().find(|(_, known, _)| *known == name).map(|(fault, ..)| *fault);
            let rate = rate.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
            rates.insert(fault.ok_or_else(wrong)?, rate.ok_or_else(wrong)?);
        }
        Ok(Self(rates))
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<String> =
            self.0.iter().map(|(fault, rate)| format!("{}={rate}", fault.name())).collect();
        f.write_str(&items.join(","))
    }
}

/// Decides, request by request and file by file, and counts what was done.
#[derive(Debug)]
pub(crate) struct Chaos {
    rates: Rates,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    injected: BTreeMap<String, u64>,
}

impl Chaos {
    /// With these rates; the same seed gives the same decisions for the same questions.
    pub(crate) fn new(rates: Rates, seed: u64) -> Self {
        let state = State { random: fastrand::Rng::with_seed(seed), injected: BTreeMap::new() };
        Self { rates, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any fault can come.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.rates.0.values().any(|rate| *rate > 0.0)
    }

    /// Whether this fault is due now.
    pub(crate) fn is_due(&self, fault: Fault) -> bool {
        let rate = self.rates.of(fault);
        rate > 0.0 && self.state().random.f64() < rate
    }

    /// A number below `end`, for how a fault is played.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.state().random.u64(..end.max(1))
    }

    /// Counts a fault that was injected.
    pub(crate) fn count(&self, fault: Fault) {
        *self.state().injected.entry(fault.name().to_owned()).or_default() += 1;
    }

    /// How often each fault was injected.
    pub(crate) fn injected(&self) -> BTreeMap<String, u64> {
        self.state().injected.clone()
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that were set, not computed")]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written() {
        let rates: Rates = "default,torn=0.5".parse().unwrap();
        assert_eq!(rates.of(Fault::Torn), 0.5);
        assert_eq!(rates.of(Fault::Unavailable), 0.03);
        assert_eq!(rates.to_string().parse::<Rates>().unwrap(), rates);
        assert_eq!(rates.by_name().len(), FAULTS.len());
        assert_eq!("kill=1".parse::<Rates>().unwrap().of(Fault::Torn), 0.0);
    }

    #[test]
    fn what_is_no_rate_is_named() {
        for wrong in ["", "torn", "torn=2", "torn=-1", "torn=x", "flood=0.1"] {
            let error = wrong.parse::<Rates>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{wrong:?} is not a fault")), "{error}");
        }
    }

    #[test]
    fn faults_come_as_often_as_asked_for() {
        let chaos = Chaos::new("torn=0.25,kill=1".parse().unwrap(), 7);
        let torn = (0..4000).filter(|_| chaos.is_due(Fault::Torn)).count();
        assert!((900..1100).contains(&torn), "{torn}");
        assert!((0..100).all(|_| chaos.is_due(Fault::Kill)));
        assert!((0..100).all(|_| !chaos.is_due(Fault::Slow)));
        chaos.count(Fault::Kill);
        assert_eq!(chaos.injected(), [("kill".to_owned(), 1)].into());
    }
}
