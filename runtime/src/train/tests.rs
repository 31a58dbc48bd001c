//! Tests of the loop on a stepper that is arithmetic.
