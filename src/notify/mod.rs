//! One file a kind of receiver; each makes one attempt and tells what became of it.
