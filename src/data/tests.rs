//! Readers against small files that the tests make themselves.

mod idx;
