//! Empty: the rules that this package checks are its tests.
