//! What the library reads out of trees and blobs, with git as the judge: real repositories, real merges,
//! and trees that git would never write.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

#[path = "content/blobs.rs"]
mod blobs;
#[path = "content/bombs.rs"]
mod bombs;
#[path = "content/collecting.rs"]
mod collecting;
#[path = "content/differences.rs"]
mod differences;
#[path = "content/merges.rs"]
mod merges;
#[path = "content/refs.rs"]
mod refs;
#[path = "content/world.rs"]
mod world;
