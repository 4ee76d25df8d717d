#pragma once
// Functions of the reference path compile as host and as device code. They use integers, and of floats only + - * / sqrt floor,
// never contracted, so that every compiler and chip gives the same bits (docs/field.md).

#ifdef __CUDACC__
#define TESSERA_HD __host__ __device__ inline
#else
#define TESSERA_HD inline
#endif
