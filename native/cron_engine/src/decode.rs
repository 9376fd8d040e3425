//! What a Compute Unit answers, made into Erlang terms, and the paths that are asked for. See [`page`] for a page, `latest`
//! for the newest cursor.

pub(crate) mod ao_cursor;
pub(crate) mod edges;
pub(crate) mod interval;
pub(crate) mod json;
pub(crate) mod latest;
pub mod page;
pub(crate) mod page_error;
pub mod request;
pub(crate) mod surrogates;
pub(crate) mod terms;
