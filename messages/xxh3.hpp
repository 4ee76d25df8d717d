#pragma once
// XXH3 with the widest vectors of the processor that the program runs on, which the library finds out then; the digest is the
// same.

#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#endif
