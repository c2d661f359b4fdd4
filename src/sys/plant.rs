//! Bugs that the tests plant to prove that they would find them.

/// Whether the bug `name` is planted: never in a program built without the feature `test-hooks`.
#[cfg(not(feature = "test-hooks"))]
#[must_use]
pub const fn plant(_name: &str) -> bool {
    false
}

/// Whether the bug `name` is planted by `COORD_TEST_PLANT`.
#[cfg(feature = "test-hooks")]
#[must_use]
pub fn plant(name: &str) -> bool {
    super::Env::Process
        .text("COORD_TEST_PLANT")
        .is_some_and(|all| all.split(',').any(|one| one == name))
}
