//! CPU kernels: plain functions over row-major slices. They run in parallel over outputs and never over a sum, and divide work by
//! shapes alone, so that every thread count gives the same bits.

pub mod activation;
pub mod attention;
pub mod average_pool;
pub mod batched_matmul;
pub mod binary;
pub mod channels_last;
pub mod conv;
pub mod disjoint;
pub mod elementary;
pub mod elementwise;
mod gemv;
pub mod linear;
pub mod matmul;
pub mod max_pool_backward;
pub mod norm;
pub mod order;
pub mod pool;
pub mod rearrange;
pub mod reduce;
pub mod resize;
pub mod row_gemm;
pub mod softmax;
