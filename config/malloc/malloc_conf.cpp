// Settings of jemalloc, which finds them by this name before main(). The environment's MALLOC_CONF goes before them.

extern "C" {

/// Freed memory is kept for its next use and goes back to the system within about a second, by a thread of jemalloc's: whoever
/// allocates is not held up by it, and it also goes back when nobody allocates. `muzzy_decay_ms` 0: it is given back at once, and
/// not only when the system is short of it, so that resident memory is what is used. `tcache`: threads get their cache from us
/// (thread_cache.hpp). `tcache_max`: it keeps pieces of at most so many bytes; with jemalloc's own 32 KiB, threads that have
/// nothing to do hold some MB.
const char* malloc_conf
  = "background_thread:true,max_background_threads:1,dirty_decay_ms:1000,muzzy_decay_ms:0,tcache:false,tcache_max:4096";
}
