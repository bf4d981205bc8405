//! Two numbers.

use super::{Builder, Plan, repeat};

const ROWS: usize = 8192;

pub(super) fn plan(seed: u64) -> Plan {
    repeat("id,value", ROWS, Builder::new(seed), |row| {
        row.serial();
        row.next_field();
        let digits = 2 + row.random.below(5);
        row.number(digits);
    })
}
