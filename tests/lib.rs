//! Tests of the whole fleet, through the real Envoy. There is nothing here but `it/` and the benchmarks in `bench/`.
