//! Files of any size and dirt, whose every byte is a function of a spec and of the byte's place: any part can be made
//! alone, in parallel, and checked later without the file.
//!
//! - [`Spec`]: profile, seed, length, compression and dirt; from the command line, from and to an object's metadata.
//! - [`Text`]: its text. `cycle`, `builder`: rows whose lengths come round, which is what makes it quick and its places known;
//!   `profile`, `sample`: what the rows look like; `dirt`: which are spoiled, and how; `random`: what they are drawn by.
//! - [`Expectation`]: what the processor must make of it.
//! - [`pack()`]: a text as a file, compressed or not; `output`: where the file goes; `command`: `loadtest generate` and
//!   `loadtest expect`.

mod builder;
pub(crate) mod command;
mod cycle;
mod dirt;
mod expect;
mod output;
mod pack;
mod profile;
mod random;
mod sample;
mod spec;
mod text;

pub use dirt::{Dirt, Kind};
pub use expect::{Expectation, Hashes, Reject};
pub use pack::pack;
pub use profile::Profile;
pub use sample::Sample;
pub use spec::{Compression, DEFAULT_BYTES, Length, Spec, SpecArgs};
pub use text::Text;
