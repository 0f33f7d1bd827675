//! Pages in a browser, served on loopback alone. [`serve()`] is the one server: it listens, keeps the [`Address`], lets only
//! its holder in (`guard`) and ends on a [`Stop`]. A page is a module that makes a [`Page`]: [`label`].

mod address;
mod connection;
mod guard;
pub mod label;
mod server;

pub use address::Address;
pub use server::{Page, Stop, serve};
