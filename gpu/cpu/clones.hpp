#pragma once

// On x86-64 the hot loops are compiled twice; the machine picks. Same arithmetic, same bits.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)                            \
  && !defined(__SANITIZE_THREAD__)
#define TESSERA_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define TESSERA_CLONES
#endif
