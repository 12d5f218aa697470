//! Empty: the rules that this package checks are its tests, and the examples of the README.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
