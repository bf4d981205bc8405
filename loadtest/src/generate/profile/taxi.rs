//! Taxi trips.

use super::{Builder, Plan, Times, repeat};

const HEADER: &str = "trip_id,vendor_id,pickup_at,dropoff_at,passenger_count,trip_distance,ratecode_id,\
    store_and_fwd_flag,pu_location_id,do_location_id,payment_type,fare_amount,extra,mta_tax,tip_amount,tolls_amount,\
    improvement_surcharge,total_amount,congestion_surcharge,airport_fee";

const ROWS: usize = 2048;

pub(super) fn plan(seed: u64) -> Plan {
    let mut builder = Builder::new(seed);
    let times = Times::new(&mut builder);
    let vendors = builder.pool(1, *b"1226");
    let passengers = builder.pool(1, *b"111111223456");
    let rates = builder.pool(1, *b"11111111111111112345");
    let flags = builder.pool(1, *b"NNNNNNNNNNNNNNNNNNNY");
    let payments = builder.pool(1, *b"1111222304");
    let zones = [(9, 1, 9), (90, 10, 99), (166, 100, 265)]
        .map(|(weight, from, to)| (weight, builder.numbers(from, to)));
    let extras = builder.words(&["0.0", "0.5", "1.0", "2.5", "3.5", "7.75", "10.25"]);
    let tolls = builder.words(&["0.0", "0.0", "0.0", "0.0", "0.0", "6.94", "13.38"]);
    let fees = builder.words(&["0.00", "0.00", "0.00", "1.75"]);
    repeat(HEADER, ROWS, builder, |row| {
        row.serial();
        row.next_field();
        row.slot(vendors);
        row.next_field();
        let pickup = times.time(row, " ");
        row.next_field();
        times.later(row, " ", pickup);
        row.next_field();
        row.slot(passengers);
        row.next_field();
        money(row, &[(80, 1), (20, 2)]);
        row.next_field();
        row.slot(rates);
        row.next_field();
        row.slot(flags);
        for _ in 0..2 {
            row.next_field();
            if let Some(zone) = row.random.weighed(&zones) {
                row.slot(zone);
            }
        }
        row.next_field();
        row.slot(payments);
        row.next_field();
        money(row, &[(30, 1), (65, 2), (5, 3)]);
        row.next_field();
        row.word(&extras);
        row.next_field();
        row.text("0.5");
        row.next_field();
        if row.random.chance(25) {
            row.text("0.0");
        } else {
            money(row, &[(90, 1), (10, 2)]);
        }
        row.next_field();
        row.word(&tolls);
        row.next_field();
        row.text("1.0");
        row.next_field();
        money(row, &[(5, 1), (85, 2), (10, 3)]);
        row.next_field();
        row.text("2.5");
        row.next_field();
        row.word(&fees);
    })
}

/// An amount with two decimals; before them so many digits, each as often as its weight says.
pub(super) fn money(row: &mut Builder, digits: &[(usize, usize)]) {
    let before = row.random.weighed(digits).unwrap_or(1);
    row.number(before);
    row.text(".");
    row.digits(2);
}
