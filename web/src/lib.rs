//! Pages in a browser, served on loopback only. [`serve()`] is the server of all pages: it listens, keeps the [`Address`],
//! admits only clients that know it (`guard`) and ends on a [`Stop`]. A page is a module that makes a [`Page`]: [`label`].

mod address;
mod connection;
mod guard;
pub mod label;
mod server;

pub use address::Address;
pub use server::{Page, Stop, serve};
