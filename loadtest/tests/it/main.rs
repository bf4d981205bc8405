//! What the crate as a whole must hold.

mod generated;
mod places;
mod run;
mod sampled;
