//! What the administrator's book shows is typed as it stands there, against real directories.

mod disaster;
mod examples;
mod sync;
mod transcript;
