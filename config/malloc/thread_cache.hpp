#pragma once

namespace tessera {

/// Gives the calling thread jemalloc's cache of small pieces, if there is memory for one; else it does without, and is slower. To
/// be called once by each thread.
///
/// jemalloc would do so by itself, when a thread first allocates. But 5.3.0 does not look whether there is memory for it, and the
/// process crashes if there is none (jemalloc's issue 2247; mended after 5.3.0). So it is told not to (malloc_conf.cpp).
void begin_thread_cache() noexcept;

} // namespace tessera
