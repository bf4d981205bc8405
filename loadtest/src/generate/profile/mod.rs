//! What rows look like.

mod events;
mod narrow;
mod orders;
mod taxi;
mod wide;

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{bail, ensure};

use super::builder::{Builder, PoolId, Salt};
use super::cycle::Cycle;
use super::sample::Sample;

/// What the rows look like.
#[derive(Debug, Clone, PartialEq)]
pub enum Profile {
    /// Taxi trips as New York publishes them, with a number in front: 20 columns of times, numbers and codes.
    Taxi,
    /// Orders: names and addresses in many scripts, quotes, commas and line ends in fields.
    Orders,
    /// 1,000 columns of numbers, words and nothing.
    Wide,
    /// Two numbers.
    Narrow,
    /// Events with JSON in a field.
    Events,
    /// Rows like those of a sample.
    Sample(Arc<Sample>),
}

const NAMED: [(&str, Profile); 5] = [
    ("taxi", Profile::Taxi),
    ("orders", Profile::Orders),
    ("wide", Profile::Wide),
    ("narrow", Profile::Narrow),
    ("events", Profile::Events),
];

/// A profile's header, with its line end, and its rows.
pub(super) struct Plan {
    pub(super) header: Vec<u8>,
    pub(super) cycle: Cycle,
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, profile)| profile.clone()).ok_or_else(|| {
            format!("{name:?} is no profile: there are taxi, orders, wide, narrow and events, and --from SAMPLE.csv")
        })
    }
}

impl Profile {
    /// As metadata has it: for a sample, it says which.
    pub fn name(&self) -> &str {
        match self {
            Self::Sample(sample) => sample.name(),
            named => NAMED.iter().find(|(_, known)| known == named).map_or("", |(name, _)| name),
        }
    }

    /// The profile of this name; `sample` is the one there is.
    pub(super) fn named(name: &str, sample: Option<&Sample>) -> anyhow::Result<Self> {
        if let Ok(profile) = name.parse() {
            return Ok(profile);
        }
        ensure!(name.starts_with("sample:"), "{name:?} is no profile");
        match sample {
            None => bail!("the rows are like those of a sample, {name}: say where it lies by --from"),
            Some(sample) if sample.name() != name => {
                bail!("the rows are like those of {name}, and the sample given is {}", sample.name())
            }
            Some(sample) => Ok(Self::Sample(Arc::new(sample.clone()))),
        }
    }

    pub(super) fn plan(&self, seed: u64) -> anyhow::Result<Plan> {
        Ok(match self {
            Self::Taxi => taxi::plan(seed),
            Self::Orders => orders::plan(seed),
            Self::Wide => wide::plan(seed),
            Self::Narrow => narrow::plan(seed),
            Self::Events => events::plan(seed),
            Self::Sample(sample) => sample.plan(seed)?,
        })
    }
}

/// Rows that are built one after the other.
fn repeat(header: &str, rows: usize, mut builder: Builder, mut row: impl FnMut(&mut Builder)) -> Plan {
    for _ in 0..rows {
        row(&mut builder);
        builder.end_row();
    }
    Plan { header: [header.as_bytes(), b"\n"].concat(), cycle: builder.build() }
}

/// The days of a year, and its times of day.
struct Times {
    days: PoolId,
    minutes: PoolId,
    /// Some minutes after each of `minutes`.
    minutes_later: PoolId,
    /// 00 to 59.
    seconds: PoolId,
}

/// What a time was drawn by: its day, and its minute of the day.
#[derive(Clone, Copy)]
struct Drawn(Salt, Salt);

impl Times {
    fn new(builder: &mut Builder) -> Self {
        const MONTHS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        // So late that what comes up to 75 minutes later is on the same day.
        const MINUTES: usize = 22 * 60;
        let days = (1u32..).zip(MONTHS).flat_map(|(month, days)| {
            (1..=days).flat_map(move |day| format!("2025-{month:02}-{day:02}").into_bytes())
        });
        let clock = |minute: usize| format!("{:02}:{:02}", minute / 60, minute % 60).into_bytes();
        Self {
            days: builder.pool(10, days),
            minutes: builder.pool(5, (0..MINUTES).flat_map(clock)),
            // As irregular as journeys are, without another random number.
            minutes_later: builder
                .pool(5, (0..MINUTES).flat_map(|minute| clock(minute + 3 + minute * minute % 71))),
            seconds: builder.pool(2, (0..60).flat_map(|second| format!("{second:02}").into_bytes())),
        }
    }

    /// A time, with `between` between day and time of day.
    fn time(&self, builder: &mut Builder, between: &str) -> Drawn {
        let day = builder.slot(self.days);
        builder.text(between);
        let minute = builder.slot(self.minutes);
        builder.text(":");
        builder.slot(self.seconds);
        Drawn(day, minute)
    }

    /// A time some minutes after another of the row.
    fn later(&self, builder: &mut Builder, between: &str, Drawn(day, minute): Drawn) {
        builder.slot_as(self.days, day);
        builder.text(between);
        builder.slot_as(self.minutes_later, minute);
        builder.text(":");
        builder.slot(self.seconds);
    }
}
