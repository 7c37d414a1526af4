//! How the C library keeps memory: little of what is free stays with the process.
//!
//! Its defaults give each thread a heap of its own and keep what was freed there, so that what a configuration, a session
//! or a storm took for a moment would stay resident for years. The calls here are all the unsafe code there is.

/// A buffer of at least so many bytes is a mapping of its own, which goes when it is freed. Unless it is set, the C library
/// raises it to the largest that was ever freed.
#[cfg(target_env = "gnu")]
const OWN_MAPPING: libc::c_int = 128 << 10;
/// One heap for the main thread, and one for all others together: they allocate little at once.
#[cfg(target_env = "gnu")]
const HEAPS: libc::c_int = 2;

/// Sets the C library up. For the start of the program, when there is one thread.
pub fn configure() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "a foreign function, which takes any two numbers")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING);
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
    }
}

/// Gives pages that are free back to the system. It looks through all heaps while they are locked, some ten milliseconds
/// for a hundred megabytes: for moments after which much is free.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "a foreign function, which any thread may call at any time")]
    unsafe {
        libc::malloc_trim(0);
    }
}
