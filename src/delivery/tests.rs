//! The engine with a store and servers in memory, and a clock in the test's hand.

mod attachments;
mod breaker;
mod claims;
pub(super) mod clock;
mod database;
mod leases;
mod network;
mod refusals;
mod retries;
mod routing;
mod stop;
mod webhooks;
mod world;
