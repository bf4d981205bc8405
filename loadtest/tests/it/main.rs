//! What the crate as a whole must hold.

mod generated;
mod run;
mod places;
mod sampled;
