//! Readers against small files that the tests make themselves.

mod cifar;
mod damage;
mod folder;
mod idx;
