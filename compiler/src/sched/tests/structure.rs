//! Counts of kernels, launches and bytes for graphs written by hand.
